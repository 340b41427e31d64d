/** Phase 4: may it pass? The permit is what forwarding asks for. */
import type { HttpChain } from "../model/route-model.ts";
import { evaluateHttp, type HttpVerdict, type RequestPermit, type RouteRules, type RuleSet } from "../policy/index.ts";
import type { KnownRequest, RoutedContext } from "../request-context.ts";
import type { Route } from "../route/index.ts";
import { requestAttributes } from "./policy-attributes.ts";
import { refuse, type Stop } from "./stop.ts";

export interface Authorized {
  readonly kind: "authorized";
  readonly permit: RequestPermit;
}

export function authorizeRequest(context: RoutedContext): Authorized | Stop {
  const { record } = context;
  const verdict = judgeRequest(context, context.chain, context.route);
  // Beside what external authorizers left there.
  record.dryRun = [...record.dryRun, ...verdict.dryRun];
  if (verdict.kind === "refuse") {
    return refuse(context, verdict.code, { policy: verdict.policy, message: verdict.message });
  }
  record.policy = verdict.policy;
  return { kind: "authorized", permit: verdict.permit };
}

/**
 * A request that no route takes is judged too: whoever may not come in learns nothing of what there is. Undefined: it may
 * hear that there is no route. Parity: Envoy's RBAC comes before the router.
 */
export function authorizeUnrouted(request: KnownRequest): Stop | undefined {
  const verdict = judgeRequest(request, request.chain, undefined);
  request.record.dryRun = [...request.record.dryRun, ...verdict.dryRun];
  if (verdict.kind === "permit") return undefined;
  return refuse(request, verdict.code, { policy: verdict.policy, message: verdict.message });
}

/**
 * The verdict that a chain and a route of it give: the chain's rules but for the filters that the route speaks to itself, and
 * the route's. All of them must agree. The external authorizer's consent is of the request's beginning.
 */
export function judgeRequest(context: KnownRequest, chain: HttpChain, route: Route | undefined): HttpVerdict {
  const { token, external } = context;
  const { custom, rules } = chain.authorization;
  const own = route?.authorization;
  const authorization = own ? { custom, rules: [...rulesBeside(own, rules), ...own.rules] } : chain.authorization;
  return evaluateHttp(authorization, requestAttributes(context, token?.claims), external);
}

const rulesBeside = ({ replaced }: RouteRules, rules: readonly RuleSet[]): readonly RuleSet[] =>
  rules.filter(({ filter }) => filter === undefined || !replaced.has(filter));
