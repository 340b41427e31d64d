/** Reading back what a waypoint is sent, and the objects of a small shop behind one. */
import { type Cluster, ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { type Listener, ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import type { FilterChain } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { type RouteConfiguration, RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import {
  file_envoy_config_route_v3_route_components as file_routes,
  type Route,
  RouteListSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { file_envoy_config_trace_v3_opentelemetry as file_otel } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import { file_envoy_extensions_access_loggers_file_v3_file as file_access_log } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import { file_envoy_extensions_access_loggers_filters_cel_v3_cel as file_cel } from "@ambit/envoy-api/envoy/extensions/access_loggers/filters/cel/v3/cel";
import { file_envoy_extensions_access_loggers_grpc_v3_als as file_als } from "@ambit/envoy-api/envoy/extensions/access_loggers/grpc/v3/als";
import { file_envoy_extensions_access_loggers_open_telemetry_v3_logs_service as file_otel_log } from "@ambit/envoy-api/envoy/extensions/access_loggers/open_telemetry/v3/logs_service";
import { file_envoy_extensions_filters_http_cors_v3_cors as file_cors } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { file_envoy_extensions_filters_http_ext_authz_v3_ext_authz as file_ext_authz } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import { file_envoy_extensions_filters_http_fault_v3_fault as file_fault } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { file_envoy_extensions_filters_http_grpc_stats_v3_config as file_grpc_stats } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_stats/v3/config";
import { file_envoy_extensions_filters_http_grpc_web_v3_grpc_web as file_grpc_web } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_web/v3/grpc_web";
import { file_envoy_extensions_filters_http_jwt_authn_v3_config as file_jwt } from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { file_envoy_extensions_filters_http_rbac_v3_rbac as file_http_rbac } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { file_envoy_extensions_filters_http_router_v3_router as file_router } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { file_envoy_extensions_filters_http_set_filter_state_v3_set_filter_state as file_set_filter_state } from "@ambit/envoy-api/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state";
import { file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector as file_http_inspector } from "@ambit/envoy-api/envoy/extensions/filters/listener/http_inspector/v3/http_inspector";
import { file_envoy_extensions_filters_listener_original_dst_v3_original_dst as file_original_dst } from "@ambit/envoy-api/envoy/extensions/filters/listener/original_dst/v3/original_dst";
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector as file_tls_inspector } from "@ambit/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector";
import { file_envoy_extensions_filters_network_ext_authz_v3_ext_authz as file_tcp_ext_authz } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import {
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager as file_http_connection_manager,
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { file_envoy_extensions_filters_network_rbac_v3_rbac as file_network_rbac } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { file_envoy_extensions_filters_network_set_filter_state_v3_set_filter_state as file_network_set_filter_state } from "@ambit/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state";
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy as file_tcp_proxy } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { file_envoy_extensions_matching_common_inputs_network_v3_network_inputs as file_network_inputs } from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import { file_envoy_extensions_path_match_uri_template_v3_uri_template_match as file_uri_template } from "@ambit/envoy-api/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts as file_previous_hosts } from "@ambit/envoy-api/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts";
import { file_envoy_extensions_transport_sockets_internal_upstream_v3_internal_upstream as file_internal_upstream } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer as file_raw_buffer } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import { file_envoy_extensions_transport_sockets_tls_v3_tls as file_tls } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options as file_http_options } from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { file_udpa_type_v1_typed_struct as file_typed_struct } from "@ambit/envoy-api/udpa/type/v1/typed_struct";
import { file_xds_type_matcher_v3_ip as file_ip } from "@ambit/envoy-api/xds/type/matcher/v3/ip";
import { createRegistry, type DescMessage, fromBinary, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type Any, anyUnpack, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import { pod, TestMesh } from "../test-objects.ts";
import { typeUrlOf } from "./proto.ts";

export const GATEWAY = "shop/wp";
const NODE = "node1";

/** A mesh as one waypoint is told it. */
export class TestWaypoint extends TestMesh {
  readonly gateway: string;

  constructor(yaml: string, gateway = GATEWAY) {
    super(yaml);
    this.gateway = gateway;
  }

  listener(name: string): Listener {
    return this.#need(ListenerSchema, name);
  }

  cluster(name: string): Cluster {
    return this.#need(ClusterSchema, name);
  }

  routes(name: string): readonly Route[] {
    return this.routeTable(name).virtualHosts[0]?.routes ?? [];
  }

  /** The routes for clients of a namespace; of one that has no routes of its own, those of everybody. */
  routesFor(name: string, namespace: string, trustDomain = "cluster.local"): readonly Route[] {
    const matcher = this.routeTable(name).virtualHosts[0]?.matcher;
    const tree = matcher?.matcherType.case === "matcherTree" ? matcher.matcherType.value.treeType : undefined;
    const map = tree?.case === "prefixMatchMap" ? tree.value.map : {};
    const chosen = map[`spiffe://${trustDomain}/ns/${namespace}/`] ?? matcher?.onNoMatch;
    if (chosen?.onMatch.case !== "action") return this.routes(name);
    return unpacked(RouteListSchema, chosen.onMatch.value.typedConfig).routes;
  }

  routeTable(name: string): RouteConfiguration {
    return this.#need(RouteConfigurationSchema, name);
  }

  endpoints(name: string, node = NODE): ClusterLoadAssignment {
    return this.#need(ClusterLoadAssignmentSchema, name, `${this.gateway}@${node}`);
  }

  chain(name: string): FilterChain {
    const found = this.listener("main_internal").filterChains.find((chain) => chain.name === name);
    if (!found) throw new Error(`no chain ${name}`);
    return found;
  }

  http(name: string): HttpConnectionManager {
    const config = this.chain(name).filters.at(-1)?.configType;
    return unpacked(HttpConnectionManagerSchema, config?.case === "typedConfig" ? config.value : undefined);
  }

  /** Names of a type at this waypoint, sorted. */
  namesOf(schema: DescMessage, scope = this.gateway): readonly string[] {
    return this.model
      .resources()
      .flatMap((each) =>
        each.kind === "envoy" && each.scope === scope && each.typeUrl === typeUrlOf(schema) ? [each.name] : [],
      )
      .sort();
  }

  #need<Desc extends DescMessage>(schema: Desc, name: string, scope = this.gateway): MessageShape<Desc> {
    const found = this.model
      .resources()
      .find(
        (each) =>
          each.kind === "envoy" && each.scope === scope && each.typeUrl === typeUrlOf(schema) && each.name === name,
      );
    if (found?.kind !== "envoy") throw new Error(`${scope} has no ${schema.name} ${name}`);
    return fromBinary(schema, found.value);
  }
}

export function unpacked<Desc extends DescMessage>(schema: Desc, any: Any | undefined): MessageShape<Desc> {
  const message = any && anyUnpack(any, schema);
  if (!message) throw new Error(`expected ${schema.typeName}, got ${any?.typeUrl}`);
  return message;
}

/** Every extension that is packed into an `Any` somewhere. */
export const EXTENSIONS = createRegistry(
  file_http_connection_manager,
  file_tcp_proxy,
  file_original_dst,
  file_http_inspector,
  file_tls_inspector,
  file_network_inputs,
  file_ip,
  file_router,
  file_fault,
  file_cors,
  file_grpc_stats,
  file_grpc_web,
  file_set_filter_state,
  file_network_set_filter_state,
  file_http_rbac,
  file_network_rbac,
  file_uri_template,
  file_tls,
  file_internal_upstream,
  file_raw_buffer,
  file_http_options,
  file_previous_hosts,
  file_google_protobuf_wrappers,
  file_jwt,
  file_ext_authz,
  file_tcp_ext_authz,
  file_access_log,
  file_als,
  file_otel_log,
  file_cel,
  file_typed_struct,
  file_otel,
  file_routes,
);

export const asJson = <Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): unknown =>
  toJson(schema, message, { registry: EXTENSIONS });

export const gatewayYaml = (more = "", className = "ambit-waypoint"): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: wp, namespace: shop${more} }
spec: { gatewayClassName: ${className}, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
status: { addresses: [{ type: Hostname, value: wp.shop.svc.cluster.local }] }
---
`;

export const waypointPod = (name = "wp-1"): string =>
  pod(name, { ip: "10.0.9.1", labels: "gateway.networking.k8s.io/gateway-name: wp" });

export const namespaceYaml = (annotations = ""): string =>
  `apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { istio.io/use-waypoint: wp }, annotations: { ${annotations} } }\n---\n`;

export const serviceYaml = (
  name: string,
  vip: string,
  more: { readonly ports?: string; readonly meta?: string; readonly spec?: string } = {},
): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop${more.meta ?? ""} }
spec: { clusterIP: ${vip}, selector: { app: ${name} }, ports: [${more.ports ?? "{ name: http, port: 80, targetPort: 8080 }"}]${more.spec ?? ""} }
---
`;

export const enrolledPod = (name: string, ip: string, app = name): string =>
  pod(name, { ip, labels: `app: ${app}`, meta: 'annotations: { ambient.istio.io/redirection: "enabled" }' });

export const routeYaml = (name: string, parent: string, rules: string, more = ""): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name}, namespace: shop${more} }
spec: { parentRefs: [{ group: "", kind: Service, name: ${parent} }], rules: [${rules}] }
---
`;

export const policyYaml = (name: string, spec: string, more = ""): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: shop${more} }
spec: { targetRefs: [{ group: "", kind: Service, name: web }], ${spec} }
---
`;

export const vip = (service: string, port = 80, protocol = "http"): string =>
  `inbound-vip|${port}|${protocol}|${service}.shop.svc.cluster.local`;

/** Two services of two pods each behind a waypoint with one replica. */
export const SHOP = [
  namespaceYaml(),
  gatewayYaml(),
  waypointPod(),
  serviceYaml("web", "10.96.0.1"),
  serviceYaml("next", "10.96.0.2"),
  enrolledPod("web-1", "10.0.0.1", "web"),
  enrolledPod("next-1", "10.0.0.2", "next"),
].join("");
