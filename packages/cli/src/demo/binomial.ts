/** How far a count may be from what is expected before chance is no excuse. Pure. */

/**
 * The fewest and the most hits among `trials` that are still believable: beyond either end lies less than half of `risk`.
 *
 * @param share  probability of a hit, between 0 and 1, both excluded
 * @param risk   probability that a fair count is outside, such as 1e-6
 */
export function believableHits(trials: number, share: number, risk: number): { least: number; most: number } {
  const chances = chancesOf(trials, share);
  return { least: end(chances, risk / 2), most: trials - end(chances.toReversed(), risk / 2) };
}

/** Probability of 0, 1, ... `trials` hits, by logarithms: the powers alone would be too small for a double. */
function chancesOf(trials: number, share: number): readonly number[] {
  let logarithm = trials * Math.log1p(-share);
  return Array.from({ length: trials + 1 }, (_, hits) => {
    if (hits > 0) logarithm += Math.log(((trials - hits + 1) * share) / (hits * (1 - share)));
    return Math.exp(logarithm);
  });
}

/** The first index before which less than `tail` is added up. */
function end(chances: readonly number[], tail: number): number {
  let sum = 0;
  const at = chances.findIndex((chance) => {
    sum += chance;
    return sum >= tail;
  });
  return Math.max(0, at);
}
