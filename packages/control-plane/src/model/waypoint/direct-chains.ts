/** Chains for tunnels to a workload's own address: on to exactly that workload. */
import type { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { httpChain, tcpChain } from "./filter-chain.ts";
import { NO_GUARDS } from "./guards.ts";
import { DIRECT_HTTP, DIRECT_TCP, ENCAP } from "./names.ts";
import type { Init } from "./proto.ts";
import { defaultRoute } from "./routes/default-route.ts";

export const directChains = (): readonly Init<typeof FilterChainSchema>[] => [
  httpChain({
    name: DIRECT_HTTP,
    port: 0,
    protocol: "undeclared",
    guards: NO_GUARDS,
    routes: {
      case: "routeConfig",
      value: {
        name: ENCAP,
        validateClusters: false,
        virtualHosts: [{ name: "inbound|http|0", domains: ["*"], routes: [defaultRoute(ENCAP)] }],
      },
    },
  }),
  tcpChain({ name: DIRECT_TCP, clusters: [{ name: ENCAP, weight: 1 }], guards: NO_GUARDS }),
];
