/** What gRPC callers see of an HTTP answer, and how its text travels. Pure. */
import type { HeaderList } from "@ambit/shared/http2";

const BY_HTTP: ReadonlyMap<number, number> = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);
const UNKNOWN = 2;

/** Spec: grpc doc/http-grpc-status-mapping.md, as Envoy's local replies have it. */
export function grpcStatusOfHttp(status: number): number {
  return BY_HTTP.get(status) ?? UNKNOWN;
}

/** HTTP status by gRPC status, where something must be answered or counted as HTTP. Parity: Envoy grpcToHttpStatus. */
const TO_HTTP = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401] as const;

export function httpStatusOfGrpc(status: number): number {
  return TO_HTTP[status] ?? 500;
}

/** `application/grpc`, `application/grpc+proto`, `application/grpc;charset=...`; not gRPC-Web. Parity: Envoy. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  const text = contentType.toLowerCase();
  if (!text.startsWith("application/grpc")) return false;
  const next = text.charAt("application/grpc".length);
  return next === "" || next === "+" || next === ";" || next === " ";
}

/** Whether a message speaks gRPC: exactly one `content-type`, and that one. */
export function isGrpcMessage(headers: HeaderList): boolean {
  let found: string | undefined;
  for (const [name, value] of headers) {
    if (name !== "content-type") continue;
    if (found !== undefined) return false;
    found = value;
  }
  return isGrpcContentType(found);
}

/**
 * `grpc-status` of a message's headers or trailers: decimal without sign or leading zeros, up to three digits.
 * `undefined` when absent, repeated or malformed: nothing a peer sends becomes a label unread.
 */
export function readGrpcStatus(headers: HeaderList): number | undefined {
  let found: string | undefined;
  for (const [name, value] of headers) {
    if (name !== "grpc-status") continue;
    if (found !== undefined) return undefined;
    found = value;
  }
  return found !== undefined && /^(0|[1-9]\d{0,2})$/.test(found) ? Number(found) : undefined;
}

/** Longest `grpc-message` we write, in bytes before encoding. */
const MAX_MESSAGE_BYTES = 1024;

/**
 * Percent-encodes a status message: UTF-8, everything outside blank..tilde and `%` itself as `%XX`. So nothing in it can
 * end the field or start another.
 *
 * Spec: grpc PROTOCOL-HTTP2, Status-Message.
 */
export function encodeGrpcMessage(text: string): string {
  let out = "";
  for (const byte of Buffer.from(text, "utf8").subarray(0, MAX_MESSAGE_BYTES)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

/** Reads it back; escapes that are none stay as they are, bytes that are no UTF-8 become U+FFFD. Total. */
export function decodeGrpcMessage(text: string): string {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const escaped = text[i] === "%" ? /^[0-9A-Fa-f]{2}/.exec(text.slice(i + 1, i + 3))?.[0] : undefined;
    if (escaped !== undefined) {
      bytes.push(Number.parseInt(escaped, 16));
      i += 2;
    } else {
      bytes.push(text.charCodeAt(i) & 0xff);
    }
  }
  return Buffer.from(bytes).toString("utf8");
}
