/**
 * What the WebSocket handshake has in HTTP/1.1 and lacks in HTTP/2 (RFC 6455 section 4, RFC 8441 section 5): a key and
 * the answer to it. Added or left out where one version meets the other.
 */
import { createHash, randomBytes } from "node:crypto";
import type { HeaderList } from "@ambit/shared/http2";

const KEY = "sec-websocket-key";
const ACCEPT = "sec-websocket-accept";
/** RFC 6455 section 1.3. */
const SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const ADDS_KEY: ReadonlySet<string> = new Set([KEY, ACCEPT]);

export const webSocketAccept = (key: string): string =>
  createHash("sha1")
    .update(key + SUFFIX)
    .digest("base64");

const fieldValue = (headers: HeaderList, wanted: string): string | undefined =>
  headers.find(([name]) => name === wanted)?.[1];

/** For an HTTP/1.1 upstream: a key when the client, by HTTP/2, sent none. */
export function missingKey(upgrade: string | undefined, headers: HeaderList): HeaderList {
  if (upgrade !== "websocket" || fieldValue(headers, KEY) !== undefined) return [];
  return [[KEY, randomBytes(16).toString("base64")]];
}

/** For an HTTP/1.1 client: the answer to its key when the upstream, by HTTP/2, gave none; its own otherwise. */
export function withAccept(upgrade: string, request: HeaderList, response: HeaderList): HeaderList {
  const key = fieldValue(request, KEY);
  if (upgrade !== "websocket" || key === undefined || fieldValue(response, ACCEPT) !== undefined) return response;
  return [...response, [ACCEPT, webSocketAccept(key)]];
}

/** For HTTP/2, which knows neither. */
export const withoutKeys = (headers: HeaderList): HeaderList => headers.filter(([name]) => !ADDS_KEY.has(name));
