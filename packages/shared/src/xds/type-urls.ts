/** The two resource types of a node proxy, as `type_url` spells them. Requested in this order on each stream. */
export const ADDRESS_TYPE_URL = "type.googleapis.com/istio.workload.Address";
export const AUTHORIZATION_TYPE_URL = "type.googleapis.com/istio.security.Authorization";
export type XdsTypeUrl = typeof ADDRESS_TYPE_URL | typeof AUTHORIZATION_TYPE_URL;

/** Envoy's own types, of which a waypoint is configured. */
export const EnvoyTypeUrl = {
  LISTENER: "type.googleapis.com/envoy.config.listener.v3.Listener",
  ROUTE: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  CLUSTER: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  /** Certificates and roots for servers outside the mesh. */
  SECRET: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  ENDPOINT: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
} as const;
