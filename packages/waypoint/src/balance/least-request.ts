/**
 * The endpoint with the fewest requests under way, of a few drawn at random: close to the best of all at a constant
 * price, and without the herd that follows when many proxies agree on the best one. Pure.
 *
 * Parity: Envoy LEAST_REQUEST.
 */
import type { Random } from "@ambit/shared/time";

/**
 * Draws `choices` of `count` indices and gives the one of least cost; the first drawn on a tie. Two choices are always
 * distinct; when all are asked for, all are compared, from a random one on.
 *
 * @param costOf  e.g. requests under way; NaN never wins
 * @returns -1 when `count` is 0
 */
export function leastOfChoices(
  count: number,
  choices: number,
  costOf: (index: number) => number,
  random: Random,
): number {
  if (count <= 1) return count - 1;
  const first = Math.floor(random() * count);
  if (choices < 2) return first;
  // A step in 1..count-1 from the first cannot come back to it: two distinct indices from two draws.
  if (choices === 2) return cheaper(first, (first + 1 + Math.floor(random() * (count - 1))) % count, costOf);
  let best = first;
  const all = choices >= count;
  for (let drawn = 1; drawn < Math.min(choices, count); drawn += 1) {
    best = cheaper(best, all ? (first + drawn) % count : Math.floor(random() * count), costOf);
  }
  return best;
}

function cheaper(a: number, b: number, costOf: (index: number) => number): number {
  return costOf(b) < costOf(a) ? b : a;
}

/** What an endpoint weighs when weights differ: weight / (active + 1) ^ bias; bias 0 = the weight alone. */
export function leastRequestWeight(weight: number, active: number, bias: number): number {
  return weight / (active + 1) ** bias;
}
