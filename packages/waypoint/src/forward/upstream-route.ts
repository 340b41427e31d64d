import type { Cluster, Endpoint, UpstreamTransport } from "../balance/model.ts";
import type { UpstreamConnection } from "../http/message.ts";

/** Where a request goes, and for whom. Requests share a connection exactly when all of it is equal. */
export interface UpstreamRoute {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly protocol: UpstreamConnection["version"];
  /** The client that is named to the destination; no blank in it. */
  readonly client: string;
}

/** Settings of TLS, as numbers: a connection made by others is not the one that is configured now. */
const transportIds = new WeakMap<UpstreamTransport, number>();
let lastTransportId = 0;

function transportKey(transport: UpstreamTransport): string {
  if (transport.kind === "raw") return "raw";
  const id = transportIds.get(transport) ?? ++lastTransportId;
  transportIds.set(transport, id);
  return `tls${id}`;
}

/** Equal exactly when requests may share a connection. */
export function keyOf({ cluster, endpoint, protocol, client }: UpstreamRoute): string {
  const { key, hostname = "-", reach } = endpoint;
  const via = reach.kind === "hbone" && reach.via ? `${reach.via.ip}:${reach.via.port}` : "";
  return `${cluster.name} ${key} ${hostname} ${reach.kind}${via} ${transportKey(cluster.transport)} ${protocol} ${client}`;
}
