/** Why a request was ended by one of its clocks. Pure. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { RequestTimer } from "../failure-outcome.ts";

export const perTryTimeout = (limitMs: number): MeshError =>
  timedOut("per-try", `no answer within ${limitMs} ms, the time-out of one try`);

/** @param isGrpcDeadline  the caller named the limit */
export const requestTimeout = (limitMs: number, isGrpcDeadline: boolean): MeshError =>
  timedOut(isGrpcDeadline ? "grpc-deadline" : undefined, `no complete answer within ${limitMs} ms`);

export const idleTimeout = (limitMs: number): MeshError =>
  timedOut("stream-idle", `nothing was sent for ${limitMs} ms`);

function timedOut(timer: RequestTimer | undefined, message: string): MeshError {
  const context = timer === undefined ? {} : { context: { timer } };
  return new MeshError(ErrorCode.REQUEST_TIMEOUT, message, { origin: "upstream", ...context });
}
