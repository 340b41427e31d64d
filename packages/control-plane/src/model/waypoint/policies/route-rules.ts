/**
 * AuthorizationPolicies attached to a route or one of its rules: RBAC filters of their own, silent except on that route.
 * Whatever refuses at the service or the gateway still refuses.
 *
 * Differs: Istio attaches policies to services and gateways only.
 */
import {
  RBACSchema as HttpRbacSchema,
  RBACPerRouteSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { type KubeObject, namespaceOf, textAt } from "@ambit/shared/kube";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { FactReader } from "../../fact-store.ts";
import type { HttpFilterInit } from "../guards.ts";
import { targetRefsOf } from "../object-facts.ts";
import { filter, pack } from "../proto.ts";
import { policiesOfRoute } from "./attached.ts";
import type { FieldContext } from "./fields.ts";
import { actionOf, isDryRun, RULE_ACTIONS, type RuleAction, rulesOf } from "./rbac-filters.ts";

export const routeFilterName = (action: RuleAction): string => `ambit.route_rbac.${action.toLowerCase()}`;

/** Filters for the actions that policies of these routes have: without rules of their own they ask nothing. */
export function routeRuleFilters(reader: FactReader, routes: readonly KubeObject[]): readonly HttpFilterInit[] {
  const policies = routes.flatMap((route) => policiesOfRoute(reader, "AuthorizationPolicy", route));
  const actions = new Set(policies.map(effectiveAction));
  return RULE_ACTIONS.filter((action) => actions.has(action)).map((action) =>
    filter(routeFilterName(action), HttpRbacSchema),
  );
}

/** Policies of these routes that may refuse a request. */
export const enforcedRoutePolicies = (reader: FactReader, routes: readonly KubeObject[]): readonly KubeObject[] =>
  routes
    .flatMap((route) => policiesOfRoute(reader, "AuthorizationPolicy", route))
    .filter((policy) => !isDryRun(policy) && effectiveAction(policy) !== "AUDIT");

/** What a rule of a route says to those filters. */
export function routeRules(
  reader: FactReader,
  route: KubeObject,
  ruleName: string,
  context: FieldContext,
): readonly (readonly [string, Any])[] {
  const policies = policiesOfRoute(reader, "AuthorizationPolicy", route).filter((policy) =>
    means(policy, route, ruleName),
  );
  return RULE_ACTIONS.flatMap((action) => {
    const ofAction = policies.filter((policy) => effectiveAction(policy) === action).map(asRules);
    const rules = rulesOf(action, ofAction, { ...context, http: true });
    return rules ? [[routeFilterName(action), pack(RBACPerRouteSchema, { rbac: rules })] as const] : [];
  });
}

/** External authorizers cannot be asked for one route alone: what such a policy matches is refused. */
function effectiveAction(policy: KubeObject): RuleAction {
  const action = actionOf(policy);
  return action === "CUSTOM" ? "DENY" : action;
}

const asRules = (policy: KubeObject): KubeObject =>
  actionOf(policy) === "CUSTOM" ? { ...policy, spec: { ...policy.spec, action: "DENY" } } : policy;

/** Without a section the whole route is meant. */
const means = (policy: KubeObject, route: KubeObject, ruleName: string): boolean =>
  targetRefsOf(policy).some((ref) => {
    const section = textAt(ref, "sectionName");
    const isTarget =
      textAt(ref, "kind") === route.kind &&
      textAt(ref, "name") === route.metadata.name &&
      namespaceOf(policy) === namespaceOf(route);
    return isTarget && (section === "" || section === ruleName);
  });
