/** The clocks of one attempt: its own timeout, and what is left of the request's. */
import type { Clock } from "@ambit/shared/time";

/** Which one ended the attempt: after "per-try" another may follow, after "request" none (504, flag UT). */
export type ExpiredTimeout = "per-try" | "request";

export interface AttemptTimeoutInit {
  /** 0 = none. */
  readonly perTryTimeoutMs: number;
  /** When the request ends, monotonic; undefined = never. */
  readonly deadlineMs: number | undefined;
}

/** The timeout that comes first, and how soon; the request's on a tie. Undefined when there is none. Pure. */
export function decideAttemptTimeout(
  { perTryTimeoutMs, deadlineMs }: AttemptTimeoutInit,
  nowMs: number,
): { readonly kind: ExpiredTimeout; readonly afterMs: number } | undefined {
  const remainingMs = deadlineMs === undefined ? Number.POSITIVE_INFINITY : Math.max(0, deadlineMs - nowMs);
  if (perTryTimeoutMs > 0 && perTryTimeoutMs < remainingMs) return { kind: "per-try", afterMs: perTryTimeoutMs };
  return remainingMs === Number.POSITIVE_INFINITY ? undefined : { kind: "request", afterMs: remainingMs };
}

/**
 * Starts when the attempt's head is written, and is stopped by the head of the answer (the request's own deadline goes
 * on: it covers the whole answer, so its owner keeps it).
 *
 * @returns stops it; any number of times
 */
export function startAttemptTimeout(
  clock: Clock,
  init: AttemptTimeoutInit,
  onExpired: (kind: ExpiredTimeout) => void,
): () => void {
  const timeout = decideAttemptTimeout(init, clock.monotonic());
  if (timeout === undefined) return () => undefined;
  return clock.after(timeout.afterMs, () => onExpired(timeout.kind));
}
