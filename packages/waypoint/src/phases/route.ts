/** Phase 3: which route, and with which weight's cluster. */
import { ErrorCode } from "@ambit/shared/errors";
import type { Random } from "@ambit/shared/time";
import type { KnownRequest, RoutedContext } from "../request-context.ts";
import { matchRoute } from "../route/index.ts";
import { refuse, type Stop } from "./stop.ts";

export function routeRequest(request: KnownRequest, random: Random): RoutedContext | Stop {
  const { chain, exchange, path, authority, headers, token, record, tunnel } = request;
  const { method, scheme } = exchange.head;
  const routed = {
    method,
    scheme,
    authority: authority.authority,
    path: path.path,
    query: path.query,
    headers,
    claims: token?.claims,
    tunnel,
  };
  const verdict = matchRoute(chain.routes, routed, random);
  if (verdict.kind === "unmatched") {
    return refuse(request, ErrorCode.ROUTE_NOT_FOUND, { message: `no route of ${chain.routes.name} matches` });
  }
  record.route = verdict.route.name;
  record.operation = verdict.route.operation;
  return { ...request, ...verdict };
}
