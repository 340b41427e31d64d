import type { RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { duration, type Init } from "../proto.ts";
import type { hashPolicies } from "./hash-policies.ts";
import { defaultRetry } from "./retry.ts";

export type RouteInit = Init<typeof RouteSchema>;

/** Everything to one cluster, with Istio's default retries and no timeout. */
export const defaultRoute = (
  cluster: string,
  operation = "",
  hashes: ReturnType<typeof hashPolicies> = [],
): RouteInit => ({
  name: "default",
  match: { pathSpecifier: { case: "prefix", value: "/" } },
  action: {
    case: "route",
    value: {
      clusterSpecifier: { case: "cluster", value: cluster },
      timeout: duration(0),
      maxGrpcTimeout: duration(0),
      retryPolicy: defaultRetry(),
      hashPolicy: [...hashes],
    },
  },
  ...(operation !== "" && { decorator: { operation } }),
});
