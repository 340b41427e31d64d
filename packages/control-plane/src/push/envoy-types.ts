/** What waypoints are told in Envoy's dialect, in the order in which it is sent: what is named comes before what names it. */
export const CLUSTER_TYPE_URL = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
export const ENDPOINT_TYPE_URL = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
export const SECRET_TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
export const LISTENER_TYPE_URL = "type.googleapis.com/envoy.config.listener.v3.Listener";
export const ROUTE_TYPE_URL = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

export const ENVOY_TYPE_URLS: readonly string[] = [
  CLUSTER_TYPE_URL,
  ENDPOINT_TYPE_URL,
  SECRET_TYPE_URL,
  LISTENER_TYPE_URL,
  ROUTE_TYPE_URL,
];
