/** The codecs' failures, each made in one place. */
import { ErrorCode, MeshError, type RetryVerdict } from "@ambit/shared/errors";
import type { HttpFault } from "./http-fault.ts";

/** @param status what we answered; 0 = nothing */
export const requestMalformed = (fault: HttpFault, status: number): MeshError =>
  new MeshError(isLimit(fault.status) ? ErrorCode.REQUEST_LIMIT_EXCEEDED : ErrorCode.REQUEST_MALFORMED, fault.message, {
    origin: "downstream",
    context: { status },
  });

const isLimit = (status: number): boolean => status === 414 || status === 431;

export const responseMalformed = (message: string): MeshError =>
  new MeshError(ErrorCode.RESPONSE_MALFORMED, message, { origin: "upstream" });

export const downstreamGone = (message: string, cause?: unknown): MeshError =>
  new MeshError(ErrorCode.DOWNSTREAM_RESET, message, { origin: "downstream", cause });

export const upstreamGone = (message: string, retry: RetryVerdict, cause?: unknown): MeshError =>
  new MeshError(ErrorCode.UPSTREAM_RESET, message, { origin: "upstream", retry, cause });

/** The response is complete, the request is not and nobody will read the rest. */
export const answeredEarly = (origin: "upstream" | "local"): MeshError =>
  new MeshError(ErrorCode.CANCELLED, "the response was complete before its request", { origin });

export const noRoom = (message: string): MeshError =>
  new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, message, { origin: "local", retry: "safe" });

/** The owner broke the contract of message.ts. */
export const misuse = (message: string): MeshError => new MeshError(ErrorCode.INVARIANT_VIOLATED, message);

export const unsendableField = (name: string): MeshError =>
  misuse(`header ${JSON.stringify(name.slice(0, 60))} cannot be sent: no token, or a value with control characters`);

/** An owner's handler threw. */
export const ownerThrew = (thrown: unknown): MeshError => MeshError.from(thrown, ErrorCode.INVARIANT_VIOLATED);
