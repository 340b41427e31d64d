/** Where a value is inside an object: field names and list positions. */
export type FieldPath = readonly (string | number)[];

export interface FieldProblem {
  readonly path: FieldPath;
  readonly reason: string;
  /** True: worth telling, but the object is used all the same; whoever uses that field decides what it means. */
  readonly advisory: boolean;
}

export interface Reporter {
  (path: FieldPath, reason: string): void;
  advise(path: FieldPath, reason: string): void;
}

/** Looks at one value and reports what is wrong with it. Total: any value of any type is fine as input. */
export type Check = (value: unknown, path: FieldPath, report: Reporter) => void;

const MAX_PROBLEMS = 20;

/** Runs a check; at most 20 problems come back, so that a hostile object cannot fill memory with complaints. */
export function runCheck(check: Check, value: unknown, path: FieldPath = []): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const add = (at: FieldPath, reason: string, advisory: boolean): void => {
    if (problems.length < MAX_PROBLEMS) problems.push({ path: at, reason, advisory });
  };
  const report = (at: FieldPath, reason: string): void => add(at, reason, false);
  check(value, path, Object.assign(report, { advise: (at: FieldPath, reason: string) => add(at, reason, true) }));
  return problems;
}

/** `spec.ports[0].port`, `metadata.labels["a.b/c"]`. */
export function formatFieldPath(path: FieldPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[\w-]+$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part.slice(0, 100))}]`;
  }
  return text;
}

/** A value as an error message shows it: its JSON, shortened. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a mapping";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const anything: Check = () => {};

export const string: Check = (value, path, report) => {
  if (typeof value !== "string") report(path, `expected a string, got ${shown(value)}`);
};

export const boolean: Check = (value, path, report) => {
  if (typeof value !== "boolean") report(path, `expected true or false, got ${shown(value)}`);
};

export const integer =
  (min: number, max: number): Check =>
  (value, path, report) => {
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      report(path, `expected a whole number from ${min} to ${max}, got ${shown(value)}`);
    }
  };

export const number: Check = (value, path, report) => {
  if (typeof value !== "number" || !Number.isFinite(value)) report(path, `expected a number, got ${shown(value)}`);
};

export const port = integer(1, 65535);

export const oneOf =
  (...choices: readonly string[]): Check =>
  (value, path, report) => {
    if (!choices.includes(value as string)) report(path, `expected one of ${choices.join(", ")}, got ${shown(value)}`);
  };

export const matching =
  (pattern: RegExp, expected: string): Check =>
  (value, path, report) => {
    if (typeof value !== "string" || !pattern.test(value)) report(path, `expected ${expected}, got ${shown(value)}`);
  };

/** A port number, or the name of a port. */
export const portOrName: Check = (value, path, report) => {
  if (typeof value === "number") port(value, path, report);
  else matching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i, "a port number or a port name")(value, path, report);
};

export const list =
  (item: Check, minItems = 0): Check =>
  (value, path, report) => {
    if (!Array.isArray(value)) return report(path, `expected a list, got ${shown(value)}`);
    if (value.length < minItems) report(path, `expected at least ${minItems} items, got ${value.length}`);
    value.forEach((each, index) => {
      item(each, [...path, index], report);
    });
  };

/** A mapping with free keys. */
export const mapping =
  (item: Check): Check =>
  (value, path, report) => {
    if (!isRecord(value)) return report(path, `expected a mapping, got ${shown(value)}`);
    for (const [key, each] of Object.entries(value)) item(each, [...path, key], report);
  };

export interface FieldsInit {
  readonly required?: readonly string[];
  /** Whether a field that is not listed is a mistake; security rules must not be read past a misspelt field. */
  readonly strict?: boolean;
}

/** A mapping with known fields; `null` counts as absent, as it does in Kubernetes. */
export function fields(known: KnownFields, { required = [], strict = false }: FieldsInit = {}): Check {
  const otherwise = strict ? unknownField(known) : anything;
  const checks = new Map(Object.entries(known));
  return (value, path, report) => {
    if (!isRecord(value)) return report(path, `expected a mapping, got ${shown(value)}`);
    const missing = required.filter((name) => isAbsent(value[name]));
    for (const name of missing) report([...path, name], "required");
    const present = Object.entries(value).filter(([, each]) => !isAbsent(each));
    for (const [name, each] of present) (checks.get(name) ?? otherwise)(each, [...path, name], report);
  };
}

type KnownFields = Readonly<Record<string, Check>>;

const isAbsent = (value: unknown): boolean => value === null || value === undefined;

const unknownField =
  (known: KnownFields): Check =>
  (_value, path, report) =>
    report(path, `unknown field; expected one of ${Object.keys(known).join(", ")}`);

/** Several checks of the same value. */
export const all =
  (...checks: readonly Check[]): Check =>
  (value, path, report) => {
    for (const check of checks) check(value, path, report);
  };
