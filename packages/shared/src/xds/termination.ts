import { status } from "@grpc/grpc-js";
import { ErrorCode, MeshError } from "../errors/index.ts";

/**
 * How a stream ended, as Istio's `istio_xds_connection_terminations_total` names it: never connected, an error of the
 * control plane, a connection lost that is simply made again, or closed by the control plane in good order.
 */
export type TerminationReason = "ConnectionError" | "Error" | "Reconnect" | "Complete";

const LOST: ReadonlySet<number> = new Set([
  status.UNKNOWN,
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.UNAVAILABLE,
]);

/** @param error what the stream ended with, if anything */
export function terminationReason(connected: boolean, error: unknown): TerminationReason {
  if (!connected) return "ConnectionError";
  if (error === undefined) return "Complete";
  return LOST.has(statusOf(error) ?? status.INTERNAL) ? "Reconnect" : "Error";
}

/** The failure with its gRPC status in words; undefined for a stream that ended in good order. */
export function streamError(error: unknown): MeshError | undefined {
  if (error === undefined || error instanceof MeshError) return error;
  const code = statusOf(error);
  const details = typeof error === "object" && error !== null && "details" in error ? error.details : undefined;
  const message = `the xDS stream failed: ${code === undefined ? "" : `${status[code]}: `}${details ?? String(error)}`;
  const context = code === undefined ? {} : { status: status[code] ?? String(code) };
  return new MeshError(ErrorCode.XDS_STREAM_FAILED, message, {
    origin: "control-plane",
    retry: "safe",
    cause: error,
    context,
  });
}

function statusOf(error: unknown): number | undefined {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "number" ? code : undefined;
}
