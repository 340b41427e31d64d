/** What a failed attempt means for trying again. Pure. */
import { ErrorCode, type MeshError } from "@ambit/shared/errors";

/**
 * "connect", "refused" and "reset-before-request": the upstream never saw the request, so any method may be sent again.
 * "reset": it may have acted on it. "stale": a reused connection ended without an answer, most likely before the request
 * came. "final": not the endpoint's failure, or one that another attempt would meet again.
 */
export type FailureKind = "connect" | "refused" | "reset-before-request" | "reset" | "stale" | "final";

const BEFORE_REQUEST: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.UPSTREAM_CONNECT_FAILED,
  ErrorCode.UPSTREAM_CONNECT_TIMEOUT,
  ErrorCode.TLS_HANDSHAKE_FAILED,
  ErrorCode.TLS_HANDSHAKE_TIMEOUT,
  ErrorCode.TLS_PEER_IDENTITY_MISMATCH,
  ErrorCode.TLS_PEER_TRUST_DOMAIN_MISMATCH,
  ErrorCode.TLS_PEER_CERTIFICATE_REVOKED,
  ErrorCode.H2_PREFACE_TIMEOUT,
  ErrorCode.HBONE_CONNECT_REFUSED,
  ErrorCode.HBONE_CONNECT_TIMEOUT,
  ErrorCode.WAYPOINT_UNAVAILABLE,
  ErrorCode.NETWORK_GATEWAY_UNAVAILABLE,
]);

/** Our own limits and our own leaving: trying again would only add to it. */
const FINAL: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.CANCELLED,
  ErrorCode.CIRCUIT_OPEN,
  ErrorCode.CONNECTION_DRAINED,
  ErrorCode.CONNECTION_LIMIT_REACHED,
  ErrorCode.DOWNSTREAM_RESET,
  ErrorCode.INVARIANT_VIOLATED,
  ErrorCode.LOOP_REFUSED,
  ErrorCode.NO_HEALTHY_UPSTREAM,
]);

/**
 * @param requestSent  some of the request was written to the upstream
 * @param reused       the connection had carried an exchange before
 */
export function failureKindOf(error: MeshError, attempt: { requestSent: boolean; reused: boolean }): FailureKind {
  if (error.origin === "downstream" || FINAL.has(error.code)) return "final";
  if (error.code === ErrorCode.H2_STREAM_REFUSED) return "refused";
  if (error.retry === "safe") return BEFORE_REQUEST.has(error.code) ? "connect" : "refused";
  // A TLS alert in the middle of an exchange has the code of a failed handshake too.
  if (!attempt.requestSent) return BEFORE_REQUEST.has(error.code) ? "connect" : "reset-before-request";
  return attempt.reused && error.retry === "if-session-reused" ? "stale" : "reset";
}
