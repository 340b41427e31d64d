import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { EdfSchedule } from "./edf-schedule.ts";
import { leastOfChoices, leastRequestWeight } from "./least-request.ts";
import { DEFAULT_RTT_MS, decayedLatency, medianLatency, observeLatency, peakEwmaCost } from "./peak-ewma.ts";
import { createRandomChoice } from "./random.ts";
import { createRoundRobin } from "./round-robin.ts";
import { seededRandom } from "./test-cluster.ts";

const seed = fc.integer();
const weights = fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 12 });

function countTurns(next: () => number, members: number, turns: number): number[] {
  const counts = Array.from({ length: members }, () => 0);
  for (let turn = 0; turn < turns; turn += 1) {
    const index = next();
    counts[index] = counts[index]! + 1;
  }
  return counts;
}

describe("createRoundRobin", () => {
  it("is fair over any stretch: turns / weight of any two differ by at most 1 / w1 + 1 / w2", () => {
    fc.assert(
      fc.property(weights, seed, fc.nat(500), fc.integer({ min: 1, max: 2_000 }), (list, dice, skipped, stretch) => {
        const next = createRoundRobin(list.length, (index) => list[index]!, seededRandom(dice));
        countTurns(next, list.length, skipped);
        const turns = countTurns(next, list.length, stretch);
        for (const [a, weightA] of list.entries()) {
          for (const [b, weightB] of list.entries()) {
            const gap = Math.abs(turns[a]! / weightA - turns[b]! / weightB);
            expect(gap).toBeLessThanOrEqual(1 / weightA + 1 / weightB + 1e-6);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it("takes turns strictly while weights are equal", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), seed, (count, dice) => {
        const next = createRoundRobin(count, () => 1, seededRandom(dice));
        const order = Array.from({ length: count }, next);
        expect(new Set(order).size).toBe(count);
        expect(Array.from({ length: count }, next)).toEqual(order);
      }),
    );
  });

  it("is smooth: of the weights 5, 1, 1 the heavy one has no five turns in a row", () => {
    const next = createRoundRobin(3, (index) => (index === 0 ? 5 : 1), seededRandom(1));
    const order = Array.from({ length: 70 }, next).join("");
    expect(order).not.toMatch(/0{5}/);
    expect(countTurns(next, 3, 70)).toEqual([50, 10, 10]);
  });

  it("follows weights that change", () => {
    let heavy = 1;
    const schedule = new EdfSchedule(2, (index) => (index === 0 ? heavy : 1), seededRandom(7));
    countTurns(() => schedule.next(), 2, 10);
    heavy = 9;
    const [first = 0] = countTurns(() => schedule.next(), 2, 1_000);
    expect(first).toBeGreaterThan(890);
  });

  it("has nobody's turn without members", () => {
    expect(createRoundRobin(0, () => 1, Math.random)()).toBe(-1);
  });
});

describe("createRandomChoice", () => {
  it("draws in proportion to the weights", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), seed, (list, dice) => {
        const total = list.reduce((a, b) => a + b, 0);
        const turns = countTurns(createRandomChoice(list, seededRandom(dice)), list.length, 20_000);
        for (const [index, weight] of list.entries()) {
          expect(Math.abs(turns[index]! / 20_000 - weight / total)).toBeLessThan(0.025);
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe("leastOfChoices", () => {
  const load = fc.array(fc.nat(100), { minLength: 1, maxLength: 30 });

  it("never picks the busiest of two choices when it is alone the busiest", () => {
    fc.assert(
      fc.property(load, seed, (active, dice) => {
        const busiest = Math.max(...active);
        fc.pre(active.length > 1 && active.filter((each) => each === busiest).length === 1);
        const picked = leastOfChoices(active.length, 2, (index) => active[index]!, seededRandom(dice));
        expect(active[picked]!).toBeLessThan(busiest);
      }),
    );
  });

  it("finds the least busy when all are choices", () => {
    fc.assert(
      fc.property(load, seed, (active, dice) => {
        fc.pre(active.length > 2);
        const picked = leastOfChoices(active.length, active.length, (index) => active[index]!, seededRandom(dice));
        expect(active[picked]).toBe(Math.min(...active));
      }),
    );
  });

  it("asks for the cost of as many as it was told, and of any", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 10 }), seed, (count, choices, dice) => {
        const asked = new Set<number>();
        const costOf = (index: number): number => {
          asked.add(index);
          return 0;
        };
        const picked = leastOfChoices(count, choices, costOf, seededRandom(dice));
        expect(picked).toBeGreaterThanOrEqual(count === 0 ? -1 : 0);
        expect(picked).toBeLessThan(Math.max(count, 1));
        expect(asked.size).toBeLessThanOrEqual(choices);
        if (choices === 2 && count > 1) expect(asked.size).toBe(2);
      }),
    );
  });

  it("spreads evenly over equals", () => {
    const random = seededRandom(3);
    const turns = countTurns(() => leastOfChoices(5, 2, () => 0, random), 5, 50_000);
    for (const count of turns) expect(Math.abs(count / 50_000 - 0.2)).toBeLessThan(0.01);
  });
});

describe("leastRequestWeight", () => {
  it("is weight / (active + 1) ^ bias: the weight alone without bias, less with each request with it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), fc.nat(1_000), (weight, active) => {
        expect(leastRequestWeight(weight, active, 0)).toBe(weight);
        expect(leastRequestWeight(weight, active, 1)).toBeCloseTo(weight / (active + 1), 9);
        expect(leastRequestWeight(weight, active + 1, 1)).toBeLessThan(leastRequestWeight(weight, active, 1));
      }),
    );
  });
});

describe("peak EWMA", () => {
  const ms = fc.double({ min: 0.01, max: 60_000, noNaN: true });

  it("takes a peak at once and mixes anything less with weight 1 - e^(-dt / decay)", () => {
    fc.assert(
      fc.property(ms, ms, ms, ms, (estimateMs, rttMs, elapsedMs, decayMs) => {
        const next = observeLatency(estimateMs, { rttMs, elapsedMs, decayMs });
        const w = Math.exp(-elapsedMs / decayMs);
        if (rttMs > estimateMs) expect(next).toBe(rttMs);
        else expect(next).toBeCloseTo(estimateMs * w + rttMs * (1 - w), 6);
        expect(next).toBeGreaterThanOrEqual(Math.min(rttMs, estimateMs) - 1e-9);
        expect(next).toBeLessThanOrEqual(Math.max(rttMs, estimateMs) + 1e-9);
      }),
    );
  });

  it("decays towards 0, the longer the more", () => {
    fc.assert(
      fc.property(ms, ms, ms, ms, (estimateMs, elapsedMs, more, decayMs) => {
        const decayed = decayedLatency(estimateMs, elapsedMs, decayMs);
        expect(decayed).toBeLessThanOrEqual(estimateMs);
        expect(decayedLatency(estimateMs, elapsedMs + more, decayMs)).toBeLessThanOrEqual(decayed);
      }),
    );
  });

  it("costs more with each request and less with more weight", () => {
    fc.assert(
      fc.property(ms, fc.nat(100), fc.integer({ min: 1, max: 100 }), (estimateMs, active, weight) => {
        const cost = peakEwmaCost(estimateMs, active, weight);
        expect(cost).toBeCloseTo((estimateMs * (active + 1)) / weight, 6);
        expect(peakEwmaCost(estimateMs, active + 1, weight)).toBeGreaterThan(cost);
        expect(peakEwmaCost(estimateMs, active, weight + 1)).toBeLessThan(cost);
      }),
    );
  });

  it("has a median that half of the group is under and half is over", () => {
    fc.assert(
      fc.property(fc.array(ms, { minLength: 1 }), (estimates) => {
        const median = medianLatency(estimates);
        expect(estimates.filter((each) => each <= median).length).toBeGreaterThanOrEqual(estimates.length / 2);
        expect(estimates.filter((each) => each >= median).length).toBeGreaterThanOrEqual(estimates.length / 2);
      }),
    );
    expect(medianLatency([])).toBe(DEFAULT_RTT_MS);
  });
});
