/**
 * One table: what the outside sees of each failure or refusal of a waypoint. A row fixes the HTTP status, the gRPC
 * status, the response flag, the log level, the body and what becomes of the downstream connection, together. Pure.
 *
 * Parity: Envoy's response flags, body texts and RESPONSE_CODE_DETAILS; gRPC statuses by Envoy's HTTP to gRPC mapping.
 */
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { isBreach } from "@ambit/shared/http2";
import type { LogLevel } from "@ambit/shared/log";
import type { ResponseFlag } from "./observe/model.ts";
import { grpcStatusOfHttp } from "./respond/grpc-status.ts";

export interface FailureOutcome {
  /** 400..599; what is logged when the downstream is gone and nothing can be answered. */
  readonly status: number;
  /** 1..16, for callers that speak gRPC. */
  readonly grpcStatus: number;
  /** `undefined`: Envoy has none for it (a refusal by policy is told by its details). */
  readonly flag: ResponseFlag | undefined;
  readonly level: LogLevel;
  /** Framing can no longer be trusted, or we are leaving: HTTP/1 closes after the answer. HTTP/2 only ends the stream. */
  readonly closesDownstream: boolean;
  readonly retryAfterSeconds: number | undefined;
  /** Envoy's RESPONSE_CODE_DETAILS style; no blanks. */
  readonly details: string;
  /** Fixed text: never what a peer or the configuration said. */
  readonly body: string;
}

type Row = readonly [status: number, flag: ResponseFlag | undefined, details: string, body: string];
type Rest = Partial<Pick<FailureOutcome, "grpcStatus" | "level" | "closesDownstream" | "retryAfterSeconds">>;

function outcome([status, flag, details, body]: Row, rest: Rest = {}): FailureOutcome {
  return {
    status,
    grpcStatus: grpcStatusOfHttp(status),
    flag,
    level: status >= 500 ? "warn" : "info",
    closesDownstream: false,
    retryAfterSeconds: undefined,
    details,
    body,
    ...rest,
  };
}

/** Body texts that people search for, as Envoy spells them. */
const CONNECT_ERROR = "upstream connect error or disconnect/reset before headers. reset reason: ";
const CLOSES = { closesDownstream: true } as const;
/** Long enough for a queue to empty, short enough not to lose a caller. */
const SOON = { retryAfterSeconds: 1 } as const;

const denied = outcome([403, undefined, "rbac_access_denied", "RBAC: access denied"]);
const unauthenticated = (details: string, body: string) => outcome([401, undefined, details, body]);
const connectFailed = outcome([
  503,
  "UF",
  "upstream_reset_before_response_started{connection_failure}",
  `${CONNECT_ERROR}connection failure`,
]);
const connectTimeout = outcome([
  503,
  "UF",
  "upstream_reset_before_response_started{connection_timeout}",
  `${CONNECT_ERROR}connection timeout`,
]);
const tlsFailed = outcome([
  503,
  "UF",
  "upstream_reset_before_response_started{connection_failure,TLS_error}",
  `${CONNECT_ERROR}connection failure, transport failure reason: TLS_error`,
]);
const terminated = outcome([
  503,
  "UC",
  "upstream_reset_before_response_started{connection_termination}",
  `${CONNECT_ERROR}connection termination`,
]);
const protocolError = outcome([
  502,
  "UPE",
  "upstream_reset_before_response_started{protocol_error}",
  `${CONNECT_ERROR}protocol error`,
]);
const noEndpoint = outcome([503, "UH", "no_healthy_upstream", "no healthy upstream"]);
const ourFault = outcome([500, undefined, "internal_error", "internal error"], { level: "error", ...CLOSES });

/** Rows of everything a waypoint can meet on a request's path; `failure-outcome.test.ts` lists what falls outside. */
const OUTCOMES = {
  // what the caller sent
  [ErrorCode.REQUEST_MALFORMED]: outcome([400, "DPE", "http.malformed_request", "bad request"], CLOSES),
  [ErrorCode.REQUEST_LIMIT_EXCEEDED]: outcome([431, "DPE", "request_limit_exceeded", "request too large"], {
    grpcStatus: 8,
    ...CLOSES,
  }),
  [ErrorCode.UPGRADE_REFUSED]: outcome([403, undefined, "upgrade_failed", "upgrade refused"]),
  [ErrorCode.DOWNSTREAM_RESET]: outcome([499, "DC", "downstream_remote_disconnect", ""], {
    grpcStatus: 1,
    level: "debug",
    ...CLOSES,
  }),
  [ErrorCode.CANCELLED]: outcome([499, "DC", "downstream_remote_disconnect", ""], {
    grpcStatus: 1,
    level: "debug",
    ...CLOSES,
  }),
  // who may
  [ErrorCode.TOKEN_MISSING]: unauthenticated("jwt_authn_access_denied{Jwt_is_missing}", "Jwt is missing"),
  [ErrorCode.TOKEN_INVALID]: unauthenticated(
    "jwt_authn_access_denied{Jwt_verification_fails}",
    "Jwt verification fails",
  ),
  [ErrorCode.POLICY_DENIED]: denied,
  [ErrorCode.POLICY_NOT_ALLOWED]: denied,
  [ErrorCode.POLICY_MISSING]: denied,
  [ErrorCode.POLICY_SNAPSHOT_MISSING]: denied,
  [ErrorCode.SOURCE_IDENTITY_MISMATCH]: denied,
  [ErrorCode.EXTERNAL_AUTHORIZATION_DENIED]: outcome([403, "UAEX", "ext_authz_denied", ""]),
  [ErrorCode.EXTERNAL_AUTHORIZATION_FAILED]: outcome([403, "UAEX", "ext_authz_error", ""], { level: "warn" }),
  // where to
  [ErrorCode.TUNNEL_DESTINATION_UNKNOWN]: outcome([404, "NR", "filter_chain_not_found", "no such destination"]),
  [ErrorCode.CHAIN_UNSERVABLE]: outcome([503, undefined, "chain_unservable", "configuration cannot be enforced"], {
    level: "error",
  }),
  [ErrorCode.ROUTE_NOT_FOUND]: outcome([404, "NR", "route_not_found", ""]),
  [ErrorCode.CLUSTER_NOT_FOUND]: outcome([503, "NC", "cluster_not_found", ""]),
  [ErrorCode.SERVICE_PORT_UNDECLARED]: outcome([404, "NR", "filter_chain_not_found", "no such port"]),
  [ErrorCode.LOOP_REFUSED]: outcome([508, "NR", "loop_refused", "loop detected"]),
  // limits and deliberate failures
  [ErrorCode.REQUEST_TIMEOUT]: outcome([504, "UT", "response_timeout", "upstream request timeout"]),
  [ErrorCode.RETRY_BUDGET_EXHAUSTED]: outcome([503, "URX", "retry_budget_exhausted", "retry budget exhausted"]),
  [ErrorCode.CIRCUIT_OPEN]: outcome([503, "UO", "overflow", `${CONNECT_ERROR}overflow`], SOON),
  [ErrorCode.CONNECTION_LIMIT_REACHED]: outcome([503, "OM", "overload", "overloaded"], { ...SOON, ...CLOSES }),
  [ErrorCode.FAULT_INJECTED]: outcome([503, "FI", "fault_filter_abort", "fault filter abort"]),
  [ErrorCode.CONNECTION_DRAINED]: outcome([503, "LR", "drained", "shutting down"], { ...SOON, ...CLOSES }),
  // upstream
  [ErrorCode.NO_HEALTHY_UPSTREAM]: noEndpoint,
  [ErrorCode.WORKLOAD_UNKNOWN]: noEndpoint,
  [ErrorCode.WAYPOINT_UNAVAILABLE]: noEndpoint,
  [ErrorCode.NETWORK_GATEWAY_UNAVAILABLE]: noEndpoint,
  [ErrorCode.UPSTREAM_CONNECT_FAILED]: connectFailed,
  [ErrorCode.UPSTREAM_CONNECT_TIMEOUT]: connectTimeout,
  [ErrorCode.HBONE_CONNECT_REFUSED]: connectFailed,
  [ErrorCode.HBONE_CONNECT_TIMEOUT]: connectTimeout,
  [ErrorCode.HBONE_AUTHORITY_UNRESOLVABLE]: connectFailed,
  [ErrorCode.TLS_HANDSHAKE_FAILED]: tlsFailed,
  [ErrorCode.TLS_HANDSHAKE_TIMEOUT]: tlsFailed,
  [ErrorCode.TLS_PEER_IDENTITY_MISMATCH]: tlsFailed,
  [ErrorCode.TLS_PEER_TRUST_DOMAIN_MISMATCH]: tlsFailed,
  [ErrorCode.TLS_PEER_CERTIFICATE_REVOKED]: tlsFailed,
  [ErrorCode.IDENTITY_UNAVAILABLE]: tlsFailed,
  [ErrorCode.UPSTREAM_RESET]: terminated,
  [ErrorCode.H2_SESSION_CLOSED]: terminated,
  [ErrorCode.H2_SESSION_UNRESPONSIVE]: terminated,
  [ErrorCode.H2_STREAM_RESET]: outcome([
    503,
    "UR",
    "upstream_reset_before_response_started{remote_reset}",
    `${CONNECT_ERROR}remote reset`,
  ]),
  [ErrorCode.H2_STREAM_REFUSED]: outcome([
    503,
    "UR",
    "upstream_reset_before_response_started{remote_refused_stream_reset}",
    `${CONNECT_ERROR}remote refused stream reset`,
  ]),
  [ErrorCode.RESPONSE_MALFORMED]: protocolError,
  [ErrorCode.H2_PROTOCOL_ERROR]: protocolError,
  [ErrorCode.H2_FLOW_CONTROL_ERROR]: protocolError,
  [ErrorCode.H2_FRAME_SIZE_ERROR]: protocolError,
  [ErrorCode.H2_COMPRESSION_ERROR]: protocolError,
  [ErrorCode.H2_ENHANCE_YOUR_CALM]: protocolError,
  [ErrorCode.H2_PREFACE_TIMEOUT]: protocolError,
  // ours
  [ErrorCode.INVARIANT_VIOLATED]: ourFault,
} as const satisfies Partial<Record<ErrorCode, FailureOutcome>>;

/** Codes with a row of their own. */
export type WaypointFailureCode = keyof typeof OUTCOMES;

/** The client broke the rules of HTTP/2: the same codes as where an upstream did, another side. */
const BROKE_RULES = outcome([400, "DPE", "http2.protocol_error", "bad request"], CLOSES);

/** Which clock ran out, where REQUEST_TIMEOUT alone does not tell: `context.timer` of the error. */
export type RequestTimer = "request-head" | "stream-idle" | "per-try" | "duration" | "grpc-deadline";

const TIMERS: Readonly<Record<RequestTimer, FailureOutcome>> = {
  "request-head": outcome([408, "DPE", "request_header_timeout", "request header timeout"], CLOSES),
  "stream-idle": outcome([408, "SI", "stream_idle_timeout", "stream timeout"], { grpcStatus: 4, ...CLOSES }),
  "per-try": outcome([504, "UT", "upstream_per_try_timeout", "upstream request timeout"]),
  duration: outcome([504, "DT", "max_duration_timeout", "maximum duration reached"], { grpcStatus: 4 }),
  // The caller named this deadline itself: DEADLINE_EXCEEDED is what its library expects.
  "grpc-deadline": outcome([504, "UT", "response_timeout", "upstream request timeout"], { grpcStatus: 4 }),
};

/** Rows whose status the error may make more exact by `context.status` (413, 414, 405, 417 ...). */
const REFINABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ErrorCode.REQUEST_MALFORMED,
  ErrorCode.REQUEST_LIMIT_EXCEEDED,
  ErrorCode.UPGRADE_REFUSED,
  ErrorCode.EXTERNAL_AUTHORIZATION_FAILED,
  ErrorCode.CLUSTER_NOT_FOUND,
  ErrorCode.FAULT_INJECTED,
]);

/** Whether a code has a row; others are answered like a failure to reach somebody. */
export function hasOutcome(code: ErrorCode): code is WaypointFailureCode {
  return Object.hasOwn(OUTCOMES, code);
}

type FailureFacts = Pick<MeshError, "code" | "context"> & Partial<Pick<MeshError, "origin">>;

/**
 * What the outside sees of a failure or a refusal. Codes without a row: 503, UF.
 *
 * @param failure  a code, or an error whose context may say `timer` (a `RequestTimer`) or, for what the caller sent and
 *                 for configured answers, `status` (400..599)
 */
export function failureOutcome(failure: ErrorCode | FailureFacts): FailureOutcome {
  if (typeof failure === "string") return hasOutcome(failure) ? OUTCOMES[failure] : connectFailed;
  const { code, context, origin } = failure;
  if (origin === "downstream" && isBreach(failure)) return BROKE_RULES;
  const timer = context["timer"];
  if (code === ErrorCode.REQUEST_TIMEOUT && isTimer(timer)) return TIMERS[timer];
  const row = failureOutcome(code);
  const status = context["status"];
  if (!REFINABLE.has(code) || typeof status !== "number" || !isErrorStatus(status) || status === row.status) return row;
  const grpcStatus = code === ErrorCode.REQUEST_LIMIT_EXCEEDED ? row.grpcStatus : grpcStatusOfHttp(status);
  return { ...row, status, grpcStatus };
}

const isErrorStatus = (status: number): boolean => Number.isInteger(status) && status >= 400 && status <= 599;
const isTimer = (value: unknown): value is RequestTimer => typeof value === "string" && Object.hasOwn(TIMERS, value);
