import { ErrorCode, MeshError, type MeshErrorInit } from "../errors/index.ts";

/** What the failed socket was doing: opening towards an upstream, or carrying bytes of one side. */
export type SocketRole = "connect" | "upstream" | "downstream";

/** Codes of one failure, by what the socket was doing when it came. */
type CodeByRole = Readonly<Record<SocketRole, ErrorCode>>;

const sameInAll = (code: ErrorCode): CodeByRole => ({ connect: code, upstream: code, downstream: code });

const CONNECT_FAILED: CodeByRole = {
  connect: ErrorCode.UPSTREAM_CONNECT_FAILED,
  upstream: ErrorCode.UPSTREAM_RESET,
  downstream: ErrorCode.DOWNSTREAM_RESET,
};
const TIMED_OUT: CodeByRole = { ...CONNECT_FAILED, connect: ErrorCode.UPSTREAM_CONNECT_TIMEOUT };

/** Source: errno(3) as libuv spells it, and the Node.js error codes a socket can end with. */
const CODES: Readonly<Record<string, CodeByRole>> = {
  ECONNREFUSED: CONNECT_FAILED,
  EHOSTUNREACH: CONNECT_FAILED,
  EHOSTDOWN: CONNECT_FAILED,
  ENETUNREACH: CONNECT_FAILED,
  ENETDOWN: CONNECT_FAILED,
  EADDRNOTAVAIL: CONNECT_FAILED,
  EADDRINUSE: CONNECT_FAILED,
  ECONNABORTED: CONNECT_FAILED,
  ENOTFOUND: CONNECT_FAILED,
  EAI_AGAIN: CONNECT_FAILED,
  ECONNRESET: CONNECT_FAILED,
  EPIPE: CONNECT_FAILED,
  ENOTCONN: CONNECT_FAILED,
  ERR_STREAM_PREMATURE_CLOSE: CONNECT_FAILED,
  ERR_STREAM_DESTROYED: CONNECT_FAILED,
  ERR_STREAM_WRITE_AFTER_END: CONNECT_FAILED,
  ERR_SOCKET_CLOSED: CONNECT_FAILED,
  ERR_SOCKET_CLOSED_BEFORE_CONNECTION: CONNECT_FAILED,
  ETIMEDOUT: TIMED_OUT,
  ERR_SOCKET_CONNECTION_TIMEOUT: TIMED_OUT,
  EMFILE: sameInAll(ErrorCode.CONNECTION_LIMIT_REACHED),
  ENFILE: sameInAll(ErrorCode.CONNECTION_LIMIT_REACHED),
  ENOBUFS: sameInAll(ErrorCode.CONNECTION_LIMIT_REACHED),
  ENOMEM: sameInAll(ErrorCode.CONNECTION_LIMIT_REACHED),
  EPROTO: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  DEPTH_ZERO_SELF_SIGNED_CERT: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  SELF_SIGNED_CERT_IN_CHAIN: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  UNABLE_TO_GET_ISSUER_CERT: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  CERT_HAS_EXPIRED: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  CERT_NOT_YET_VALID: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  CERT_SIGNATURE_FAILURE: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  CERT_UNTRUSTED: sameInAll(ErrorCode.TLS_HANDSHAKE_FAILED),
  ABORT_ERR: sameInAll(ErrorCode.CANCELLED),
};

/** Failures before a byte left this process: another endpoint or another try may succeed. */
const NOTHING_SENT: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.UPSTREAM_CONNECT_FAILED,
  ErrorCode.UPSTREAM_CONNECT_TIMEOUT,
]);

/**
 * A socket error of Node as a MeshError; the only place that knows errno names. A MeshError passes through.
 * An unknown code becomes PLATFORM_CALL_FAILED. The errno is kept in `context.errno`.
 */
export function meshErrorOfNode(error: unknown, role: SocketRole): MeshError {
  if (error instanceof MeshError) return error;
  const errno = errnoOf(error);
  const code = errno.startsWith("ERR_SSL_")
    ? ErrorCode.TLS_HANDSHAKE_FAILED
    : ((Object.hasOwn(CODES, errno) ? CODES[errno]?.[role] : undefined) ?? ErrorCode.PLATFORM_CALL_FAILED);
  const init: MeshErrorInit = {
    origin: role === "downstream" ? "downstream" : "upstream",
    retry: NOTHING_SENT.has(code) ? "safe" : "never",
    ...(errno === "" ? {} : { context: { errno } }),
  };
  return MeshError.from(error, code, init);
}

/** The `code` of an error, of its cause, or of the first error of an AggregateError (happy eyeballs); else "". */
export function errnoOf(error: unknown, depth = 4): string {
  // Not by instanceof: errors of another realm (a vm context) are errors too.
  if (typeof error !== "object" || error === null || depth === 0) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  if ("errors" in error && Array.isArray(error.errors)) return errnoOf(error.errors[0], depth - 1);
  return "cause" in error ? errnoOf(error.cause, depth - 1) : "";
}
