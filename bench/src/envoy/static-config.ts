/**
 * An Envoy that does a waypoint's work for one service: HBONE in, one HTTP route, HBONE out to one endpoint. Built of the same
 * three listeners that istiod gives a waypoint, without RBAC, access log and telemetry filters.
 */
export interface EnvoySetup {
  /** The endpoint, `IP:PORT`; its proxy is asked on port 15008 of the same address. */
  readonly destination: string;
  readonly trustDomain: string;
  /** Paths of PEM files. */
  readonly files: { readonly key: string; readonly chain: string; readonly roots: string };
}

/** For readiness. */
export const ENVOY_ADMIN_PORT = 15021;

const HBONE_PORT = 15008;
const TYPE = "type.googleapis.com";

export function envoyConfig(setup: EnvoySetup): unknown {
  return {
    admin: { address: socket("0.0.0.0", ENVOY_ADMIN_PORT) },
    bootstrap_extensions: [
      typed("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"),
    ],
    static_resources: {
      listeners: [terminate(setup), route(), originate(setup)],
      clusters: [
        internalCluster("main_internal", "main_internal"),
        internalCluster("service", "connect_originate"),
        tunnelCluster(setup),
      ],
    },
  };
}

function terminate(setup: EnvoySetup): unknown {
  const connect = {
    match: { connect_matcher: {} },
    route: {
      cluster: "main_internal",
      upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }],
      timeout: "0s",
    },
  };
  const manager = connectionManager("connect_terminate", [connect], {
    codec_type: "HTTP2",
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
  });
  const tls = {
    require_client_certificate: true,
    common_tls_context: tlsContext(setup),
  };
  return {
    name: "connect_terminate",
    address: socket("0.0.0.0", HBONE_PORT),
    filter_chains: [
      {
        filters: [manager],
        transport_socket: typed(
          "envoy.transport_sockets.tls",
          "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
          tls,
        ),
      },
    ],
  };
}

function route(): unknown {
  const toService = { match: { prefix: "/" }, route: { cluster: "service", timeout: "0s" } };
  const manager = connectionManager("main_internal", [toService], { normalize_path: true });
  return { name: "main_internal", internal_listener: {}, filter_chains: [{ filters: [manager] }] };
}

function originate({ destination }: EnvoySetup): unknown {
  const proxy = typed("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", {
    stat_prefix: "connect_originate",
    cluster: "connect_originate",
    tunneling_config: { hostname: destination },
  });
  return { name: "connect_originate", internal_listener: {}, filter_chains: [{ filters: [proxy] }] };
}

function tunnelCluster(setup: EnvoySetup): unknown {
  const ip = setup.destination.slice(0, setup.destination.lastIndexOf(":"));
  return {
    name: "connect_originate",
    type: "STATIC",
    load_assignment: assignment("connect_originate", socket(ip, HBONE_PORT)),
    transport_socket: typed(
      "envoy.transport_sockets.tls",
      "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      { common_tls_context: tlsContext(setup) },
    ),
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${TYPE}/envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: { allow_connect: true } },
      },
    },
  };
}

const internalCluster = (name: string, listener: string): unknown => ({
  name,
  type: "STATIC",
  load_assignment: assignment(name, { envoy_internal_address: { server_listener_name: listener } }),
});

const assignment = (name: string, address: unknown): unknown => ({
  cluster_name: name,
  endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
});

const connectionManager = (name: string, routes: readonly unknown[], more: object): unknown =>
  typed(
    "envoy.filters.network.http_connection_manager",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    {
      stat_prefix: name,
      route_config: { name, virtual_hosts: [{ name, domains: ["*"], routes }] },
      http_filters: [typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
      ...more,
    },
  );

const tlsContext = ({ files, trustDomain }: EnvoySetup): unknown => ({
  alpn_protocols: ["h2"],
  tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
  tls_certificates: [{ certificate_chain: { filename: files.chain }, private_key: { filename: files.key } }],
  validation_context: {
    trusted_ca: { filename: files.roots },
    match_typed_subject_alt_names: [{ san_type: "URI", matcher: { prefix: `spiffe://${trustDomain}/` } }],
  },
});

const socket = (address: string, port: number): unknown => ({ socket_address: { address, port_value: port } });

const typed = (name: string, type: string, fields: object = {}): unknown => ({
  name,
  typed_config: { "@type": `${TYPE}/${type}`, ...fields },
});
