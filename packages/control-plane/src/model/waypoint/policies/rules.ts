/**
 * The rules of one AuthorizationPolicy as Envoy RBAC policies. Pure and total. What cannot be understood, or not be asked
 * of a TCP connection, makes an ALLOW allow less and anything else match more: never the other way round.
 *
 * Spec: Istio AuthorizationPolicy.
 */
import type { PolicySchema } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import { isRecord } from "@ambit/shared/kube";
import { ALWAYS, type Approximation, NEVER, type Term, unknownTerm } from "../../authorization-fields.ts";
import type { Init } from "../proto.ts";
import {
  type Atom,
  conditionField,
  type FieldContext,
  OPERATION_FIELDS,
  type PermissionInit,
  type PrincipalInit,
  type RuleField,
  SOURCE_FIELDS,
} from "./fields.ts";

export type RbacPolicyInit = Init<typeof PolicySchema>;

export interface RulesContext extends FieldContext {
  readonly towards: Approximation;
  /** Whether requests are asked, or connections. */
  readonly http: boolean;
  /** `spec.rules[0].to[0].operation.paths[1]` and the like, not understood. */
  readonly onProblem: (field: string) => void;
}

const ANY_PERMISSION: PermissionInit = { rule: { case: "any", value: true } };
const ANY_PRINCIPAL: PrincipalInit = { identifier: { case: "any", value: true } };

/** Matches nothing: an RBAC policy may not be empty, and a policy without rules still exists. */
export const NEVER_MATCHES: RbacPolicyInit = {
  permissions: [{ rule: { case: "notRule", value: ANY_PERMISSION } }],
  principals: [{ identifier: { case: "notId", value: ANY_PRINCIPAL } }],
};

const MATCHES_ALL: RbacPolicyInit = { permissions: [ANY_PERMISSION], principals: [ANY_PRINCIPAL] };

/** One RBAC policy a rule that can match, with the rule's number; rules that cannot are left out. */
export function rbacRules(rules: unknown, context: RulesContext): readonly (readonly [number, RbacPolicyInit])[] {
  if (rules === undefined || rules === null) return [];
  if (!Array.isArray(rules)) {
    context.onProblem("spec.rules");
    return context.towards === "over" ? [[0, MATCHES_ALL]] : [];
  }
  return rules.flatMap((rule: unknown, index): readonly (readonly [number, RbacPolicyInit])[] => {
    const term = ruleTerm(rule, `spec.rules[${index}]`, context);
    if (term.kind === "never") return [];
    return [[index, term.kind === "always" ? MATCHES_ALL : term.value]];
  });
}

/** AND of atoms of both sides. */
type Conjunction = readonly Atom[];

function ruleTerm(rule: unknown, path: string, context: RulesContext): Term<RbacPolicyInit> {
  if (rule === null || rule === undefined) return ALWAYS;
  if (!isRecord(rule)) return refuse(path, context);
  const { from, to, when, ...strange } = rule;
  const unknown = Object.keys(strange).map((name) => refuse(`${path}.${name}`, context));
  const sources = alternatives(from, `${path}.from`, { wrapper: "source", fields: SOURCE_FIELDS }, context);
  const operations = alternatives(to, `${path}.to`, { wrapper: "operation", fields: OPERATION_FIELDS }, context);
  const conditions = [...unknown, ...conditionTerms(when, `${path}.when`, context)];
  if ([sources, operations, ...conditions].some(({ kind }) => kind === "never")) return NEVER;
  const common = conditions.flatMap((term) => (term.kind === "some" ? term.value : []));
  if (sources.kind !== "some" && operations.kind !== "some" && common.length === 0) return ALWAYS;
  return { kind: "some", value: policyOf(valuesOf(sources), valuesOf(operations), common) };
}

const valuesOf = (term: Term<readonly Conjunction[]>): readonly Conjunction[] =>
  term.kind === "some" ? term.value : [[]];

/** Envoy asks any permission AND any principal: conditions are repeated in each. */
function policyOf(
  sources: readonly Conjunction[],
  operations: readonly Conjunction[],
  conditions: Conjunction,
): RbacPolicyInit {
  return {
    principals: sources.map((source) => allOfPrincipals(principalsIn([...source, ...conditions]))),
    permissions: operations.map((operation) => allOfPermissions(permissionsIn([...operation, ...conditions]))),
  };
}

const principalsIn = (atoms: Conjunction): readonly PrincipalInit[] =>
  atoms.flatMap((atom) => (atom.side === "principal" ? [atom.value] : []));
const permissionsIn = (atoms: Conjunction): readonly PermissionInit[] =>
  atoms.flatMap((atom) => (atom.side === "permission" ? [atom.value] : []));

const allOfPrincipals = (ids: readonly PrincipalInit[]): PrincipalInit => ({
  identifier: { case: "andIds", value: { ids: ids.length > 0 ? [...ids] : [ANY_PRINCIPAL] } },
});
const allOfPermissions = (rules: readonly PermissionInit[]): PermissionInit => ({
  rule: { case: "andRules", value: { rules: rules.length > 0 ? [...rules] : [ANY_PERMISSION] } },
});

interface Shape {
  readonly wrapper: string;
  readonly fields: ReadonlyMap<string, RuleField>;
}

/** `from` or `to`: any of its items. */
function alternatives(items: unknown, path: string, shape: Shape, context: RulesContext): Term<readonly Conjunction[]> {
  if (items === undefined || items === null) return ALWAYS;
  if (!Array.isArray(items)) return refuse(path, context);
  // An empty list says nothing, as an absent one.
  if (items.length === 0) return ALWAYS;
  const terms = items.map((item: unknown, index) => itemTerm(item, `${path}[${index}]`, shape, context));
  if (terms.some(({ kind }) => kind === "always")) return ALWAYS;
  const some = terms.flatMap((term) => (term.kind === "some" ? [term.value] : []));
  return some.length === 0 ? NEVER : { kind: "some", value: some };
}

function itemTerm(item: unknown, path: string, shape: Shape, context: RulesContext): Term<Conjunction> {
  if (!isRecord(item)) return refuse(path, context);
  const { [shape.wrapper]: inner, ...strange } = item;
  const unknown = Object.keys(strange).map((name) => refuse(`${path}.${name}`, context));
  if (!isRecord(inner)) return refuse(`${path}.${shape.wrapper}`, context);
  const terms = Object.entries(inner).flatMap(([name, values]) =>
    isAbsent(values) ? [] : [fieldTerm(name, values, `${path}.${shape.wrapper}.${name}`, shape.fields, context)],
  );
  return conjunction([...unknown, ...terms], context);
}

const isAbsent = (value: unknown): boolean => value === undefined || value === null;

function fieldTerm(
  name: string,
  values: unknown,
  path: string,
  fields: Shape["fields"],
  context: RulesContext,
): Term<Conjunction> {
  const positive = fields.get(name);
  if (positive) return listTerm(positive, values, { path, negative: false }, context);
  const bare = name.startsWith("not") ? name.slice(3, 4).toLowerCase() + name.slice(4) : "";
  const negative = fields.get(bare);
  return negative ? listTerm(negative, values, { path, negative: true }, context) : refuse(path, context);
}

/** Each `when` is a condition of its own. */
function conditionTerms(items: unknown, path: string, context: RulesContext): readonly Term<Conjunction>[] {
  if (isAbsent(items)) return [];
  if (!Array.isArray(items)) return [refuse(path, context)];
  return items.map((item: unknown, index): Term<Conjunction> => {
    const at = `${path}[${index}]`;
    const key = isRecord(item) ? item["key"] : undefined;
    const field = typeof key === "string" ? conditionField(key) : undefined;
    if (!isRecord(item) || !field) return refuse(`${at}.key`, context);
    const { key: _key, values, notValues, ...strange } = item;
    const terms: Term<Conjunction>[] = Object.keys(strange).map((name) => refuse(`${at}.${name}`, context));
    if (!isAbsent(values)) terms.push(listTerm(field, values, { path: `${at}.values`, negative: false }, context));
    if (!isAbsent(notValues))
      terms.push(listTerm(field, notValues, { path: `${at}.notValues`, negative: true }, context));
    return conjunction(terms, context);
  });
}

/** The AND of terms. One that says nothing is none anybody meant: it errs like any other unknown. */
function conjunction(terms: readonly Term<Conjunction>[], context: RulesContext): Term<Conjunction> {
  if (terms.some(({ kind }) => kind === "never")) return NEVER;
  const atoms = terms.flatMap((term) => (term.kind === "some" ? term.value : []));
  if (atoms.length > 0) return { kind: "some", value: atoms };
  return terms.some(({ kind }) => kind === "always") ? ALWAYS : unknownTerm(context.towards);
}

interface ListContext {
  readonly path: string;
  readonly negative: boolean;
}

/** Any of the values, or none of them. Lists that allow may lose values they cannot be read by, lists that except may not. */
function listTerm(field: RuleField, values: unknown, list: ListContext, context: RulesContext): Term<Conjunction> {
  if (!Array.isArray(values)) return refuse(list.path, context);
  if (values.length === 0) return ALWAYS;
  if (field.http && !context.http) return unknownTerm(context.towards);
  const atoms: Atom[] = [];
  let complete = true;
  values.forEach((value: unknown, index) => {
    const read = typeof value === "string" ? field.read(value, context) : undefined;
    if (read) atoms.push(...read);
    else {
      complete = false;
      context.onProblem(`${list.path}[${index}]`);
    }
  });
  const mayShrink = list.negative ? context.towards === "over" : context.towards === "under";
  if (atoms.length === 0 || (!complete && !mayShrink)) return unknownTerm(context.towards);
  return { kind: "some", value: [list.negative ? noneOf(atoms) : anyOf(atoms)] };
}

function anyOf(atoms: readonly Atom[]): Atom {
  const [first] = atoms;
  return first?.side === "permission"
    ? { side: "permission", value: { rule: { case: "orRules", value: { rules: [...permissionsIn(atoms)] } } } }
    : { side: "principal", value: { identifier: { case: "orIds", value: { ids: [...principalsIn(atoms)] } } } };
}

function noneOf(atoms: readonly Atom[]): Atom {
  const any = anyOf(atoms);
  return any.side === "permission"
    ? { side: "permission", value: { rule: { case: "notRule", value: any.value } } }
    : { side: "principal", value: { identifier: { case: "notId", value: any.value } } };
}

function refuse(field: string, context: RulesContext): Term<never> {
  context.onProblem(field);
  return unknownTerm(context.towards);
}
