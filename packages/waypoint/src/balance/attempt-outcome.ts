/** How an attempt at an endpoint ended, told to the balancer once its answer's head is there, or will not come. */
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { httpStatusOfGrpc } from "../respond/grpc-status.ts";
import type { AttemptResult } from "./outlier-detection.ts";

export interface AttemptOutcome {
  readonly kind: AttemptResult;
  /** HTTP status of the answer; undefined when none came. */
  readonly status?: number;
  /** From the attempt's start to the first byte of the answer's head; undefined when none came. */
  readonly firstByteMs?: number;
  /** What the endpoint asked for with Retry-After or the like: it is shunned for as long. */
  readonly retryAfterMs?: number;
}

/** The kind of an answer; `grpcStatus` when its head carries one. */
export function resultOfAnswer(status: number, grpcStatus?: number): AttemptResult {
  const effective = grpcStatus === undefined || status !== 200 ? status : httpStatusOfGrpc(grpcStatus);
  if (effective >= 502 && effective <= 504) return "gateway-error";
  return effective >= 500 ? "server-error" : "success";
}

/** Failures on our side of the attempt: they say nothing of the endpoint. */
const NOT_THE_ENDPOINTS: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.CANCELLED,
  ErrorCode.CIRCUIT_OPEN,
  ErrorCode.CONNECTION_DRAINED,
  ErrorCode.CONNECTION_LIMIT_REACHED,
  ErrorCode.INVARIANT_VIOLATED,
]);

/** The kind of an attempt that got no answer. A timeout of the try is a "local-failure" too, whatever its error. */
export function resultOfError(error: MeshError): AttemptResult {
  return error.origin === "downstream" || NOT_THE_ENDPOINTS.has(error.code) ? "cancelled" : "local-failure";
}

/** Whether the endpoint did not do what was asked: what latency alone would reward. 429 says that it is overloaded. */
export function isFailure(outcome: AttemptOutcome): boolean {
  return (outcome.kind !== "success" && outcome.kind !== "cancelled") || outcome.status === 429;
}
