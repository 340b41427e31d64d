import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { pickWeighted } from "./match-route.ts";

/** A small generator, so that a failing share can be drawn again. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** From what is expected of a binomial count: farther by chance once in 10^10, by Bernstein's inequality. */
function believableDistance(variance: number): number {
  const nats = Math.log(2e10);
  return nats / 3 + Math.sqrt((nats / 3) ** 2 + 2 * nats * variance);
}

describe("pickWeighted", () => {
  it("gives one in a thousand its share", () => {
    const draws = 400_000;
    const random = seeded(1);
    let hits = 0;
    for (let draw = 0; draw < draws; draw++)
      if (pickWeighted([{ weight: 999 }, { weight: 1 }], random)?.weight === 1) hits++;
    // Three standard deviations of a binomial of 400 000 draws: 60 of 400.
    expect(Math.abs(hits - draws / 1000)).toBeLessThan(60);
  });

  it("is fair whatever the weights", () => {
    const weights = fc
      .array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 6 })
      .filter((all) => all.some((one) => one > 0));
    fc.assert(
      fc.property(weights, fc.integer(), (all, seed) => {
        const draws = 4000;
        const random = seeded(seed);
        const items = all.map((weight, index) => ({ weight, index }));
        const sum = all.reduce((a, b) => a + b, 0);
        const hits = all.map(() => 0);
        for (let draw = 0; draw < draws; draw++) {
          const { index } = pickWeighted(items, random) as { index: number };
          hits[index] = (hits[index] ?? 0) + 1;
        }
        all.forEach((weight, index) => {
          const share = weight / sum;
          if (weight === 0) expect(hits[index]).toBe(0);
          expect(Math.abs((hits[index] ?? 0) - draws * share)).toBeLessThanOrEqual(
            believableDistance(draws * share * (1 - share)),
          );
        });
      }),
      { numRuns: 40 },
    );
  });
});
