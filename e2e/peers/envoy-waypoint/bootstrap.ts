/** What an Envoy in a waypoint's place is started with: everything else it gets from the control plane and from its agent. */

export interface EnvoySetup {
  readonly pod: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ip: string;
  readonly gateway: string;
  readonly clusterDomain: string;
  readonly controlPlane: { readonly host: string; readonly port: number };
  /** PEM. */
  readonly roots: string;
  readonly token: string;
  /** Where the secrets `default` and `ROOTCA` are served. */
  readonly secretsSocket: string;
}

/** Envoy's own admin port; `/ready` tells readiness. */
export const ENVOY_ADMIN_PORT = 15021;

const TYPE = "type.googleapis.com";
const HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/**
 * The bootstrap as istio's agent writes it, without what reports telemetry.
 *
 * Parity: istio-agent's bootstrap
 */
export function bootstrap(setup: EnvoySetup): object {
  const fromAds = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
  return {
    node: node(setup),
    admin: { address: socket("0.0.0.0", ENVOY_ADMIN_PORT) },
    bootstrap_extensions: [
      typed("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"),
    ],
    dynamic_resources: {
      lds_config: fromAds,
      cds_config: fromAds,
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [
          {
            envoy_grpc: { cluster_name: "xds-grpc" },
            initial_metadata: [
              { key: "authorization", value: `Bearer ${setup.token}` },
              { key: "clusterid", value: "Kubernetes" },
            ],
          },
        ],
      },
    },
    static_resources: { clusters: [controlPlaneCluster(setup), secretsCluster(setup)] },
  };
}

function node({ pod, namespace, serviceAccount, ip, gateway, clusterDomain }: EnvoySetup): object {
  return {
    id: `waypoint~${ip}~${pod}.${namespace}~${namespace}.svc.${clusterDomain}`,
    cluster: `${serviceAccount}.${namespace}`,
    metadata: {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: serviceAccount,
      CLUSTER_ID: "Kubernetes",
      INSTANCE_IPS: ip,
      LABELS: {
        "gateway.networking.k8s.io/gateway-name": gateway,
        "gateway.istio.io/managed": "istio.io-mesh-controller",
      },
    },
  };
}

function controlPlaneCluster({ controlPlane: { host, port }, roots }: EnvoySetup): object {
  const isName = /[a-z]/i.test(host) && !host.includes(":");
  return {
    name: "xds-grpc",
    type: isName ? "STRICT_DNS" : "STATIC",
    load_assignment: assignment("xds-grpc", socket(host, port)),
    typed_extension_protocol_options: http2,
    transport_socket: typed("tls", "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      ...(isName && { sni: host }),
      common_tls_context: {
        alpn_protocols: ["h2"],
        tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
        validation_context: {
          trusted_ca: { inline_string: roots },
          match_typed_subject_alt_names: [{ san_type: isName ? "DNS" : "IP_ADDRESS", matcher: { exact: host } }],
        },
      },
    }),
  };
}

const secretsCluster = ({ secretsSocket }: EnvoySetup): object => ({
  name: "sds-grpc",
  type: "STATIC",
  load_assignment: assignment("sds-grpc", { pipe: { path: secretsSocket } }),
  typed_extension_protocol_options: http2,
});

const http2 = {
  [HTTP_OPTIONS]: { "@type": `${TYPE}/${HTTP_OPTIONS}`, explicit_http_config: { http2_protocol_options: {} } },
};

const assignment = (name: string, address: object): object => ({
  cluster_name: name,
  endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
});

const socket = (address: string, port: number): object => ({ socket_address: { address, port_value: port } });

const typed = (name: string, type: string, fields: object = {}): object => ({
  name,
  typed_config: { "@type": `${TYPE}/${type}`, ...fields },
});
