import type { PriorityHealth } from "./priority-load.ts";

/**
 * Weight of a locality within its priority, less what its missing endpoints cannot carry. Pure.
 *
 * Spec: effective(L) = weight(L) * min(1, overprovisioning * available(L) / total(L)); its share is over the sum.
 * Parity: Envoy's locality-weighted balancing.
 */
export function effectiveLocalityWeight(
  weight: number,
  locality: Pick<PriorityHealth, "total"> & { readonly available: number },
  overprovisioningPercent: number,
): number {
  if (locality.total === 0) return 0;
  return weight * Math.min(1, (overprovisioningPercent * locality.available) / (100 * locality.total));
}

/** Running sums, for `pickByWeight`. */
export function runningSums(weights: readonly number[]): Float64Array {
  const sums = new Float64Array(weights.length);
  let sum = 0;
  for (const [index, weight] of weights.entries()) {
    sum += weight;
    sums[index] = sum;
  }
  return sums;
}

/** Index drawn in proportion to the weights; -1 when they add up to 0. `unit` is uniform in [0, 1). O(log n). */
export function pickByWeight(sums: Float64Array, unit: number): number {
  const total = sums.at(-1) ?? 0;
  if (!(total > 0)) return -1;
  const target = unit * total;
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sums[middle]! > target) high = middle;
    else low = middle + 1;
  }
  // A draw just under 1 may round up to the total, past everybody: the last with a weight takes it.
  while (low > 0 && sums[low] === sums[low - 1]) low -= 1;
  return low;
}
