import type { PolicyClause, PolicyMatch, PolicyRule } from "@ambit/shared/policy";
import {
  ALWAYS,
  type Approximation,
  CONDITION_FIELDS,
  type FieldReader,
  NEVER,
  OPERATION_FIELDS,
  readField,
  SOURCE_FIELDS,
  type Term,
  unknownTerm,
} from "./authorization-fields.ts";

/** Why a part of a policy could not be compiled as written. */
export interface RuleProblem {
  /** `spec.rules[0].to[0].operation.methods` */
  readonly field: string;
  readonly kind: "not-at-l4" | "invalid";
}

export interface RuleContext {
  readonly namespace: string;
  readonly towards: Approximation;
  readonly onProblem: (problem: RuleProblem) => void;
}

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** L7 fields Istio knows: their presence is no mistake, it just needs a waypoint. */
const L7_FIELDS: ReadonlySet<string> = new Set([
  "requestPrincipals",
  "notRequestPrincipals",
  "remoteIpBlocks",
  "notRemoteIpBlocks",
  "hosts",
  "notHosts",
  "methods",
  "notMethods",
  "paths",
  "notPaths",
]);

/**
 * Compiles `spec.rules` to L4, erring only in the direction of `towards`. Total: any shape of input gives rules.
 *
 * Spec: istio.security.Authorization. A rule is the AND of its `from`, its `to` and each `when`; `from` and `to` are
 * ORs of matches; a match is the AND of its fields.
 * Differs: a DENY match of L7 fields only denies every connection its rule can mean, where istiod drops that rule
 * (istio#61126); values that do not parse count as "could be anything" instead of being dropped.
 */
export function compileRules(rules: unknown, context: RuleContext): readonly PolicyRule[] {
  if (rules === undefined || rules === null) return [];
  if (!Array.isArray(rules)) {
    context.onProblem({ field: "spec.rules", kind: "invalid" });
    return context.towards === "over" ? [[]] : [];
  }
  return rules.flatMap((rule: unknown, index) => {
    const term = compileRule(rule, `spec.rules[${index}]`, context);
    if (term.kind === "never") return [];
    return [term.kind === "always" ? [] : term.value];
  });
}

function compileRule(rule: unknown, path: string, context: RuleContext): Term<PolicyRule> {
  if (rule === null || rule === undefined) return ALWAYS;
  if (!isRecord(rule)) return refuse(path, "invalid", context);
  const clauses: Term<PolicyClause>[] = Object.entries(rule).flatMap(([name, value]) => {
    const at = `${path}.${name}`;
    if (value === null || value === undefined) return [];
    if (name === "from") return [compileMatches(value, at, { wrapper: "source", fields: SOURCE_FIELDS }, context)];
    if (name === "to") return [compileMatches(value, at, { wrapper: "operation", fields: OPERATION_FIELDS }, context)];
    if (name === "when") return compileConditions(value, at, context);
    return [refuse(at, "invalid", context)];
  });
  return allOf(clauses);
}

/** A rule holds when all its clauses hold. */
function allOf(clauses: readonly Term<PolicyClause>[]): Term<PolicyRule> {
  if (clauses.some(({ kind }) => kind === "never")) return NEVER;
  const some = clauses.flatMap((clause) => (clause.kind === "some" ? [clause.value] : []));
  return some.length === 0 ? ALWAYS : { kind: "some", value: some };
}

interface MatchShape {
  readonly wrapper: "source" | "operation";
  readonly fields: ReadonlyMap<string, FieldReader>;
}

/** `from` or `to`: holds when one of its matches holds. */
function compileMatches(items: unknown, path: string, shape: MatchShape, context: RuleContext): Term<PolicyClause> {
  if (!Array.isArray(items)) return refuse(path, "invalid", context);
  // Written and left empty is not left out: Istio's admission refuses it, and as "anybody" it would open an ALLOW.
  if (items.length === 0) return refuse(path, "invalid", context);
  const matches = items.map((item: unknown, index) => {
    const at = `${path}[${index}]`;
    if (!isRecord(item)) return refuse(at, "invalid", context);
    const { [shape.wrapper]: inner, ...strange } = item;
    const unknown = Object.keys(strange).map((name) => refuse(`${at}.${name}`, "invalid", context));
    if (!isRecord(inner)) return refuse(`${at}.${shape.wrapper}`, "invalid", context);
    return conjunction([...unknown, ...fieldTerms(inner, `${at}.${shape.wrapper}`, shape.fields, context)], context);
  });
  return anyOf(matches);
}

/** A clause holds when one of its matches holds. */
function anyOf(matches: readonly Term<PolicyMatch>[]): Term<PolicyClause> {
  if (matches.some(({ kind }) => kind === "always")) return ALWAYS;
  const some = matches.flatMap((match) => (match.kind === "some" ? [match.value] : []));
  return some.length === 0 ? NEVER : { kind: "some", value: some };
}

/** Each `when` is a clause of its own. */
function compileConditions(items: unknown, path: string, context: RuleContext): Term<PolicyClause>[] {
  if (!Array.isArray(items)) return [refuse(path, "invalid", context)];
  return items.map((item: unknown, index) => {
    const at = `${path}[${index}]`;
    if (!isRecord(item) || typeof item["key"] !== "string") return refuse(at, "invalid", context);
    const { key, ...lists } = item;
    const fields = CONDITION_FIELDS.get(key as string);
    if (!fields) return refuse(`${at}.key (${String(key).slice(0, 80)})`, "not-at-l4", context);
    const match = conjunction(fieldTerms(lists, at, fields, context), context);
    return anyOf([match]);
  });
}

function fieldTerms(
  fields: Fields,
  path: string,
  readers: ReadonlyMap<string, FieldReader>,
  context: RuleContext,
): Term<Partial<PolicyMatch>>[] {
  return Object.entries(fields).flatMap(([name, values]) => {
    const at = `${path}.${name}`;
    if (values === null || values === undefined) return [];
    const reader = readers.get(name);
    if (!reader) return [refuse(at, L7_FIELDS.has(name) ? "not-at-l4" : "invalid", context)];
    const onBad = (index: number): void =>
      context.onProblem({ field: index < 0 ? at : `${at}[${index}]`, kind: "invalid" });
    return [readField(reader, values, { towards: context.towards, namespace: context.namespace, onBad })];
  });
}

/** The AND of fields. A match that says nothing is no match anybody meant: it errs like any other unknown. */
function conjunction(terms: readonly Term<Partial<PolicyMatch>>[], context: RuleContext): Term<PolicyMatch> {
  if (terms.some(({ kind }) => kind === "never")) return NEVER;
  const some = terms.flatMap((term) => (term.kind === "some" ? [term.value] : []));
  if (some.length === 0) return unknownTerm(context.towards);
  return { kind: "some", value: Object.assign({}, ...some) as PolicyMatch };
}

function refuse(field: string, kind: RuleProblem["kind"], context: RuleContext): Term<never> {
  context.onProblem({ field, kind });
  return unknownTerm(context.towards);
}
