/** Chains for tunnels to a workload's own address: on to exactly that workload. */
import type { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { sameDestination } from "./connect-listeners.ts";
import { httpChain, tcpChain } from "./filter-chain.ts";
import type { Guards } from "./guards.ts";
import { DIRECT_HTTP, DIRECT_TCP, ENCAP } from "./names.ts";
import type { Init } from "./proto.ts";
import { defaultRoute } from "./routes/default-route.ts";
import type { ChainSettings } from "./settings.ts";

/** Policies of the waypoint itself hold here too; those of services cannot. */
export interface DirectChainsInit {
  readonly guards: Guards;
  readonly settings: ChainSettings;
}

export const directChains = (init: DirectChainsInit): readonly Init<typeof FilterChainSchema>[] =>
  chainsOf(init).map((chain) => ({ ...chain, filters: [sameDestination(), ...(chain.filters ?? [])] }));

const chainsOf = ({ guards, settings }: DirectChainsInit): readonly Init<typeof FilterChainSchema>[] => [
  httpChain({
    name: DIRECT_HTTP,
    port: 0,
    protocol: "undeclared",
    guards,
    settings: settings.http,
    routes: {
      case: "routeConfig",
      value: {
        name: ENCAP,
        validateClusters: false,
        virtualHosts: [{ name: "inbound|http|0", domains: ["*"], routes: [defaultRoute(ENCAP)] }],
      },
    },
  }),
  tcpChain({
    name: DIRECT_TCP,
    clusters: [{ name: ENCAP, weight: 1 }],
    guards,
    settings: settings.tcp,
    stats: settings.stats,
  }),
];
