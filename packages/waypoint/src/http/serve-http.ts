import type { Duplex } from "node:stream";
import { Http1ServerConnection } from "./http1-server.ts";
import { Http2ServerConnection } from "./http2-server.ts";
import type { DownstreamConnection, DownstreamExchange } from "./message.ts";
import type { ServeOptions } from "./options.ts";

/**
 * Serves HTTP on a connected byte stream and owns it from here. `onRequest` is called once for each well-formed request,
 * in order; what is not well-formed never gets there (see `ServeOptions.onRefused`).
 *
 * @param protocol as detected or declared: HTTP/1.x, or HTTP/2 by prior knowledge
 */
export function serveHttp(
  duplex: Duplex,
  protocol: "http1" | "http2",
  options: ServeOptions,
  onRequest: (exchange: DownstreamExchange) => void,
): DownstreamConnection {
  const Connection = protocol === "http1" ? Http1ServerConnection : Http2ServerConnection;
  return new Connection(duplex, options, onRequest);
}
