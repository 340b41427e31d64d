/** `main_internal`: which chain takes a tunnel, by the address and port it was opened to. */

import { TrafficDirection } from "@ambit/envoy-api/envoy/config/core/v3/base";
import type { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import type {
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { HttpInspectorSchema } from "@ambit/envoy-api/envoy/extensions/filters/listener/http_inspector/v3/http_inspector";
import { TlsInspectorSchema } from "@ambit/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector";
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  FilterStateInputSchema,
} from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import type { CidrRangeSchema } from "@ambit/envoy-api/xds/core/v3/cidr";
import { IPMatcherSchema } from "@ambit/envoy-api/xds/type/matcher/v3/ip";
import type { Matcher_OnMatchSchema, MatcherSchema } from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import { type IpAddress, isIpv4 } from "@ambit/shared/net";
import type { DescMessage } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { originalDestination } from "./connect-listeners.ts";
import type { ChainFact } from "./derived-facts.ts";
import { directChains } from "./direct-chains.ts";
import type { Guards } from "./guards.ts";
import { DIRECT_HTTP, DIRECT_TCP, MAIN_INTERNAL, PEER_PRINCIPAL } from "./names.ts";
import { duration, extension, filter, type Init, sortedRecord } from "./proto.ts";
import type { ChainSettings } from "./settings.ts";

type OnMatch = Init<typeof Matcher_OnMatchSchema>;
type Tree = Init<typeof MatcherSchema>;

/**
 * Differs: istiod leaves Envoy's 15 s, after which the connection is closed, so that protocols in which the server
 * speaks first never work on a port whose protocol is not declared. Here such a connection becomes plain TCP.
 */
const SNIFF_TIMEOUT_MS = 1_000;

export interface MainInternalInit {
  readonly chains: readonly ChainFact[];
  /** Addresses of the workloads that asked for this waypoint themselves. */
  readonly workloads: readonly IpAddress[];
  /** What guards the way to these workloads, and how it is logged. */
  readonly guards: Guards;
  readonly settings: ChainSettings;
}

export function mainInternal(init: MainInternalInit): Init<typeof ListenerSchema> {
  const { chains, workloads } = init;
  const sorted = withoutDoubles(chains);
  const inspectors: Init<typeof ListenerFilterSchema>[] = [
    originalDestination(),
    {
      ...filter("envoy.filters.listener.http_inspector", HttpInspectorSchema),
      ...uninspected(sorted, workloads.length > 0),
    },
  ];
  if (sorted.some(({ inspectsTls }) => inspectsTls)) {
    inspectors.push(filter("envoy.filters.listener.tls_inspector", TlsInspectorSchema));
  }
  return {
    name: MAIN_INTERNAL,
    listenerSpecifier: { case: "internalListener", value: {} },
    trafficDirection: TrafficDirection.INBOUND,
    listenerFilters: inspectors,
    listenerFiltersTimeout: duration(SNIFF_TIMEOUT_MS),
    continueOnListenerFiltersTimeout: true,
    filterChains: [...sorted.flatMap(allChains), ...directChains(init)],
    filterChainMatcher: byAddress(sorted, workloads),
  };
}

const allChains = ({ http, tcp, consumers = [] }: ChainFact) =>
  [http ?? [], tcp ?? [], consumers.map((each) => each.tcp)].flat();

type Predicate = Init<typeof ListenerFilterChainMatchPredicateSchema>;

/**
 * Ports on which nothing has to be guessed. There an Envoy must not look: a client that sends and then ends its direction
 * while it is looked at is closed, so that short exchanges over TCP would be lost. A workload's own ports are all guessed.
 */
function uninspected(chains: readonly ChainFact[], hasWorkloads: boolean): { readonly filterDisabled?: Predicate } {
  const guessed = new Set(chains.filter(({ http, tcp }) => http && tcp).map(({ port }) => port));
  const ports = [...new Set(chains.map(({ port }) => port))].filter((port) => !guessed.has(port)).sort((a, b) => a - b);
  const [only, ...others] = ports.map(onPort);
  if (only === undefined || hasWorkloads) return {};
  if (others.length === 0) return { filterDisabled: only };
  return { filterDisabled: { rule: { case: "orMatch", value: { rules: [only, ...others] } } } };
}

const onPort = (port: number): Predicate => ({
  rule: { case: "destinationPortRange", value: { start: port, end: port + 1 } },
});

/**
 * In order of services. Two services of one hostname would have chains of one name, also when only one of them declares the
 * port's protocol: the first keeps all its names, as it does for clusters and routes, and the other cannot be reached here.
 * A name that came twice would have the whole listener refused.
 */
function withoutDoubles(chains: readonly ChainFact[]): readonly ChainFact[] {
  const sorted = [...chains].sort((a, b) =>
    a.service === b.service ? a.port - b.port : a.service < b.service ? -1 : 1,
  );
  const taken = new Set<string>();
  return sorted.filter((chain) => {
    const names = allChains(chain).map(({ name }) => name ?? "");
    if (names.some((name) => taken.has(name))) return false;
    for (const name of names) taken.add(name);
    return true;
  });
}

function byAddress(chains: readonly ChainFact[], workloads: readonly IpAddress[]): Tree {
  const rangeMatchers = [...groupByService(chains)].map((ports) => ({
    ranges: (ports[0]?.vips ?? []).map(cidrOf),
    onMatch: byPort(ports),
  }));
  if (workloads.length > 0) {
    rangeMatchers.push({ ranges: workloads.map(cidrOf), onMatch: byProtocol(DIRECT_HTTP, toChain(DIRECT_TCP)) });
  }
  return tree(extension("envoy.matching.inputs.destination_ip", DestinationIPInputSchema), {
    case: "customMatch",
    value: extension("ip", IPMatcherSchema, { rangeMatchers: rangeMatchers.length > 0 ? rangeMatchers : [NOTHING] }),
  });
}

/** Services without addresses cannot be asked for; their chains are left out of the tree. */
function groupByService(chains: readonly ChainFact[]): Iterable<readonly ChainFact[]> {
  const services = new Map<string, ChainFact[]>();
  for (const chain of chains) {
    if (chain.vips.length === 0) continue;
    const ports = services.get(chain.service) ?? [];
    services.set(chain.service, [...ports, chain]);
  }
  return services.values();
}

function byPort(ports: readonly ChainFact[]): OnMatch {
  const map = ports.map((chain): [string, OnMatch] => [String(chain.port), chainOf(chain)]);
  return nested(
    tree(extension("envoy.matching.inputs.destination_port", DestinationPortInputSchema), {
      case: "exactMatchMap",
      value: { map: Object.fromEntries(map) },
    }),
  );
}

function chainOf(chain: ChainFact): OnMatch {
  const { http, tcp } = chain;
  if (!tcp) return toChain(http?.name ?? "");
  return http ? byProtocol(http.name, byPeer(tcp.name, chain)) : byPeer(tcp.name, chain);
}

/** What the inspector read; the quotes are part of the key. */
const byProtocol = (http: string, tcp: OnMatch): OnMatch =>
  nested({
    ...tree(extension("envoy.matching.inputs.application_protocol", ApplicationProtocolInputSchema), {
      case: "exactMatchMap",
      value: {
        map: sortedRecord(["'http/1.0'", "'http/1.1'", "'h2c'"].map((key) => [key, toChain(http)] as const)),
      },
    }),
    onNoMatch: tcp,
  });

/** Who opened the tunnel, as it proved. */
function byPeer(tcp: string, { consumers = [] }: ChainFact): OnMatch {
  const entries = consumers.flatMap((each) => each.prefixes.map((prefix) => [prefix, toChain(each.tcp.name)] as const));
  if (entries.length === 0) return toChain(tcp);
  return nested({
    ...tree(extension("envoy.matching.inputs.filter_state", FilterStateInputSchema, { key: PEER_PRINCIPAL }), {
      case: "prefixMatchMap",
      value: { map: sortedRecord(entries) },
    }),
    onNoMatch: toChain(tcp),
  });
}

/** An address that no tunnel is opened to: a tree may not be empty, and no chain may be the default. */
const NOTHING = {
  ranges: [{ addressPrefix: "0.0.0.0", prefixLen: 32 }],
  onMatch: nested(
    tree(extension("envoy.matching.inputs.destination_port", DestinationPortInputSchema), {
      case: "exactMatchMap",
      value: { map: { "0": toChain(DIRECT_TCP) } },
    }),
  ),
};

function nested(matcher: Tree): OnMatch {
  return { onMatch: { case: "matcher", value: matcher } };
}

function toChain(name: string): OnMatch {
  return {
    onMatch: { case: "action", value: extension(name, StringValueSchema as DescMessage, { value: name } as never) },
  };
}

function tree(
  input: ReturnType<typeof extension>,
  treeType: NonNullable<Extract<NonNullable<Tree["matcherType"]>, { case: "matcherTree" }>["value"]["treeType"]>,
): Tree {
  return { matcherType: { case: "matcherTree", value: { input, treeType } } };
}

const cidrOf = (address: IpAddress): Init<typeof CidrRangeSchema> => ({
  addressPrefix: address,
  prefixLen: isIpv4(address) ? 32 : 128,
});
