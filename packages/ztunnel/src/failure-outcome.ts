/**
 * One table: what the outside sees of each failure or refusal. The status answers an HBONE peer, the flag goes to the
 * access log and the metrics.
 *
 * Parity: ztunnel src/proxy/inbound.rs (statuses), src/proxy/metrics.rs (flags).
 * Differs: a failed TLS handshake of ours is TLS_FAILURE, where ztunnel says CONNECT.
 */
import { ErrorCode } from "@ambit/shared/errors";
import type { ResponseFlag } from "./observe/records.ts";

export interface FailureOutcome {
  /** HTTP status for the CONNECT. */
  readonly status: 400 | 401 | 503;
  readonly flag: ResponseFlag;
}

const malformed: FailureOutcome = { status: 400, flag: "CONNECT" };
const denied: FailureOutcome = { status: 401, flag: "DENY" };
const unavailable: FailureOutcome = { status: 503, flag: "CONNECT" };
const tlsFailed: FailureOutcome = { status: 503, flag: "TLS_FAILURE" };
const h2Failed: FailureOutcome = { status: 503, flag: "H2_HANDSHAKE_FAILURE" };

const OUTCOMES: Partial<Record<ErrorCode, FailureOutcome>> = {
  [ErrorCode.HBONE_METHOD_NOT_CONNECT]: malformed,
  [ErrorCode.HBONE_AUTHORITY_INVALID]: malformed,
  [ErrorCode.HBONE_AUTHORITY_NOT_LOCAL]: malformed,
  [ErrorCode.POLICY_DENIED]: denied,
  [ErrorCode.POLICY_NOT_ALLOWED]: denied,
  [ErrorCode.POLICY_MISSING]: denied,
  [ErrorCode.POLICY_SNAPSHOT_MISSING]: denied,
  [ErrorCode.SOURCE_IDENTITY_MISMATCH]: denied,
  [ErrorCode.IDENTITY_UNAVAILABLE]: { status: 503, flag: "IDENTITY_ERROR" },
  [ErrorCode.TLS_HANDSHAKE_FAILED]: tlsFailed,
  [ErrorCode.TLS_HANDSHAKE_TIMEOUT]: tlsFailed,
  [ErrorCode.TLS_PEER_IDENTITY_MISMATCH]: tlsFailed,
  [ErrorCode.TLS_PEER_TRUST_DOMAIN_MISMATCH]: tlsFailed,
  [ErrorCode.TLS_PEER_CERTIFICATE_REVOKED]: { status: 401, flag: "CERT_REVOKED" },
  [ErrorCode.H2_PROTOCOL_ERROR]: h2Failed,
  [ErrorCode.H2_FLOW_CONTROL_ERROR]: h2Failed,
  [ErrorCode.H2_FRAME_SIZE_ERROR]: h2Failed,
  [ErrorCode.H2_COMPRESSION_ERROR]: h2Failed,
  [ErrorCode.H2_ENHANCE_YOUR_CALM]: h2Failed,
  [ErrorCode.H2_PREFACE_TIMEOUT]: h2Failed,
};

/** Codes without a row are failures to reach somebody: 503, CONNECT. */
export function failureOutcome(code: ErrorCode): FailureOutcome {
  return OUTCOMES[code] ?? unavailable;
}
