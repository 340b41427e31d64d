import type { Duplex } from "node:stream";
import { Http1ClientConnection } from "./http1-client.ts";
import { Http2ClientConnection } from "./http2-client.ts";
import type { UpstreamConnection } from "./message.ts";
import type { ConnectOptions } from "./options.ts";

/** Speaks HTTP to an upstream on a connected byte stream and owns it from here. HTTP/2 goes by prior knowledge. */
export function createUpstreamConnection(
  duplex: Duplex,
  protocol: "http1" | "http2",
  options: ConnectOptions,
): UpstreamConnection {
  return protocol === "http1" ? new Http1ClientConnection(duplex, options) : new Http2ClientConnection(duplex, options);
}
