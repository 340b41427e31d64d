import type { Endpoint, SlowStart } from "./model.ts";
import { NEVER_EJECTED, type OutlierState } from "./outlier-detection.ts";
import { IntervalResults } from "./outlier-statistics.ts";
import { slowStartFactor } from "./slow-start.ts";

/** Whether an endpoint takes requests, by what the control plane says of it and by how it answered. */
export type Standing = "healthy" | "degraded" | "out";

/** What we know of one endpoint of one cluster beyond its configuration. Outlives updates that keep its key. */
export class LiveEndpoint {
  readonly key: string;
  endpoint: Endpoint;
  /** Index of its priority. */
  priority: number;
  /** Still configured; false while its last requests run out. */
  present = true;
  /** Requests under way. */
  active = 0;
  /** Requests ever started, and of those the failed ones. */
  started = 0;
  failed = 0;
  outlier: OutlierState = NEVER_EJECTED;
  readonly interval = new IntervalResults();
  /** When slow start began: it joined, turned healthy, or came back from an ejection. Monotonic. */
  warmsSinceMs: number;
  /** Peak EWMA; undefined until the first sample. */
  latencyMs: number | undefined = undefined;
  latencyAtMs = 0;

  constructor(endpoint: Endpoint, priority: number, nowMs: number) {
    this.key = endpoint.key;
    this.endpoint = endpoint;
    this.priority = priority;
    this.warmsSinceMs = nowMs;
  }

  /** Takes over a new configuration. */
  configure(endpoint: Endpoint, priority: number, nowMs: number): void {
    const recovers = !this.present || (this.endpoint.health === "unhealthy" && endpoint.health !== "unhealthy");
    if (recovers) this.warmsSinceMs = nowMs;
    this.endpoint = endpoint;
    this.priority = priority;
    this.present = true;
  }

  get standing(): Standing {
    if (this.outlier.phase !== "in" || this.endpoint.health === "unhealthy") return "out";
    return this.endpoint.health;
  }

  weightAt(nowMs: number, slowStart: SlowStart | undefined): number {
    if (slowStart === undefined) return this.endpoint.weight;
    return this.endpoint.weight * slowStartFactor(slowStart, nowMs - this.warmsSinceMs);
  }
}
