import { type EventLoopUtilization, performance } from "node:perf_hooks";
import type { Clock } from "../time/index.ts";

/** By then a start has ended, and what it left behind can go. */
const PERIOD_MS = 10_000;
/** Above this share of the time a thread has work that should not wait for a full collection. */
const BUSY_SHARE = 0.1;
/** After the first time there may be users: only a thread with next to nothing to do is stopped for them again. */
const QUIET_SHARE = 0.01;
/**
 * ... and only one that had so little to do for a minute. A collection throws away compiled code and shrinks the young
 * generation: the next burst compiles again, and is collected three times as often while that grows (measured). Bursts
 * that come every minute must not pay for it each time.
 */
const QUIET_PERIODS = 6;

export interface CompactionInit {
  readonly clock: Clock;
  /** Stops the thread for some tens of milliseconds. */
  readonly compact: () => void;
  readonly utilization?: (since?: EventLoopUtilization) => EventLoopUtilization;
}

/**
 * Compacts the memory of this thread after the first 10 s in which it had little to do, and again in the first quiet
 * minute after each busy time: a burst would otherwise keep its memory for hours. Under lasting load nothing happens;
 * the collector runs often enough then.
 */
export function compactWhenIdle({ clock, compact, utilization = ownThread }: CompactionInit): void {
  let enough = BUSY_SHARE;
  let periods = 1;
  let due = true;
  let quiet = 0;
  const look = (since: EventLoopUtilization): void => {
    clock.after(PERIOD_MS, () => {
      const share = utilization(since).utilization;
      if (share > BUSY_SHARE) due = true;
      quiet = share <= enough ? quiet + 1 : 0;
      if (due && quiet >= periods) {
        due = false;
        enough = QUIET_SHARE;
        periods = QUIET_PERIODS;
        compact();
      }
      look(utilization());
    });
  };
  look(utilization());
}

const ownThread = (since?: EventLoopUtilization): EventLoopUtilization => performance.eventLoopUtilization(since);
