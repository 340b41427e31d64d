/** Phase 4: may it pass? The permit is what forwarding asks for. */
import type { HttpChain } from "../model/route-model.ts";
import { evaluateHttp, type HttpVerdict, type RequestPermit } from "../policy/index.ts";
import type { RoutedContext } from "../request-context.ts";
import type { Route } from "../route/index.ts";
import { requestAttributes } from "./policy-attributes.ts";
import { refuse, type Stop } from "./stop.ts";

export interface Authorized {
  readonly kind: "authorized";
  readonly permit: RequestPermit;
}

/** A route with rules of its own has them instead of the chain's. Parity: Envoy RBACPerRoute. */
export function authorizeRequest(context: RoutedContext): Authorized | Stop {
  const { record } = context;
  const verdict = judgeRequest(context, context.chain, context.route);
  record.dryRun = verdict.dryRun;
  if (verdict.kind === "refuse") {
    return refuse(context, verdict.code, { policy: verdict.policy, message: verdict.message });
  }
  record.policy = verdict.policy;
  return { kind: "authorized", permit: verdict.permit };
}

/** The verdict that a chain and a route of it give. The external authorizer's consent is of the request's beginning. */
export function judgeRequest(context: RoutedContext, chain: HttpChain, route: Route | undefined): HttpVerdict {
  const { token, external } = context;
  const rules = route?.authorization?.rules ?? chain.authorization.rules;
  const authorization = { custom: chain.authorization.custom, rules };
  return evaluateHttp(authorization, requestAttributes(context, token?.claims), external);
}
