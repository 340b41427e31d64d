/** The resource types of a waypoint, as `type_url` spells them, in the order they are to be requested. */
export const CLUSTER_TYPE_URL = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
export const ENDPOINT_TYPE_URL = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
export const LISTENER_TYPE_URL = "type.googleapis.com/envoy.config.listener.v3.Listener";
export const ROUTE_TYPE_URL = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
export const SECRET_TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
export type WaypointTypeUrl =
  | typeof SECRET_TYPE_URL
  | typeof CLUSTER_TYPE_URL
  | typeof ENDPOINT_TYPE_URL
  | typeof LISTENER_TYPE_URL
  | typeof ROUTE_TYPE_URL;
