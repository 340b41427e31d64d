import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { believableHits } from "./binomial.ts";

describe("believable hits", () => {
  it("are those of a table", () => {
    // 10 throws of a coin: P(0 or 1 heads) is 11/1024, P(0) 1/1024.
    expect(believableHits(10, 0.5, 0.02)).toEqual({ least: 1, most: 9 });
    expect(believableHits(10, 0.5, 0.0001)).toEqual({ least: 0, most: 10 });
  });

  it("are wide enough for a canary, and not so wide that they prove nothing", () => {
    const { least, most } = believableHits(4_000, 0.01, 1e-6);
    expect(least).toBeGreaterThan(10);
    expect(most).toBeLessThan(80);
  });

  it("surround what is expected", () => {
    const share = fc.double({ min: 0.001, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), share, (trials, chance) => {
        const { least, most } = believableHits(trials, chance, 1e-6);
        expect(least).toBeLessThanOrEqual(Math.ceil(trials * chance));
        expect(most).toBeGreaterThanOrEqual(Math.floor(trials * chance));
      }),
    );
  });
});
