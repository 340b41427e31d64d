/** Names as istiod gives them. Both sides, and tools that read dumps, know them by heart. */

/** What waypoints are told in Envoy's dialect, in the order in which it is sent: what is named comes before what names it. */
export const CONNECT_TERMINATE = "connect_terminate";
export const MAIN_INTERNAL = "main_internal";
export const CONNECT_ORIGINATE = "connect_originate";
export const ENCAP = "encap";
export const DIRECT_HTTP = "direct-http";
export const DIRECT_TCP = "direct-tcp";
/** Named by routes to a backend that does not exist; never defined. */
export const UNKNOWN_SERVICE = "UnknownService";

/** A port of a service that the waypoint serves: its cluster, its chain and its routes are called the same. */
export const vipName = (port: number, protocol: "http" | "tcp", hostname: string, subset = ""): string =>
  `inbound-vip|${port}|${protocol}${subset === "" ? "" : `/${subset}`}|${hostname}`;

/** A port of a service that routes or policies of the waypoint name, though another (or none) serves it. */
export const outboundName = (port: number, hostname: string, subset = ""): string =>
  `outbound|${port}|${subset}|${hostname}`;

/** In a subset's place: pods of the service and no other endpoints. No subset is called so. */
export const POD_SUBSET = "~pods";

/** Namespaces of endpoint metadata, and the filter-state keys that carry a tunnel's facts between listeners. */
export const ORIGINAL_DST_METADATA = "envoy.filters.listener.original_dst";
export const ISTIO_METADATA = "istio";
export const SOCKET_MATCH_METADATA = "envoy.transport_socket_match";
export const PEER_PRINCIPAL = "io.istio.peer_principal";
export const LOCAL_PRINCIPAL = "io.istio.local_principal";
export const CONNECT_AUTHORITY = "io.istio.connect_authority";
