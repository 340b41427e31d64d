/**
 * How much of the load each priority gets: the first takes all while enough of it is healthy, and spills in
 * proportion to what is missing. Pure.
 *
 * Spec: availability(P) = min(100, overprovisioning * healthy(P) / total(P)), normalised when all together are under 100.
 * Parity: Envoy's priority levels and degraded endpoints, in whole percent, rounding down.
 */

/** Endpoints of one priority by what they can do. Healthy and degraded ones are disjoint. */
export interface PriorityHealth {
  readonly healthy: number;
  readonly degraded: number;
  readonly total: number;
}

/** Percent of all requests, by priority; both lists together add up to 100, or to 0 when nothing is available. */
export interface PriorityLoads {
  readonly healthy: readonly number[];
  /** Degraded endpoints of every priority come after the healthy ones of all. */
  readonly degraded: readonly number[];
  /** min(100, sum of all availabilities): under 100 there is too little for the load, and panic is considered. */
  readonly normalizedTotal: number;
}

/** Whole percent of the load that so many of `total` endpoints may carry: 0 to 100. */
export function availabilityPercent(available: number, total: number, overprovisioningPercent: number): number {
  return total === 0 ? 0 : Math.min(100, Math.floor((overprovisioningPercent * available) / total));
}

export function priorityLoads(priorities: readonly PriorityHealth[], overprovisioningPercent: number): PriorityLoads {
  const healthy = priorities.map((p) => availabilityPercent(p.healthy, p.total, overprovisioningPercent));
  const degraded = priorities.map((p) => availabilityPercent(p.degraded, p.total, overprovisioningPercent));
  const all = [...healthy, ...degraded];
  const normalizedTotal = Math.min(
    100,
    all.reduce((sum, percent) => sum + percent, 0),
  );
  const loads = distribute(all, normalizedTotal);
  return {
    healthy: loads.slice(0, priorities.length),
    degraded: loads.slice(priorities.length),
    normalizedTotal,
  };
}

/** Load when every priority panics: by number of endpoints, since health says nothing any more. */
export function panicLoads(priorities: readonly PriorityHealth[]): readonly number[] {
  const total = priorities.reduce((sum, p) => sum + p.total, 0);
  return distribute(
    priorities.map((p) => (total === 0 ? 0 : (100 * p.total) / total)),
    100,
  );
}

/** In order, each its share and never more than is left; what rounding leaves over goes to the first that has any. */
function distribute(availabilities: readonly number[], normalizedTotal: number): number[] {
  if (normalizedTotal === 0) return availabilities.map(() => 0);
  let left = 100;
  const loads = availabilities.map((availability) => {
    const load = Math.min(left, Math.floor((availability * 100) / normalizedTotal));
    left -= load;
    return load;
  });
  const first = availabilities.findIndex((availability) => availability > 0);
  if (first >= 0) loads[first] = (loads[first] ?? 0) + left;
  return loads;
}
