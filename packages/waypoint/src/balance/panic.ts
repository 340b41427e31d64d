import type { PriorityHealth } from "./priority-load.ts";

/**
 * Whether a priority has so few usable endpoints that all of it is used, lest the few be crushed. Pure.
 *
 * @param thresholdPercent  0 = never, which is what Istio configures
 * @param normalizedTotal   of `priorityLoads`: while the priorities together can carry the load, nobody panics
 *
 * Parity: Envoy's panic threshold, degraded endpoints counted as usable.
 */
export function isPanicking(health: PriorityHealth, thresholdPercent: number, normalizedTotal: number): boolean {
  if (thresholdPercent <= 0 || health.total === 0 || normalizedTotal >= 100) return false;
  return (100 * (health.healthy + health.degraded)) / health.total < thresholdPercent;
}
