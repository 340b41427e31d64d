/** What the config dump and the metrics show of a cluster. */
import { BREAKER_RESOURCES, type BreakerResource, type BreakerState } from "./circuit-breaker.ts";
import type { ClusterState } from "./cluster-state.ts";
import type { LiveEndpoint, Standing } from "./live-endpoint.ts";
import type { EjectionReason, OutlierState } from "./outlier-detection.ts";

export interface ClusterStatus {
  readonly name: string;
  readonly algorithm: string;
  /** Percent of the load by priority, and whether the priority panics. */
  readonly priorities: readonly {
    readonly loadPercent: number;
    readonly healthy: number;
    readonly degraded: number;
    readonly total: number;
    readonly isPanicking: boolean;
  }[];
  readonly breakers: Readonly<Record<BreakerResource, BreakerState>>;
  readonly endpoints: readonly EndpointStatus[];
}

export interface EndpointStatus {
  readonly key: string;
  readonly workload: string;
  readonly priority: number;
  readonly weight: number;
  readonly standing: Standing;
  readonly phase: OutlierState["phase"];
  readonly ejectedBecause: EjectionReason | undefined;
  /** Until its probe is due; 0 unless ejected. */
  readonly ejectedForMs: number;
  readonly active: number;
  readonly started: number;
  readonly failed: number;
  /** Peak EWMA without its decay; undefined without a sample. */
  readonly latencyMs: number | undefined;
}

export function statusOf(state: ClusterState, nowMs: number): ClusterStatus {
  const { set, cluster, breaker } = state;
  return {
    name: cluster.name,
    algorithm: cluster.algorithm.kind,
    priorities: set.levels.map(({ health, isPanicking }, level) => ({
      loadPercent: loadOf(set.shares, level),
      ...health,
      isPanicking,
    })),
    breakers: Object.fromEntries(BREAKER_RESOURCES.map((resource) => [resource, breaker.state(resource)])) as Record<
      BreakerResource,
      BreakerState
    >,
    endpoints: state.present().map((live) => endpointStatus(live, nowMs)),
  };
}

function loadOf(shares: ClusterState["set"]["shares"], level: number): number {
  let previous = 0;
  let load = 0;
  for (const share of shares) {
    if (share.level === level) load += share.upToPercent - previous;
    previous = share.upToPercent;
  }
  return load;
}

function endpointStatus(live: LiveEndpoint, nowMs: number): EndpointStatus {
  const { phase, reason, sinceMs } = live.outlier;
  return {
    key: live.key,
    workload: live.endpoint.workload,
    priority: live.priority,
    weight: live.endpoint.weight,
    standing: live.standing,
    phase,
    ejectedBecause: reason,
    ejectedForMs: phase === "ejected" ? Math.max(0, sinceMs - nowMs) : 0,
    active: live.active,
    started: live.started,
    failed: live.failed,
    latencyMs: live.latencyMs,
  };
}
