import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { effectiveLocalityWeight, pickByWeight, runningSums } from "./locality-load.ts";
import { isPanicking } from "./panic.ts";
import { type PriorityHealth, priorityLoads } from "./priority-load.ts";

const health = fc
  .tuple(fc.nat(50), fc.nat(50), fc.nat(50))
  .map(([healthy, degraded, out]): PriorityHealth => ({ healthy, degraded, total: healthy + degraded + out }));
const healths = fc.array(health, { minLength: 1, maxLength: 5 });
const overprovisioning = fc.integer({ min: 100, max: 300 });
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe("priorityLoads", () => {
  it("adds up to exactly 100, or to 0 when nothing is available", () => {
    fc.assert(
      fc.property(healths, overprovisioning, (priorities, percent) => {
        const loads = priorityLoads(priorities, percent);
        const total = sum(loads.healthy) + sum(loads.degraded);
        expect(total).toBe(loads.normalizedTotal === 0 ? 0 : 100);
      }),
    );
  });

  it("keeps to the published formula within a percent, and the first share takes what rounding leaves", () => {
    fc.assert(
      fc.property(healths, overprovisioning, (priorities, percent) => {
        const { healthy: loads, normalizedTotal } = priorityLoads(priorities, percent);
        const availability = priorities.map(({ healthy, total }) =>
          total === 0 ? 0 : Math.min(100, Math.floor((percent * healthy) / total)),
        );
        let before = 0;
        for (const [index, load] of loads.entries()) {
          const exact =
            normalizedTotal === 0 ? 0 : Math.min(100 - before, (availability[index]! * 100) / normalizedTotal);
          const isFirst = availability.findIndex((each) => each > 0) === index;
          expect(load).toBeGreaterThanOrEqual(Math.floor(exact) - priorities.length);
          expect(load).toBeLessThanOrEqual(exact + (isFirst ? 2 * priorities.length : 0));
          before += load;
        }
      }),
    );
  });

  it("gives a priority without healthy endpoints no healthy load", () => {
    fc.assert(
      fc.property(healths, overprovisioning, (priorities, percent) => {
        const { healthy } = priorityLoads(priorities, percent);
        for (const [index, load] of healthy.entries()) if (priorities[index]!.healthy === 0) expect(load).toBe(0);
      }),
    );
  });

  it("gives a later priority nothing while an earlier one can carry all", () => {
    fc.assert(
      fc.property(healths, overprovisioning, (priorities, percent) => {
        const full = { healthy: 10, degraded: 0, total: 10 };
        expect(priorityLoads([full, ...priorities], percent).healthy.slice(1)).toEqual(priorities.map(() => 0));
      }),
    );
  });

  it("never takes load from the first priority when more of it turns healthy", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.nat(50), healths, (total, some, others) => {
        const healthy = Math.min(some, total - 1);
        const loadOf = (count: number) =>
          priorityLoads([{ healthy: count, degraded: 0, total }, ...others], 140).healthy[0]!;
        // Up to the leftover of rounding, which goes to the first.
        expect(loadOf(healthy + 1)).toBeGreaterThanOrEqual(loadOf(healthy) - others.length * 2);
      }),
    );
  });
});

describe("isPanicking", () => {
  it("holds exactly under the threshold, and never while all priorities together suffice or with threshold 0", () => {
    fc.assert(
      fc.property(health, fc.nat(100), fc.nat(100), (of, threshold, normalizedTotal) => {
        const usable = of.total === 0 ? 100 : (100 * (of.healthy + of.degraded)) / of.total;
        const panics = isPanicking(of, threshold, normalizedTotal);
        expect(panics).toBe(threshold > 0 && of.total > 0 && normalizedTotal < 100 && usable < threshold);
      }),
    );
  });
});

describe("effectiveLocalityWeight", () => {
  it("is weight * min(1, 1.4 * available / total)", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.nat(50),
        fc.integer({ min: 1, max: 50 }),
        (weight, part, total) => {
          const available = Math.min(part, total);
          const effective = effectiveLocalityWeight(weight, { available, total }, 140);
          expect(effective).toBeCloseTo(weight * Math.min(1, (1.4 * available) / total), 3);
          expect(effective).toBeLessThanOrEqual(weight);
        },
      ),
    );
  });

  it("is 0 without endpoints", () => {
    expect(effectiveLocalityWeight(5, { available: 0, total: 0 }, 140)).toBe(0);
  });
});

describe("pickByWeight", () => {
  const weights = fc.array(fc.double({ min: 0, max: 1e12, noNaN: true }), { minLength: 1, maxLength: 20 });
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it("never picks a weight of 0, and picks what the running sums say", () => {
    fc.assert(
      fc.property(weights, unit, (list, draw) => {
        const sums = runningSums(list);
        const total = sums.at(-1)!;
        const picked = pickByWeight(sums, draw);
        if (total === 0) return expect(picked).toBe(-1);
        expect(list[picked]!).toBeGreaterThan(0);
        if (draw * total < total) expect(draw * total).toBeLessThan(sums[picked]!);
        if (picked > 0) expect(draw * total).toBeGreaterThanOrEqual(sums[picked - 1]!);
      }),
    );
  });

  it("does not fall on a last weight of 0 when the draw rounds up to the total", () => {
    expect(pickByWeight(runningSums([5e-324, 0]), 1 - 2 ** -53)).toBe(0);
  });
});
