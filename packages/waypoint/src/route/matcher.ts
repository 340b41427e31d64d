/** Text and header matchers, shared by routes and policies so that both mean the same by them. Pure, linear-time. */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { compilePattern } from "./pattern.ts";

/** Compiled; regular expressions are RE2 (linear) and match the whole text. */
export interface StringMatcher {
  matches(text: string): boolean;
  /** As the configuration says it, for explanations and the config dump. */
  readonly source: string;
}

export interface HeaderMatcher {
  /** Lower case; `:method`, `:authority`, `:path`, `:scheme` too. */
  readonly name: string;
  /** @param headers  with the pseudo-headers first */
  matches(headers: HeaderList): boolean;
  readonly source: string;
}

/** What to compare a text with. `ignoreCase` is ASCII only and means nothing to a pattern (write `(?i)` there). */
export type StringSpec =
  | { readonly kind: "exact" | "prefix" | "suffix" | "contains"; readonly text: string; readonly ignoreCase?: boolean }
  | { readonly kind: "pattern"; readonly pattern: string };

/**
 * Longest text of an exact, prefix, suffix or contains matcher, UTF-16 units. Those cost nothing beyond their length;
 * the bound only keeps a hostile configuration out of memory.
 */
const MAX_TEXT_LENGTH = 65_536;

/**
 * Compiles one string matcher. Spec: envoy.type.matcher.v3.StringMatcher
 *
 * @returns an error for an empty prefix, suffix or contains (it would match everything), a bad or too long pattern
 * A pattern's `matches` throws MeshError REQUEST_LIMIT_EXCEEDED for a text too long for it.
 */
export function stringMatcher(spec: StringSpec): Result<StringMatcher> {
  if (spec.kind === "pattern") {
    const pattern = compilePattern(spec.pattern);
    if (!pattern.ok) return pattern;
    return ok({ source: `regex "${spec.pattern}"`, matches: (text) => pattern.value.matchesAll(text) });
  }
  if (spec.text.length > MAX_TEXT_LENGTH) return err(`${spec.kind}: expected at most ${MAX_TEXT_LENGTH} characters`);
  if (spec.kind !== "exact" && spec.text === "") return err(`${spec.kind}: expected a text, got an empty one`);
  const compare = COMPARISONS[spec.kind];
  if (!spec.ignoreCase)
    return ok({ source: `${spec.kind} "${spec.text}"`, matches: (text) => compare(text, spec.text) });
  const folded = asciiLowerCase(spec.text);
  return ok({
    source: `${spec.kind} "${spec.text}" ignoring case`,
    matches: (text) => compare(asciiLowerCase(text), folded),
  });
}

const COMPARISONS = {
  exact: (text: string, wanted: string) => text === wanted,
  prefix: (text: string, wanted: string) => text.startsWith(wanted),
  suffix: (text: string, wanted: string) => text.endsWith(wanted),
  contains: (text: string, wanted: string) => text.includes(wanted),
} as const;

/** Lower case of A to Z alone: `toLowerCase` would also make "k" of the Kelvin sign, which is another name. */
export function asciiLowerCase(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : text;
}

/** What to ask of a header. `value` "present" and "absent" ask only whether it is there. */
export interface HeaderSpec {
  /** Any case; `host` means `:authority`. */
  readonly name: string;
  readonly value: StringMatcher | "present" | "absent";
  readonly invert?: boolean;
  /** A header that is not there counts as one with empty value; otherwise it never matches, inverted or not. */
  readonly missingAsEmpty?: boolean;
}

/**
 * What repeated fields mean to a matcher.
 * - `joined`: their values with "," between, as one text. Parity: Envoy, for routes.
 * - `any`: one of the values, or all joined, suffices. For what refuses: nobody escapes a rule by adding a value.
 * - `every`: each of the values, and all joined, must match. For what permits.
 * They mean the same for a field that occurs once.
 */
export type RepeatedFields = "joined" | "any" | "every";

/** Compiles one header matcher. Spec: envoy.config.route.v3.HeaderMatcher */
export function headerMatcher(spec: HeaderSpec, repeated: RepeatedFields = "joined"): HeaderMatcher {
  const lower = asciiLowerCase(spec.name);
  const name = lower === "host" ? ":authority" : lower;
  const invert = spec.invert ?? false;
  const { value } = spec;
  const inversion = invert ? "not " : "";
  if (typeof value === "string") {
    const wanted = (value === "present") !== invert;
    const source = `${name} ${inversion}${value}`;
    return { name, source, matches: (headers) => headers.some(([candidate]) => candidate === name) === wanted };
  }
  const missing = spec.missingAsEmpty ?? false;
  const one = (text: string): boolean => value.matches(text) !== invert;
  const source = `${name} ${inversion}${value.source}${missing ? " (missing counts as empty)" : ""}`;
  return { name, source, matches: (headers) => matchesValues(valuesOf(headers, name), one, missing, repeated) };
}

function matchesValues(
  values: readonly string[],
  one: (text: string) => boolean,
  missingAsEmpty: boolean,
  repeated: RepeatedFields,
): boolean {
  const [first] = values;
  if (first === undefined) return missingAsEmpty && one("");
  if (values.length === 1) return one(first);
  if (repeated === "joined") return one(values.join(","));
  const texts = [...values, values.join(",")];
  return repeated === "any" ? texts.some(one) : texts.every(one);
}

/** The values of a field, in order. @param name in lower case */
export function valuesOf(headers: HeaderList, name: string): readonly string[] {
  const values: string[] = [];
  for (const [candidate, value] of headers) if (candidate === name) values.push(value);
  return values;
}
