/**
 * A virtual host whose routes depend on who asks: the tunnel's proven peer, by the namespace in its SPIFFE ID. No header
 * has a say in it.
 */
import { RouteListSchema, type VirtualHostSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { FilterStateInputSchema } from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import type { Matcher_OnMatchSchema } from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import { PEER_PRINCIPAL } from "../names.ts";
import { extension, type Init, sortedRecord } from "../proto.ts";
import type { RouteInit } from "./default-route.ts";
import type { CompiledRoutes } from "./http-route.ts";

interface ClientRoutes {
  readonly namespace: string;
  readonly compiled: CompiledRoutes;
}

/** How SPIFFE IDs of a namespace begin, under each name of the trust domain. */
export const principalPrefixes = (namespace: string, trustDomains: readonly string[]): readonly string[] =>
  trustDomains.map((domain) => `spiffe://${domain}/ns/${namespace}/`);

/** A request that no route of its client's namespace matches is answered 404: the two sets are never merged. */
export function routesByClient(
  producer: readonly RouteInit[],
  consumers: readonly ClientRoutes[],
  trustDomains: readonly string[],
): Pick<Init<typeof VirtualHostSchema>, "routes" | "matcher"> {
  if (consumers.length === 0) return { routes: [...producer] };
  const entries = consumers.flatMap(({ namespace, compiled }) =>
    principalPrefixes(namespace, trustDomains).map(
      (prefix) => [prefix, listOf(`consumer ${namespace}`, compiled.routes)] as const,
    ),
  );
  return {
    matcher: {
      matcherType: {
        case: "matcherTree",
        value: {
          input: extension("envoy.matching.inputs.filter_state", FilterStateInputSchema, { key: PEER_PRINCIPAL }),
          treeType: { case: "prefixMatchMap", value: { map: sortedRecord(entries) } },
        },
      },
      onNoMatch: listOf("producer", producer),
    },
  };
}

const listOf = (name: string, routes: readonly RouteInit[]): Init<typeof Matcher_OnMatchSchema> => ({
  onMatch: { case: "action", value: extension(name, RouteListSchema, { routes: [...routes] }) },
});
