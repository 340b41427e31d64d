import type { Probe } from "../cluster/container.ts";

/** How a probe stands after its results so far. */
export interface ProbeState {
  /** The verdict in force; undefined until a threshold was reached for the first time. */
  readonly healthy: boolean | undefined;
  readonly successes: number;
  readonly failures: number;
}

export const UNPROBED: ProbeState = { healthy: undefined, successes: 0, failures: 0 };

/** One more result: so many in a row change the verdict. Spec: Kubernetes, "Configure Liveness, Readiness and Startup Probes" */
export function applyResult(state: ProbeState, succeeded: boolean, probe: Probe): ProbeState {
  const successes = succeeded ? state.successes + 1 : 0;
  const failures = succeeded ? 0 : state.failures + 1;
  if (successes >= probe.successThreshold) return { healthy: true, successes, failures };
  if (failures >= probe.failureThreshold) return { healthy: false, successes, failures };
  return { healthy: state.healthy, successes, failures };
}
