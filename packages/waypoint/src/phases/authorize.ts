/** Phase 4: may it pass? The permit is what forwarding asks for. */
import { evaluateHttp, type RequestPermit } from "../policy/index.ts";
import type { RoutedContext } from "../request-context.ts";
import { requestAttributes } from "./policy-attributes.ts";
import { refuse, type Stop } from "./stop.ts";

export interface Authorized {
  readonly kind: "authorized";
  readonly permit: RequestPermit;
}

/** A route with rules of its own has them instead of the chain's. Parity: Envoy RBACPerRoute. */
export function authorizeRequest(context: RoutedContext): Authorized | Stop {
  const { chain, route, record, token, external } = context;
  const rules = route.authorization?.rules ?? chain.authorization.rules;
  const authorization = { custom: chain.authorization.custom, rules };
  const verdict = evaluateHttp(authorization, requestAttributes(context, token?.claims), external);
  record.dryRun = verdict.dryRun;
  if (verdict.kind === "refuse") {
    return refuse(context, verdict.code, { policy: verdict.policy, message: verdict.message });
  }
  record.policy = verdict.policy;
  return { kind: "authorized", permit: verdict.permit };
}
