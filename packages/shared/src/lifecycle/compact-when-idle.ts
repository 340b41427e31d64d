import { type EventLoopUtilization, performance } from "node:perf_hooks";
import type { Clock } from "../time/index.ts";
import { compactMemory } from "./compact-memory.ts";

/** By then a start has ended, and what it left behind can go. */
const PERIOD_MS = 10_000;
/** Above this share of the time a thread has work that should not wait for a full collection. */
const BUSY_SHARE = 0.1;

export interface CompactionSeams {
  readonly compact: () => void;
  readonly utilization: (since?: EventLoopUtilization) => EventLoopUtilization;
}

const OWN_THREAD: CompactionSeams = {
  compact: compactMemory,
  utilization: (since) => performance.eventLoopUtilization(since),
};

/**
 * Compacts the memory of this thread once, after the first 10 s in which it had little to do. Under lasting load nothing
 * happens; the collector runs often enough then.
 */
export function compactWhenIdle(clock: Clock, seams: CompactionSeams = OWN_THREAD): void {
  const look = (since: EventLoopUtilization): void => {
    clock.after(PERIOD_MS, () => {
      if (seams.utilization(since).utilization <= BUSY_SHARE) seams.compact();
      else look(seams.utilization());
    });
  };
  look(seams.utilization());
}
