import { type Clock, systemClock } from "../time/index.ts";

const DEFAULT_DEADLINE_MS = 5_000;

/**
 * How long connections may go on after a shutdown was asked for.
 *
 * @param explicitMs  CONNECTION_TERMINATION_DEADLINE; 0 = cut at once
 * @param graceSeconds  TERMINATION_GRACE_PERIOD_SECONDS: five seconds are kept back above 10, else one; at least 1 s
 *
 * Parity: ztunnel; Differs: a grace period of 0 does not underflow, it gives the minimum of 1 s.
 */
export function drainDeadlineMs(explicitMs: number | undefined, graceSeconds: number | undefined): number {
  if (explicitMs !== undefined) return explicitMs;
  if (graceSeconds === undefined) return DEFAULT_DEADLINE_MS;
  return Math.max(1, graceSeconds > 10 ? graceSeconds - 5 : graceSeconds - 1) * 1000;
}

/** Waits for `work` at most `ms`; true when it ended in time. A failure of `work` counts as ended. */
export async function within(work: Promise<unknown>, ms: number, clock: Clock = systemClock): Promise<boolean> {
  let cancel: () => void = () => {};
  const late = new Promise<false>((resolve) => {
    cancel = clock.after(ms, () => resolve(false));
  });
  const ended = work.then(
    () => true as const,
    () => true as const,
  );
  try {
    return await Promise.race([ended, late]);
  } finally {
    cancel();
  }
}
