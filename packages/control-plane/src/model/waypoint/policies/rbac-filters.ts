/** AuthorizationPolicies as RBAC filters, for requests and for connections. */
import { RBAC_Action, type RBACSchema as RulesSchema } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import { RBACSchema as HttpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { RBACSchema as TcpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { annotationsOf, type KubeObject, namespaceOf, parseGoBoolean } from "@ambit/shared/kube";
import type { HttpFilterInit, NetworkFilterInit } from "../guards.ts";
import { filter, type Init, sortedRecord } from "../proto.ts";
import type { FieldContext } from "./fields.ts";
import { NEVER_MATCHES, type RbacPolicyInit, rbacRules } from "./rules.ts";

type RulesInit = Init<typeof RulesSchema>;
export type RuleAction = "AUDIT" | "DENY" | "ALLOW";

/** In the order in which they are asked. */
export const RULE_ACTIONS: readonly RuleAction[] = ["AUDIT", "DENY", "ALLOW"];
const ENVOY_ACTIONS: Readonly<Record<RuleAction, RBAC_Action>> = {
  AUDIT: RBAC_Action.LOG,
  DENY: RBAC_Action.DENY,
  ALLOW: RBAC_Action.ALLOW,
};
export const HTTP_RBAC = "envoy.filters.http.rbac";
export const TCP_RBAC = "envoy.filters.network.rbac";
const DRY_RUN = "istio.io/dry-run";

export const isDryRun = (policy: KubeObject): boolean => parseGoBoolean(annotationsOf(policy)[DRY_RUN]) === true;

/** ALLOW when it is not said; what nobody knows is taken for the strictest reading, a DENY. */
export function actionOf(policy: KubeObject): RuleAction | "CUSTOM" {
  const action = policy.spec?.["action"] ?? "ALLOW";
  return action === "ALLOW" || action === "AUDIT" || action === "CUSTOM" ? action : "DENY";
}

export interface ActionRules {
  readonly rules?: RulesInit;
  readonly shadowRules?: RulesInit;
  readonly shadowRulesStatPrefix?: string;
}

/** The rules of all policies of one action; undefined when there is no such policy. */
export function rulesOf(
  action: RuleAction,
  policies: readonly KubeObject[],
  context: FieldContext & { readonly http: boolean },
): ActionRules | undefined {
  const ofAction = policies.filter((policy) => actionOf(policy) === action);
  if (ofAction.length === 0) return undefined;
  const enforced = ofAction.filter((policy) => !isDryRun(policy));
  const dry = ofAction.filter(isDryRun);
  return {
    ...(enforced.length > 0 && { rules: merged(action, enforced, context) }),
    ...(dry.length > 0 && {
      shadowRules: merged(action, dry, context),
      shadowRulesStatPrefix: `istio_dry_run_${action === "ALLOW" ? "allow" : "deny"}_`,
    }),
  };
}

function merged(
  action: RuleAction,
  policies: readonly KubeObject[],
  context: FieldContext & { readonly http: boolean },
): RulesInit {
  const entries = policies.flatMap((policy) => namedRules(policy, action === "ALLOW" ? "under" : "over", context));
  return { action: ENVOY_ACTIONS[action], policies: sortedRecord(entries) };
}

/** A policy's rules by name. One without rules, or none that can match, is there all the same: its presence counts. */
export function namedRules(
  policy: KubeObject,
  towards: "under" | "over",
  context: FieldContext & { readonly http: boolean },
  prefix = "",
): readonly (readonly [string, RbacPolicyInit])[] {
  const namespace = namespaceOf(policy);
  const rules = rbacRules(policy.spec?.["rules"], { ...context, namespace, towards, onProblem: () => {} });
  const nameOf = (index: number): string => `${prefix}ns[${namespace}]-policy[${policy.metadata.name}]-rule[${index}]`;
  return rules.length === 0 ? [[nameOf(0), NEVER_MATCHES]] : rules.map(([index, rule]) => [nameOf(index), rule]);
}

export function httpRuleFilters(policies: readonly KubeObject[], context: FieldContext): readonly HttpFilterInit[] {
  return RULE_ACTIONS.flatMap((action) => {
    const rules = rulesOf(action, policies, { ...context, http: true });
    return rules ? [filter(HTTP_RBAC, HttpRbacSchema, rules)] : [];
  });
}

export function tcpRuleFilters(policies: readonly KubeObject[], context: FieldContext): readonly NetworkFilterInit[] {
  return RULE_ACTIONS.flatMap((action) => {
    const rules = rulesOf(action, policies, { ...context, http: false });
    return rules ? [filter(TCP_RBAC, TcpRbacSchema, { statPrefix: "tcp.", ...rules })] : [];
  });
}
