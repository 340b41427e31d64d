/**
 * What expressions may name, and of which type it is. Spec: Envoy "Attributes"; `upstream_peer` and `downstream_peer` are of
 * Istio's metrics.
 */
export type CelType = "string" | "number" | "bool" | "map" | "list";

const PEER_FIELDS = ["workload", "namespace", "cluster", "service", "revision", "app", "version"] as const;

const ATTRIBUTES = {
  "request.path": "string",
  "request.url_path": "string",
  "request.query": "string",
  "request.host": "string",
  "request.scheme": "string",
  "request.method": "string",
  "request.referer": "string",
  "request.useragent": "string",
  "request.id": "string",
  "request.protocol": "string",
  "request.headers": "map",
  "request.size": "number",
  "request.total_size": "number",
  "response.code": "number",
  "response.code_details": "string",
  "response.grpc_status": "number",
  "response.headers": "map",
  "response.trailers": "map",
  "response.size": "number",
  "response.total_size": "number",
  "source.address": "string",
  "source.port": "number",
  "destination.address": "string",
  "destination.port": "number",
  "connection.mtls": "bool",
  "connection.requested_server_name": "string",
  "connection.uri_san_peer_certificate": "string",
  "upstream.address": "string",
  "upstream.port": "number",
  "upstream.local_address": "string",
  "upstream.transport_failure_reason": "string",
  "upstream.uri_san_peer_certificate": "string",
  "xds.cluster_name": "string",
  "xds.route_name": "string",
  "xds.filter_chain_name": "string",
} as const satisfies Readonly<Record<string, CelType>>;

export type PeerField = (typeof PEER_FIELDS)[number];
export type CelAttribute = keyof typeof ATTRIBUTES | `${"downstream" | "upstream"}_peer.${PeerField}`;

const PEERS = PEER_FIELDS.flatMap((field) => [`downstream_peer.${field}`, `upstream_peer.${field}`]);

/** Type of an attribute by its full name; undefined for strangers. */
export function attributeType(name: string): CelType | undefined {
  if (PEERS.includes(name)) return "string";
  return Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name as keyof typeof ATTRIBUTES] : undefined;
}
