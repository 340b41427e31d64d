import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { slowStartFactor } from "./slow-start.ts";

const config = fc.record({
  windowMs: fc.integer({ min: 1_000, max: 3_600_000 }),
  aggression: fc.double({ min: 0.1, max: 10, noNaN: true }),
  minimumWeightPercent: fc.integer({ min: 0, max: 100 }),
});

describe("slowStartFactor", () => {
  it("is max(minimum, (age / window) ^ (1 / aggression)) from a second on", () => {
    fc.assert(
      fc.property(config, fc.nat(3_600_000), (slowStart, age) => {
        const published = (Math.max(age, 1_000) / slowStart.windowMs) ** (1 / slowStart.aggression);
        const expected = age >= slowStart.windowMs ? 1 : Math.max(slowStart.minimumWeightPercent / 100, published);
        expect(slowStartFactor(slowStart, age)).toBeCloseTo(Math.min(1, expected), 9);
      }),
    );
  });

  it("never shrinks with age, and ends at 1", () => {
    fc.assert(
      fc.property(config, fc.nat(3_600_000), fc.nat(60_000), (slowStart, age, later) => {
        expect(slowStartFactor(slowStart, age + later)).toBeGreaterThanOrEqual(slowStartFactor(slowStart, age));
        expect(slowStartFactor(slowStart, slowStart.windowMs)).toBe(1);
      }),
    );
  });

  it("is linear with aggression 1, from the minimum of 10 %", () => {
    const slowStart = { windowMs: 60_000, aggression: 1, minimumWeightPercent: 10 };
    expect([0, 6_000, 15_000, 30_000, 60_000].map((age) => slowStartFactor(slowStart, age))).toEqual([
      0.1, 0.1, 0.25, 0.5, 1,
    ]);
  });
});
