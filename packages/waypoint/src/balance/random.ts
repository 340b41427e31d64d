import type { Random } from "@ambit/shared/time";
import { pickByWeight, runningSums } from "./locality-load.ts";

/**
 * Independent draws in proportion to the weights, O(log n).
 *
 * Differs: Envoy's RANDOM takes no notice of endpoint weights.
 */
export function createRandomChoice(weights: readonly number[], random: Random): () => number {
  const sums = runningSums(weights);
  return () => pickByWeight(sums, random());
}
