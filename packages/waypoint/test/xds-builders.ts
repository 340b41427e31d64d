/** Builders of Envoy resources for tests, in the shapes that istiod and our control plane send. */
import { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import type { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import {
  HttpConnectionManagerSchema,
  type HttpFilterSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { TcpProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  FilterStateInputSchema,
} from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import { TypedStructSchema } from "@ambit/envoy-api/udpa/type/v1/typed_struct";
import { IPMatcherSchema } from "@ambit/envoy-api/xds/type/matcher/v3/ip";
import {
  type Matcher,
  type Matcher_OnMatch,
  Matcher_OnMatchSchema,
  MatcherSchema,
} from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import { ipOf } from "@ambit/shared/net";
import { create, type DescMessage, type JsonObject, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { TunnelDestination } from "../src/model/route-model.ts";
import type { XdsResource } from "../src/xds/index.ts";

export function pack<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init));
}

export const bytesOf = <Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Uint8Array =>
  toBinary(schema, create(schema, init));

/** An Istio extension, which Envoy takes as a struct. */
export const struct = (typeUrl: string, value: JsonObject = {}): Any =>
  pack(TypedStructSchema, { typeUrl: `type.googleapis.com/${typeUrl}`, value });

export const seconds = (count: number) => ({
  seconds: BigInt(Math.floor(count)),
  nanos: Math.round((count % 1) * 1e9),
});

// Clusters and endpoints

export const cluster = (name: string, init: MessageInitShape<typeof ClusterSchema> = {}): XdsResource => ({
  name,
  bytes: bytesOf(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: "type", value: 3 },
    edsClusterConfig: { serviceName: name },
    connectTimeout: seconds(10),
    lbPolicy: 1,
    ...init,
  } as MessageInitShape<typeof ClusterSchema>),
});

type EndpointInit = NonNullable<
  NonNullable<MessageInitShape<typeof ClusterLoadAssignmentSchema>["endpoints"]>[number]["lbEndpoints"]
>[number];

/** An endpoint that takes HBONE. */
export const hbone = (address: string, workload = "", more: Partial<Record<string, string>> = {}): EndpointInit => ({
  hostIdentifier: {
    case: "endpoint",
    value: {
      address: {
        address: {
          case: "envoyInternalAddress",
          value: {
            addressNameSpecifier: { case: "serverListenerName", value: "connect_originate" },
            endpointId: address,
          },
        },
      },
    },
  },
  metadata: {
    filterMetadata: {
      "envoy.filters.listener.original_dst": { local: address, ...more } as JsonObject,
      istio: { workload },
    },
  },
});

/** An endpoint that is reached as it is. */
export const plain = (address: string, portValue: number): EndpointInit => ({
  hostIdentifier: {
    case: "endpoint",
    value: {
      address: {
        address: { case: "socketAddress", value: { address, portSpecifier: { case: "portValue", value: portValue } } },
      },
    },
  },
});

export const endpoints = (name: string, ...lbEndpoints: EndpointInit[]): XdsResource =>
  assignment(name, { endpoints: [{ locality: { region: "r1", zone: "z1" }, lbEndpoints }] });

export const assignment = (name: string, init: MessageInitShape<typeof ClusterLoadAssignmentSchema>): XdsResource => ({
  name,
  bytes: bytesOf(ClusterLoadAssignmentSchema, { clusterName: name, ...init }),
});

// Routes

export type RouteInit = NonNullable<
  NonNullable<MessageInitShape<typeof RouteConfigurationSchema>["virtualHosts"]>[number]["routes"]
>[number];

export const slash = { pathSpecifier: { case: "prefix", value: "/" } } as const;

/** Everything to one cluster. */
export const toCluster = (name: string, init: RouteInit = {}): RouteInit =>
  ({
    name: "default",
    match: slash,
    action: { case: "route", value: { clusterSpecifier: { case: "cluster", value: name }, timeout: seconds(0) } },
    ...init,
  }) as RouteInit;

export const routesInit = (
  name: string,
  ...routes: RouteInit[]
): MessageInitShape<typeof RouteConfigurationSchema> => ({
  name,
  virtualHosts: [{ name: "inbound|http|80", domains: ["*"], routes }],
});

export const routeResource = (name: string, ...routes: RouteInit[]): XdsResource => ({
  name,
  bytes: bytesOf(RouteConfigurationSchema, routesInit(name, ...routes)),
});

// Filter chains

export type ChainInit = MessageInitShape<typeof FilterChainSchema>;
type ManagerInit = MessageInitShape<typeof HttpConnectionManagerSchema>;
type FilterInit = MessageInitShape<typeof HttpFilterSchema>;

export const httpFilter = (name: string, typedConfig: Any, more: FilterInit = {}): FilterInit => ({
  name,
  configType: { case: "typedConfig", value: typedConfig },
  ...more,
});

const router = httpFilter("envoy.filters.http.router", pack(RouterSchema, {}));

/** An HTTP chain; `filters` come before the router. */
export function httpChain(
  name: string,
  routes: RouteInit[],
  filters: FilterInit[] = [],
  manager: ManagerInit = {},
): ChainInit {
  const value = pack(HttpConnectionManagerSchema, {
    statPrefix: "inbound",
    routeSpecifier: { case: "routeConfig", value: routesInit(name, ...routes) },
    httpFilters: [...filters, router],
    normalizePath: true,
    streamIdleTimeout: seconds(0),
    upgradeConfigs: [{ upgradeType: "websocket" }],
    ...manager,
  } as ManagerInit);
  return {
    name,
    filters: [{ name: "envoy.filters.network.http_connection_manager", configType: { case: "typedConfig", value } }],
  };
}

/** An HTTP chain whose routes come by RDS. */
export const rdsChain = (name: string, routeConfigName: string): ChainInit =>
  httpChain(name, [], [], { routeSpecifier: { case: "rds", value: { routeConfigName } } });

export function tcpChain(
  name: string,
  proxy: MessageInitShape<typeof TcpProxySchema>,
  guards: { name: string; config: Any }[] = [],
): ChainInit {
  const value = pack(TcpProxySchema, { statPrefix: name, ...proxy });
  return {
    name,
    filters: [...guards, { name: "envoy.filters.network.tcp_proxy", config: value }].map((filter) => ({
      name: filter.name,
      configType: { case: "typedConfig" as const, value: filter.config },
    })),
  };
}

// Which chain: the tree of main_internal

export const toChain = (name: string): Matcher_OnMatch =>
  create(Matcher_OnMatchSchema, {
    onMatch: { case: "action", value: { name, typedConfig: pack(StringValueSchema, { value: name }) } },
  });

const input = (typedConfig: Any) => ({ name: "input", typedConfig });
const deeper = (matcher: Matcher): Matcher_OnMatch =>
  create(Matcher_OnMatchSchema, { onMatch: { case: "matcher", value: matcher } });

const exactly = (by: Any, map: Record<string, Matcher_OnMatch>, onNoMatch?: Matcher_OnMatch): Matcher =>
  create(MatcherSchema, {
    matcherType: {
      case: "matcherTree",
      value: { input: input(by), treeType: { case: "exactMatchMap", value: { map } } },
    },
    ...(onNoMatch ? { onNoMatch } : {}),
  });

export const byPort = (ports: Record<string, Matcher_OnMatch>): Matcher_OnMatch =>
  deeper(exactly(pack(DestinationPortInputSchema, {}), ports));

export const byProtocol = (http: string, tcp: string | Matcher_OnMatch): Matcher_OnMatch => {
  const map = { "'h2c'": toChain(http), "'http/1.1'": toChain(http) };
  const rest = typeof tcp === "string" ? toChain(tcp) : tcp;
  return deeper(exactly(pack(ApplicationProtocolInputSchema, {}), map, rest));
};

export const byAuthority = (map: Record<string, Matcher_OnMatch>, otherwise: Matcher): Matcher =>
  exactly(pack(FilterStateInputSchema, { key: "io.istio.connect_authority" }), map, deeper(otherwise));

/** @param map  beginnings of SPIFFE IDs */
export const byPeer = (map: Record<string, Matcher_OnMatch>, otherwise: Matcher_OnMatch): Matcher_OnMatch => {
  const by = pack(FilterStateInputSchema, { key: "io.istio.peer_principal" });
  return deeper(
    create(MatcherSchema, {
      matcherType: {
        case: "matcherTree",
        value: { input: input(by), treeType: { case: "prefixMatchMap", value: { map } } },
      },
      onNoMatch: otherwise,
    }),
  );
};

export const byAddress = (
  ...ranges: { addresses: string[]; leadsTo: Matcher_OnMatch; exclusive?: boolean }[]
): Matcher =>
  create(MatcherSchema, {
    matcherType: {
      case: "matcherTree",
      value: {
        input: input(pack(DestinationIPInputSchema, {})),
        treeType: {
          case: "customMatch",
          value: {
            name: "ip",
            typedConfig: pack(IPMatcherSchema, {
              rangeMatchers: ranges.map(({ addresses, leadsTo, exclusive }) => ({
                ranges: addresses.map((address) => {
                  const [addressPrefix = "", length] = address.split("/");
                  return {
                    addressPrefix,
                    prefixLen: length === undefined ? (address.includes(":") ? 128 : 32) : Number(length),
                  };
                }),
                onMatch: leadsTo,
                exclusive: exclusive ?? false,
              })),
            }),
          },
        },
      },
    },
  });

export const mainListener = (matcher: Matcher | undefined, ...filterChains: ChainInit[]): XdsResource => ({
  name: "main_internal",
  bytes: bytesOf(ListenerSchema, {
    name: "main_internal",
    listenerSpecifier: { case: "internalListener", value: {} },
    trafficDirection: 1,
    filterChains,
    ...(matcher ? { filterChainMatcher: matcher } : {}),
  }),
});

export const listener = (name: string, ...filterChains: ChainInit[]): XdsResource => ({
  name,
  bytes: bytesOf(ListenerSchema, { name, filterChains }),
});

export const address = (ip: string, port: number): TunnelDestination => ({ kind: "address", ip: ipOf(ip), port });
export const hostname = (name: string, port: number): TunnelDestination => ({ kind: "hostname", hostname: name, port });
