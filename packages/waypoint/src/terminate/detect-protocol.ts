/**
 * What a tunnel carries, by its first bytes, for ports whose protocol nobody declared. Pure.
 *
 * Parity: Envoy's http_inspector and tls_inspector. Differs: a request line is looked at as far as it goes and no
 * further than `MAX_PEEK_BYTES`; one that is longer is HTTP if it began like it.
 */
import { MAX_HELLO_BYTES, readClientHello } from "./client-hello.ts";

export type Detection =
  | { readonly kind: "http1" }
  | { readonly kind: "http2" }
  | { readonly kind: "tls"; readonly sni?: string }
  | { readonly kind: "other" };

/** So many bytes always suffice: a ClientHello and the headers of its records, were each a few bytes long. */
export const MAX_PEEK_BYTES = MAX_HELLO_BYTES + 2048;

const NEED_MORE = { kind: "need-more" } as const;
const HTTP1: Detection = { kind: "http1" };
const HTTP2: Detection = { kind: "http2" };
const OTHER: Detection = { kind: "other" };

/** RFC 9113 section 3.4. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const TLS_HANDSHAKE = 0x16;
/** An empty line before the request is allowed (RFC 9112 section 2.2), more of them are not waited for. */
const MAX_EMPTY_LINES = 2;
const MAX_METHOD_CHARS = 32;
const MAX_REQUEST_LINE_CHARS = 8192;

/** @param bytes  from the beginning of the connection; the answer never changes once it is not "need-more" */
export function detectProtocol(bytes: Buffer): Detection | typeof NEED_MORE {
  if (bytes.length === 0) return NEED_MORE;
  if (bytes[0] === TLS_HANDSHAKE) return detectTls(bytes);
  const compared = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, compared, 0, compared) === 0) {
    return compared === PREFACE.length ? HTTP2 : NEED_MORE;
  }
  return detectHttp1(bytes.subarray(0, MAX_REQUEST_LINE_CHARS + 2 * MAX_EMPTY_LINES).toString("latin1"));
}

/**
 * The answer when no more bytes come. What has begun as a request is one, however slowly it is sent: otherwise a client
 * could choose the rules that apply to it by waiting.
 */
export function detectUnfinished(bytes: Buffer): Detection {
  const detection = detectProtocol(bytes);
  if (detection.kind !== "need-more") return detection;
  if (bytes[0] === TLS_HANDSHAKE) return bytes.length >= 3 ? { kind: "tls" } : OTHER;
  const text = bytes.toString("latin1");
  if (text.startsWith("PRI *")) return HTTP2;
  return KNOWN_METHODS.has(/^(?:\r?\n){0,2}([A-Z]+) /.exec(text)?.[1] ?? "") ? HTTP1 : OTHER;
}

const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

function detectTls(bytes: Buffer): Detection | typeof NEED_MORE {
  const hello = readClientHello(bytes);
  if (hello.kind === "hello") return hello.sni === undefined ? { kind: "tls" } : { kind: "tls", sni: hello.sni };
  if (hello.kind === "malformed") return OTHER;
  return bytes.length >= MAX_PEEK_BYTES ? OTHER : NEED_MORE;
}

/** `method SP target SP HTTP/1.x`, token by token, so that what is none is known at its first wrong character. */
function detectHttp1(text: string): Detection | typeof NEED_MORE {
  const line = text.replace(/^(?:\r?\n){1,2}/, "").slice(0, MAX_REQUEST_LINE_CHARS);
  if (line === "" || line === "\r") return NEED_MORE;
  const method = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]*/.exec(line)?.[0] ?? "";
  if (method.length > MAX_METHOD_CHARS) return OTHER;
  if (method.length === line.length) return NEED_MORE;
  if (method === "" || line[method.length] !== " ") return OTHER;
  const end = line.indexOf("\n");
  const rest = line.slice(method.length + 1, end < 0 ? undefined : end);
  if (end >= 0) return isRequestLine(method, rest) ? HTTP1 : OTHER;
  if (!/^[ -~\x80-\xff]*\r?$/.test(rest)) return OTHER;
  if (line.length < MAX_REQUEST_LINE_CHARS) return NEED_MORE;
  return KNOWN_METHODS.has(method) ? HTTP1 : OTHER;
}

/** A request that is wrong after its method is still one: the codec refuses it, no other protocol may have it. */
function isRequestLine(method: string, rest: string): boolean {
  return /^[!-~\x80-\xff]+ HTTP\/1\.\d\r?$/.test(rest) || (KNOWN_METHODS.has(method) && rest.includes(" HTTP/"));
}
