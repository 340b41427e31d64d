/** The two kinds of chain a service port has. Parity: istiod. */
import type { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { CorsSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { FilterConfigSchema as GrpcStatsSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_stats/v3/config";
import { GrpcWebSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_web/v3/grpc_web";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { TcpProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { TypedStructSchema } from "@ambit/envoy-api/udpa/type/v1/typed_struct";
import type { JsonObject } from "@bufbuild/protobuf";
import { SERVER_NAME } from "./connect-listeners.ts";
import type { PortProtocol } from "./derived-facts.ts";
import type { Guards, HttpFilterInit } from "./guards.ts";
import { duration, filter, type Init } from "./proto.ts";
import { clientIdentity, type ManagerHeaders } from "./proxy-headers.ts";

type ChainInit = Init<typeof FilterChainSchema>;
type HcmInit = Init<typeof HttpConnectionManagerSchema>;

/** Settings of the mesh that reach an HTTP chain. */
export interface HttpSettings {
  readonly manager?: ManagerHeaders &
    Pick<HcmInit, "accessLog" | "tracing" | "normalizePath" | "mergeSlashes" | "pathWithEscapedSlashesAction">;
  /** Configuration of `istio.stats`. */
  readonly stats?: JsonObject | undefined;
  /** Destinations are told who the client is. */
  readonly tellsClientIdentity?: boolean;
  /** Requests name their host themselves. */
  readonly dynamicHosts?: HttpFilterInit | undefined;
  /** Routes keep sessions at endpoints. */
  readonly sessions?: readonly HttpFilterInit[];
  readonly hidesEnvoyHeaders?: boolean;
}

export interface HttpChainInit {
  readonly name: string;
  readonly port: number;
  readonly protocol: PortProtocol;
  readonly guards: Guards;
  readonly routes: NonNullable<HcmInit["routeSpecifier"]>;
  readonly settings?: HttpSettings;
}

/** Istio's proxies have this filter, Envoy has not. */
const STATS_FILTER = "istio.stats";
const STATS_TYPE = "type.googleapis.com/stats.PluginConfig";

export function httpChain(init: HttpChainInit): ChainInit {
  const { name, port, protocol, guards, settings = {} } = init;
  const isHttp2 = protocol === "http2" || protocol === "grpc" || protocol === "grpc-web";
  const manager: HcmInit = {
    statPrefix: `inbound_0.0.0.0_${port};`,
    routeSpecifier: init.routes,
    normalizePath: true,
    serverName: SERVER_NAME,
    ...settings.manager,
    upgradeConfigs: [{ upgradeType: "websocket" }],
    streamIdleTimeout: duration(0),
    useRemoteAddress: false,
    proxy100Continue: true,
    ...(isHttp2 && { http2ProtocolOptions: {} }),
    httpFilters: httpFilters(protocol, guards, settings),
  };
  return {
    name,
    filters: [filter("envoy.filters.network.http_connection_manager", HttpConnectionManagerSchema, manager)],
  };
}

/** The order decides: who is refused sees no fault, and a preflight must be allowed by the policies. */
function httpFilters(
  protocol: PortProtocol,
  { http }: Guards,
  { stats, tellsClientIdentity, hidesEnvoyHeaders, dynamicHosts, sessions = [] }: HttpSettings,
): readonly HttpFilterInit[] & HttpConnectionManager["httpFilters"] {
  const filters: readonly HttpFilterInit[] = [
    // First: an external authorizer may want to know, too.
    ...(tellsClientIdentity ? [clientIdentity()] : []),
    ...http.custom,
    ...http.tokens,
    ...http.rules,
    ...(protocol === "grpc-web" ? [filter("envoy.filters.http.grpc_web", GrpcWebSchema)] : []),
    filter("envoy.filters.http.grpc_stats", GrpcStatsSchema, {
      emitFilterState: true,
      perMethodStatSpecifier: { case: "statsForAllMethods", value: { value: false } },
    }),
    ...(stats ? [statsFilter(stats)] : []),
    filter("envoy.filters.http.fault", HTTPFaultSchema),
    filter("envoy.filters.http.cors", CorsSchema),
    ...sessions,
    ...(dynamicHosts ? [dynamicHosts] : []),
    filter("envoy.filters.http.router", RouterSchema, hidesEnvoyHeaders ? { suppressEnvoyHeaders: true } : {}),
  ];
  return filters as never;
}

/** Optional: a proxy that does not have it counts as ever. */
const statsFilter = (value: JsonObject): HttpFilterInit => ({
  ...filter(STATS_FILTER, TypedStructSchema, { typeUrl: STATS_TYPE, value }),
  isOptional: true,
});

export interface TcpChainInit {
  readonly name: string;
  /** At least one; weights add up to more than 0. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  readonly guards: Guards;
  readonly settings?: Pick<
    Init<typeof TcpProxySchema>,
    "accessLog" | "idleTimeout" | "hashPolicy" | "maxDownstreamConnectionDuration"
  >;
  /** Differs: network filters cannot be optional, so it is metadata of the chain: Envoy lets it be. */
  readonly stats?: JsonObject | undefined;
}

export function tcpChain({ name, clusters, guards, settings, stats }: TcpChainInit): ChainInit {
  const [only] = clusters;
  const clusterSpecifier =
    clusters.length === 1 && only
      ? { case: "cluster" as const, value: only.name }
      : { case: "weightedClusters" as const, value: { clusters: clusters.map((each) => ({ ...each })) } };
  return {
    name,
    ...(stats && { metadata: { filterMetadata: { [STATS_FILTER]: stats } } }),
    filters: [
      ...guards.tcp,
      filter("envoy.filters.network.tcp_proxy", TcpProxySchema, { statPrefix: name, clusterSpecifier, ...settings }),
    ],
  };
}
