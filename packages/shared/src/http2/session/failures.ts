import { ErrorCode, type ErrorOrigin, MeshError, type RetryVerdict } from "../../errors/index.ts";
import { H2Code } from "../api.ts";
import type { Goaway } from "../frames/decode-payload.ts";

type Role = "client" | "server";

const CODE_OF_FAULT: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [H2Code.FLOW_CONTROL_ERROR, ErrorCode.H2_FLOW_CONTROL_ERROR],
  [H2Code.FRAME_SIZE_ERROR, ErrorCode.H2_FRAME_SIZE_ERROR],
  [H2Code.COMPRESSION_ERROR, ErrorCode.H2_COMPRESSION_ERROR],
  [H2Code.ENHANCE_YOUR_CALM, ErrorCode.H2_ENHANCE_YOUR_CALM],
  [H2Code.SETTINGS_TIMEOUT, ErrorCode.H2_PREFACE_TIMEOUT],
]);

const BREACHES: ReadonlySet<ErrorCode> = new Set([ErrorCode.H2_PROTOCOL_ERROR, ...CODE_OF_FAULT.values()]);

/** Whether a stream or session ended because the peer broke a rule, and not because somebody left. */
export const isBreach = ({ code }: Pick<MeshError, "code">): boolean => BREACHES.has(code);

const NAMES = Object.entries(H2Code);
const nameOf = (code: number): string => NAMES.find(([, value]) => value === code)?.[0] ?? `code ${code}`;

/** Whose fault it is, seen from our role. */
export const originOf = (role: Role): ErrorOrigin => (role === "client" ? "upstream" : "downstream");

/** The peer broke a rule. `context.h2Code` is what our GOAWAY or RST_STREAM says. */
export function peerFault(role: Role, code: number, message: string): MeshError {
  return new MeshError(CODE_OF_FAULT.get(code) ?? ErrorCode.H2_PROTOCOL_ERROR, message, {
    origin: originOf(role),
    context: { h2Code: code },
  });
}

/** The peer sent RST_STREAM. */
export function resetByPeer(role: Role, streamId: number, code: number): MeshError {
  const refused = code === H2Code.REFUSED_STREAM;
  return new MeshError(
    refused ? ErrorCode.H2_STREAM_REFUSED : ErrorCode.H2_STREAM_RESET,
    `peer reset stream ${streamId} with ${nameOf(code)}`,
    { origin: originOf(role), retry: refused ? "safe" : "never", context: { h2Code: code, streamId } },
  );
}

/** A request beyond the number of streams that we allow. */
export function beyondLimit(streamId: number, limit: number): MeshError {
  return new MeshError(ErrorCode.H2_STREAM_REFUSED, `stream ${streamId}: more than ${limit} at once`, {
    origin: "downstream",
    retry: "safe",
    context: { h2Code: H2Code.REFUSED_STREAM, streamId },
  });
}

/** The owner called `reset`. */
export function resetByOwner(streamId: number, code: number): MeshError {
  return new MeshError(ErrorCode.H2_STREAM_RESET, `stream ${streamId} was reset here with ${nameOf(code)}`, {
    origin: "local",
    context: { h2Code: code, streamId },
  });
}

/** The peer's GOAWAY says that it never processed this stream. */
export function refusedByGoaway(role: Role, streamId: number, code: number): MeshError {
  return new MeshError(ErrorCode.H2_STREAM_REFUSED, `stream ${streamId} came after the peer's GOAWAY`, {
    origin: originOf(role),
    retry: "safe",
    context: { h2Code: code, streamId },
  });
}

/** The transport ended under the session. `context.goawayCode` is what the peer had given as reason, if it had. */
export function transportClosed(role: Role, cause: unknown, goaway: Goaway | undefined): MeshError {
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  const said = goaway === undefined ? "" : `, after GOAWAY ${nameOf(goaway.code)} ${goaway.debug}`.trimEnd();
  return new MeshError(ErrorCode.H2_SESSION_CLOSED, `transport of the HTTP/2 session closed${reason}${said}`, {
    origin: originOf(role),
    cause,
    context: goaway === undefined ? {} : { goawayCode: goaway.code },
  });
}

/** No sign of life after a PING. */
export function unresponsive(role: Role, timeoutMs: number): MeshError {
  return new MeshError(ErrorCode.H2_SESSION_UNRESPONSIVE, `no answer to an HTTP/2 PING within ${timeoutMs} ms`, {
    origin: originOf(role),
    retry: "if-session-reused",
  });
}

/** The same failure as one stream sees it: worth another try when the peer may never have looked at the request. */
export function forStream(error: MeshError, responseSeen: boolean): MeshError {
  const retry: RetryVerdict = responseSeen ? "never" : "if-session-reused";
  const sessionEnded = error.code === ErrorCode.H2_SESSION_CLOSED || error.code === ErrorCode.H2_SESSION_UNRESPONSIVE;
  if (!sessionEnded || error.retry === retry) return error;
  return new MeshError(error.code, error.message, {
    origin: error.origin,
    retry,
    cause: error,
    context: error.context,
  });
}

/** The code our GOAWAY gives for this end. */
export function goawayCodeOf(error: MeshError | undefined): number {
  const code = error?.context["h2Code"];
  return typeof code === "number" ? code : H2Code.NO_ERROR;
}
