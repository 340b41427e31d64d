/** Envoy's RBAC filters, HTTP and network, as rule sets. Spec: envoy.extensions.filters.{http,network}.rbac.v3 */

import { type Permission, type Policy, type RBAC, RBAC_Action } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import type { RBAC as HttpRbac } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import type { RBAC as NetworkRbac } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import { ALWAYS, allOf, anyOf, type Condition, type Leaning, NEVER } from "./condition.ts";
import { looksAtHttp } from "./http-conditions.ts";
import type { RbacPolicy, RuleSet } from "./model.ts";
import { PolicyFacts } from "./policy-facts.ts";
import { indexOf } from "./policy-index.ts";
import { permissionCondition, principalCondition } from "./rule-from-proto.ts";

/** What both filters have in common. */
type Rbac = Pick<HttpRbac | NetworkRbac, "rules" | "matcher" | "shadowRules" | "shadowMatcher">;

/**
 * One rule set for what the filter enforces, one for what it only tries (`shadow_rules`); none when it has neither.
 * `rules` without policies is enforced: it denies everything (ALLOW) or nothing (DENY).
 *
 * @returns an error for anything that is not understood: its chain must not be served
 */
export function httpRulesFromProto(rbac: HttpRbac): Result<readonly RuleSet[]> {
  return rulesFromProto(rbac);
}

/**
 * The same for a TCP chain. Conditions on HTTP find nothing there: an ALLOW of such allows nobody, a DENY of such is an
 * error, since it would deny nobody.
 *
 * Spec: hardening case 43. Differs: Envoy takes such a DENY and never applies it.
 */
export function networkRulesFromProto(rbac: NetworkRbac): Result<readonly RuleSet[]> {
  const unseen = rbac.rules?.action === RBAC_Action.DENY ? unseenOnTcp(rbac.rules) : undefined;
  return unseen === undefined ? rulesFromProto(rbac) : err(unseen);
}

/**
 * When a chain's external authorizer is asked: the policies of the shadow rules whose name starts with `prefix`.
 * What they say leans towards asking.
 */
export function customPoliciesFromProto(rbac: HttpRbac | NetworkRbac, prefix: string): Result<readonly RbacPolicy[]> {
  const unknown = unknownParts(rbac);
  if (unknown !== undefined) return err(unknown);
  if (rbac.shadowRules === undefined) return err("rbac of an external authorizer: expected shadow rules");
  const unseen = rbac.$typeName === NETWORK_RBAC ? unseenOnTcp(rbac.shadowRules, prefix) : undefined;
  if (unseen !== undefined) return err(unseen);
  const policies = policiesFromProto(rbac.shadowRules, "refuses");
  return policies.ok ? ok(policies.value.filter((policy) => policy.name.startsWith(prefix))) : policies;
}

function rulesFromProto(rbac: Rbac): Result<readonly RuleSet[]> {
  const unknown = unknownParts(rbac);
  if (unknown !== undefined) return err(unknown);
  const sets: RuleSet[] = [];
  if (rbac.rules !== undefined) {
    const enforced = ruleSet(rbac.rules, (policies) => ({ enforced: policies, dryRun: [] }));
    if (!enforced.ok) return enforced;
    sets.push(enforced.value);
  }
  if (rbac.shadowRules !== undefined) {
    const tried = ruleSet(rbac.shadowRules, (policies) => ({ enforced: undefined, dryRun: orNever(policies) }));
    if (!tried.ok) return tried;
    sets.push(tried.value);
  }
  return ok(sets);
}

const NETWORK_RBAC: NetworkRbac["$typeName"] = "envoy.extensions.filters.network.rbac.v3.RBAC";

/** A policy that would refuse, or ask, for the sake of something that a connection does not have. */
function unseenOnTcp({ policies }: RBAC, prefix = ""): string | undefined {
  const name = Object.keys(policies).find((each) => each.startsWith(prefix) && looksAtHttp(policies[each] as Policy));
  return name === undefined ? undefined : `policy ${name.slice(0, 200)}: expected no condition on HTTP for TCP`;
}

/** The newer ways to write rules; istiod uses none of them. */
function unknownParts(rbac: Rbac): string | undefined {
  if (rbac.matcher !== undefined || rbac.shadowMatcher !== undefined) return "rbac: expected rules, got a matcher tree";
  const audits = rbac.rules?.auditLoggingOptions ?? rbac.shadowRules?.auditLoggingOptions;
  return audits === undefined ? undefined : "rbac: expected no audit loggers";
}

function ruleSet(
  rbac: RBAC,
  place: (policies: readonly RbacPolicy[]) => Pick<RuleSet, "enforced" | "dryRun">,
): Result<RuleSet> {
  const action = actionOf(rbac.action);
  if (action === undefined) return err(`rbac: expected action ALLOW, DENY or LOG, got ${rbac.action}`);
  const policies = policiesFromProto(rbac, action === "allow" ? "permits" : "refuses");
  if (!policies.ok) return policies;
  return ok({ action, ...place(policies.value) });
}

function actionOf(action: RBAC_Action): RuleSet["action"] | undefined {
  switch (action) {
    case RBAC_Action.ALLOW:
      return "allow";
    case RBAC_Action.DENY:
      return "deny";
    case RBAC_Action.LOG:
      return "audit";
    default:
      return undefined;
  }
}

/** In the order of their names, so that of several that match the same one is named each time. */
function policiesFromProto(rbac: RBAC, purpose: Leaning["purpose"]): Result<readonly RbacPolicy[]> {
  const policies: RbacPolicy[] = [];
  for (const name of Object.keys(rbac.policies).sort()) {
    const policy = policyFromProto(name, rbac.policies[name] as Policy, purpose);
    if (!policy.ok) return err(`policy ${name.slice(0, 200)}: ${policy.error}`);
    policies.push(policy.value);
  }
  indexOf(policies);
  return ok(policies);
}

function policyFromProto(name: string, proto: Policy, purpose: Leaning["purpose"]): Result<RbacPolicy> {
  if (proto.condition !== undefined || proto.checkedCondition !== undefined) return err("expected no CEL condition");
  const operation = eitherOf(proto.permissions, (one) => permissionCondition(one, purpose));
  if (!operation.ok) return operation;
  const source = eitherOf(proto.principals, (one) => principalCondition(one, purpose));
  if (!source.ok) return source;
  const policy = rbacPolicy(name, allOf([operation.value, source.value]), purpose);
  return ok(proto.permissions.some(readsServerName) ? { ...policy, readsServerName: true } : policy);
}

function readsServerName({ rule }: Permission): boolean {
  switch (rule.case) {
    case "requestedServerName":
      return true;
    case "andRules":
    case "orRules":
      return rule.value.rules.some(readsServerName);
    case "notRule":
      return readsServerName(rule.value);
    default:
      return false;
  }
}

function eitherOf<Proto>(protos: readonly Proto[], compile: (proto: Proto) => Result<Condition>): Result<Condition> {
  if (protos.length === 0) return err("expected permissions and principals, got none of one");
  const conditions: Condition[] = [];
  for (const proto of protos) {
    const condition = compile(proto);
    if (!condition.ok) return condition;
    conditions.push(condition.value);
  }
  return ok(anyOf(conditions));
}

/**
 * A policy of a compiled condition: only a clear yes is a match. Where a pattern would cost too much on this text, a
 * policy that refuses matches and one that permits does not.
 */
const rbacPolicy = (name: string, condition: Condition, purpose: Leaning["purpose"]): RbacPolicy => ({
  name,
  necessary: condition.necessary,
  matches(attributes) {
    try {
      return condition.holds(PolicyFacts.of(attributes)) === true;
    } catch (error) {
      if (error instanceof MeshError && error.code === ErrorCode.REQUEST_LIMIT_EXCEEDED) return purpose === "refuses";
      throw error;
    }
  },
});

/** Matches everything: an external authorizer that is asked about each request. */
export const EVERY_REQUEST: readonly RbacPolicy[] = [rbacPolicy("every request", ALWAYS, "refuses")];

/** Rules in dry run without a policy are still rules: ALLOW of nothing would deny. */
const orNever = (policies: readonly RbacPolicy[]): readonly RbacPolicy[] =>
  policies.length > 0 ? policies : [rbacPolicy("no policy", NEVER, "permits")];
