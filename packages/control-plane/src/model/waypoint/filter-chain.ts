/** The two kinds of chain a service port has. Spec: waypoint dialect, section 2.3. */
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
import { SERVER_NAME } from "./connect-listeners.ts";
import type { PortProtocol } from "./derived-facts.ts";
import type { Guards, HttpFilterInit } from "./guards.ts";
import { duration, filter, type Init } from "./proto.ts";

type ChainInit = Init<typeof FilterChainSchema>;
type HcmInit = Init<typeof HttpConnectionManagerSchema>;

/** Settings of the mesh that reach the connection manager. */
export type HttpSettings = Pick<
  HcmInit,
  "accessLog" | "tracing" | "normalizePath" | "mergeSlashes" | "pathWithEscapedSlashesAction"
>;

export interface HttpChainInit {
  readonly name: string;
  readonly port: number;
  readonly protocol: PortProtocol;
  readonly guards: Guards;
  readonly routes: NonNullable<HcmInit["routeSpecifier"]>;
  readonly settings?: HttpSettings;
}

export function httpChain(init: HttpChainInit): ChainInit {
  const { name, port, protocol, guards } = init;
  const isHttp2 = protocol === "http2" || protocol === "grpc" || protocol === "grpc-web";
  const manager: HcmInit = {
    statPrefix: `inbound_0.0.0.0_${port};`,
    routeSpecifier: init.routes,
    normalizePath: true,
    ...init.settings,
    upgradeConfigs: [{ upgradeType: "websocket" }],
    streamIdleTimeout: duration(0),
    useRemoteAddress: false,
    serverName: SERVER_NAME,
    proxy100Continue: true,
    ...(isHttp2 && { http2ProtocolOptions: {} }),
    httpFilters: httpFilters(protocol, guards),
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
): readonly HttpFilterInit[] & HttpConnectionManager["httpFilters"] {
  const filters: readonly HttpFilterInit[] = [
    ...http.custom,
    ...http.tokens,
    ...http.rules,
    ...(protocol === "grpc-web" ? [filter("envoy.filters.http.grpc_web", GrpcWebSchema)] : []),
    filter("envoy.filters.http.grpc_stats", GrpcStatsSchema, {
      emitFilterState: true,
      perMethodStatSpecifier: { case: "statsForAllMethods", value: { value: false } },
    }),
    filter("envoy.filters.http.fault", HTTPFaultSchema),
    filter("envoy.filters.http.cors", CorsSchema),
    filter("envoy.filters.http.router", RouterSchema),
  ];
  return filters as never;
}

export interface TcpChainInit {
  readonly name: string;
  /** At least one; weights add up to more than 0. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  readonly guards: Guards;
  readonly settings?: Pick<
    Init<typeof TcpProxySchema>,
    "accessLog" | "idleTimeout" | "hashPolicy" | "maxDownstreamConnectionDuration"
  >;
}

export function tcpChain({ name, clusters, guards, settings }: TcpChainInit): ChainInit {
  const [only] = clusters;
  const clusterSpecifier =
    clusters.length === 1 && only
      ? { case: "cluster" as const, value: only.name }
      : { case: "weightedClusters" as const, value: { clusters: clusters.map((each) => ({ ...each })) } };
  return {
    name,
    filters: [
      ...guards.tcp,
      filter("envoy.filters.network.tcp_proxy", TcpProxySchema, { statPrefix: name, clusterSpecifier, ...settings }),
    ],
  };
}
