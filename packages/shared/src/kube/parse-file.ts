import { ErrorCode } from "../errors/index.ts";
import {
  type FieldPath,
  type FieldProblem,
  formatFieldPath,
  isRecord,
  runCheck,
  shown,
} from "./checks/field-checks.ts";
import { metadata } from "./checks/metadata.ts";
import { isNamesake, KINDS, type KindDescription } from "./kinds.ts";
import type { InputProblem, KubeObject, ObjectMeta } from "./model.ts";
import { readYaml } from "./yaml-documents.ts";

/** Larger than a file anybody writes by hand, small enough to read in about two seconds. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024;
const MAX_PROBLEMS_PER_FILE = 100;

/** An object as found in a file. */
export interface ParsedObject {
  readonly object: KubeObject;
  /** 1-based line where it begins. */
  readonly line: number;
  /** False when a problem says so; what then happens is up to `onInvalid`. */
  readonly valid: boolean;
  readonly whenInvalid: KindDescription["whenInvalid"];
}

export interface ParsedFile {
  readonly objects: readonly ParsedObject[];
  readonly problems: readonly InputProblem[];
  /** True when some text of it is not YAML: what the file meant to say is not wholly known. */
  readonly malformed: boolean;
}

/**
 * Reads every Kubernetes object of a YAML or JSON text, with several documents and `List` kinds taken apart.
 * Total: whatever is wrong becomes a problem with file, line, field and reason, and the rest is still read.
 */
export function parseKubeFile(file: string, text: string): ParsedFile {
  if (text.length > MAX_FILE_BYTES) return tooLarge(file, text.length);
  const { documents, problems: yamlProblems } = readYaml(text);
  const objects: ParsedObject[] = [];
  const problems: InputProblem[] = yamlProblems.map(({ line, reason }) => ({
    code: ErrorCode.KUBE_YAML_MALFORMED,
    file,
    line,
    field: "",
    reason,
  }));
  for (const document of documents) {
    for (const item of expandList(document.value, [])) {
      const found = readObject(item.value);
      if (found.kind === "skip") continue;
      const lineOf = (path: FieldPath): number => document.lineOf([...item.path, ...path]);
      for (const { path, reason } of found.problems) {
        const field = formatFieldPath([...item.path, ...path]);
        problems.push({ code: found.code, file, line: lineOf(path), field, reason });
      }
      if (found.kind === "object") objects.push({ ...found.parsed, line: lineOf([]) });
    }
  }
  return { objects, problems: problems.slice(0, MAX_PROBLEMS_PER_FILE), malformed: yamlProblems.length > 0 };
}

export function tooLarge(file: string, bytes: number): ParsedFile {
  const reason = `expected a file of at most ${MAX_FILE_BYTES} bytes, got ${bytes}`;
  const problem = { code: ErrorCode.KUBE_YAML_MALFORMED, file, line: 0, field: "", reason };
  return { objects: [], problems: [problem], malformed: true };
}

/** Checks an object that is already in the normal form, for instance after a patch. */
export function problemsOfObject(object: KubeObject): readonly FieldProblem[] {
  const kind = KINDS.get(object.kind);
  return [...runCheck(metadata, object.metadata, ["metadata"]), ...(kind ? runCheck(kind.check, object) : [])];
}

/** A `List` (or `PodList`, ...) becomes its items; lists in lists are not a thing in Kubernetes. */
function expandList(value: unknown, path: FieldPath): readonly { readonly value: unknown; readonly path: FieldPath }[] {
  if (!isRecord(value) || !Array.isArray(value["items"]) || !String(value["kind"]).endsWith("List")) {
    return [{ value, path }];
  }
  return value["items"].map((item: unknown, index) => ({ value: item, path: [...path, "items", index] }));
}

type Found =
  | { readonly kind: "skip" }
  | { readonly kind: "refused"; readonly code: string; readonly problems: readonly FieldProblem[] }
  | {
      readonly kind: "object";
      readonly code: string;
      readonly problems: readonly FieldProblem[];
      readonly parsed: Omit<ParsedObject, "line">;
    };

function readObject(value: unknown): Found {
  const identity = readIdentity(value);
  if (!identity.ok) return refuse(ErrorCode.KUBE_OBJECT_INVALID, identity.problems);
  const { record, kindName, group, version } = identity;
  const kind = KINDS.get(kindName);
  if (kind && isNamesake(group, kindName)) return { kind: "skip" };
  if (kind && (kind.group !== group || !kind.versions.includes(version))) {
    const known = kind.versions.map((each) => (kind.group === "" ? each : `${kind.group}/${each}`));
    const reason = `unsupported version of ${kindName}; expected ${known.join(" or ")}`;
    return refuse(ErrorCode.KUBE_OBJECT_UNSUPPORTED, [{ path: ["apiVersion"], reason, advisory: false }]);
  }
  const metaProblems = runCheck(metadata, record["metadata"], ["metadata"]);
  const object = normalize(record, kind);
  // Without a name there is no object to speak of; with any other mistake there is one.
  if (metaProblems.some(({ path }) => path.length < 2 || path[1] === "name" || path[1] === "namespace")) {
    return refuse(ErrorCode.KUBE_OBJECT_INVALID, metaProblems);
  }
  const problems = [...metaProblems, ...(kind ? runCheck(kind.check, object) : [])];
  const parsed = {
    object,
    valid: problems.every(({ advisory }) => advisory),
    whenInvalid: kind?.whenInvalid ?? ("drop" as const),
  };
  return { kind: "object", code: ErrorCode.KUBE_OBJECT_INVALID, problems, parsed };
}

const refuse = (code: string, problems: readonly FieldProblem[]): Found => ({ kind: "refused", code, problems });

type Identity =
  | {
      readonly ok: true;
      readonly record: Readonly<Record<string, unknown>>;
      readonly kindName: string;
      readonly group: string;
      readonly version: string;
    }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

function readIdentity(value: unknown): Identity {
  const problem = (path: FieldPath, reason: string): Identity => ({
    ok: false,
    problems: [{ path, reason, advisory: false }],
  });
  if (!isRecord(value)) return problem([], `expected a Kubernetes object, got ${shown(value)}`);
  const { apiVersion, kind } = value;
  if (typeof kind !== "string" || kind === "") return problem(["kind"], "required");
  if (typeof apiVersion !== "string" || apiVersion === "") return problem(["apiVersion"], "required");
  if (!/^[A-Za-z][A-Za-z0-9]{0,62}$/.test(kind)) return problem(["kind"], `expected a kind, got ${shown(kind)}`);
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  return { ok: true, record: value, kindName: kind, group, version: apiVersion.slice(slash + 1) };
}

/** The namespace kubectl would choose, `null`s taken away, cluster-scoped kinds without namespace. */
function normalize(record: Readonly<Record<string, unknown>>, kind: KindDescription | undefined): KubeObject {
  const given = isRecord(record["metadata"]) ? record["metadata"] : {};
  const present = Object.entries(given).filter(([, value]) => value !== null);
  const { namespace, ...rest } = Object.fromEntries(present);
  const scoped = kind?.clusterScoped
    ? {}
    : { namespace: typeof namespace === "string" && namespace !== "" ? namespace : "default" };
  const { spec, status, ...fields } = record;
  return {
    ...fields,
    ...(spec === null || spec === undefined ? {} : { spec }),
    ...(status === null || status === undefined ? {} : { status }),
    metadata: { ...rest, ...scoped } as unknown as ObjectMeta,
  } as unknown as KubeObject;
}
