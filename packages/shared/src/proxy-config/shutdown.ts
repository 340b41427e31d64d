import type { EnvReader } from "../config/index.ts";
import { drainDeadlineMs } from "../lifecycle/index.ts";

export interface ShutdownConfig {
  /** How long connections may go on once a shutdown is asked for. */
  readonly drainDeadlineMs: number;
}

export function readShutdown(env: EnvReader): ShutdownConfig {
  const explicit = env.durationMs("CONNECTION_TERMINATION_DEADLINE", -1);
  const grace = env.integer("TERMINATION_GRACE_PERIOD_SECONDS", -1, { min: 0, max: 86_400 });
  return { drainDeadlineMs: drainDeadlineMs(explicit < 0 ? undefined : explicit, grace < 0 ? undefined : grace) };
}
