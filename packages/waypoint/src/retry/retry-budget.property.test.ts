import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { RetryBudgetConfig } from "../balance/model.ts";
import { RetryBudget, SlidingCounter } from "./retry-budget.ts";

/** A history: how long after the one before, and what. */
const history = fc.array(fc.record({ waitMs: fc.oneof(fc.nat(50), fc.nat(3_000)), isRetry: fc.boolean() }), {
  maxLength: 400,
});

/** A retry that was asked for, and what had happened until then. */
interface Asked {
  readonly atMs: number;
  readonly isAdmitted: boolean;
  /** Times of first attempts, and of admitted retries, this one not among them. */
  readonly firsts: readonly number[];
  readonly retries: readonly number[];
}

function replay(config: RetryBudgetConfig, events: readonly { waitMs: number; isRetry: boolean }[]): readonly Asked[] {
  const budget = new RetryBudget(config);
  const [firsts, retries]: [number[], number[]] = [[], []];
  const asked: Asked[] = [];
  let nowMs = 123_456;
  for (const { waitMs, isRetry } of events) {
    nowMs += waitMs;
    if (!isRetry) {
      budget.recordFirstAttempt(nowMs);
      firsts.push(nowMs);
      continue;
    }
    const isAdmitted = budget.tryRetry(nowMs);
    asked.push({ atMs: nowMs, isAdmitted, firsts: [...firsts], retries: [...retries] });
    if (isAdmitted) retries.push(nowMs);
  }
  return asked;
}

const admittedOf = (asked: readonly Asked[]): readonly Asked[] => asked.filter(({ isAdmitted }) => isAdmitted);

/** Events of the window that ends at `endMs`, both ends in. */
const within = (times: readonly number[], endMs: number, windowMs: number): number =>
  times.filter((each) => each > endMs - windowMs && each <= endMs).length;

describe("RetryBudget", () => {
  it("without a floor: at each admitted retry, those of the interval are within the percent of its first attempts", () => {
    fc.assert(
      fc.property(history, fc.nat(100), fc.integer({ min: 100, max: 20_000 }), (events, percent, intervalMs) => {
        const asked = replay({ percent, intervalMs, minimumPerSecond: 0 }, events);
        for (const { atMs, firsts, retries } of admittedOf(asked)) {
          const earned = (percent / 100) * within(firsts, atMs, intervalMs);
          expect(within(retries, atMs, intervalMs) + 1).toBeLessThanOrEqual(earned + 1e-9);
        }
      }),
    );
  });

  it("with a floor: never more than the percent and the floor together", () => {
    fc.assert(
      fc.property(history, fc.nat(100), fc.integer({ min: 1, max: 20 }), (events, percent, minimumPerSecond) => {
        const intervalMs = 5_000;
        const asked = replay({ percent, intervalMs, minimumPerSecond }, events);
        for (const { atMs, firsts, retries } of admittedOf(asked)) {
          // Those that the percent allowed were within it at the last of them, up to an interval ago.
          const earned = (percent / 100) * within(firsts, atMs, 2 * intervalMs);
          const floor = minimumPerSecond * (intervalMs / 1_000 + 1);
          expect(within(retries, atMs, intervalMs) + 1).toBeLessThanOrEqual(earned + floor);
        }
      }),
    );
  });

  it("with nothing but a floor: never more than it in any second", () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 1, max: 20 }), (events, minimumPerSecond) => {
        const asked = replay({ percent: 0, intervalMs: 10_000, minimumPerSecond }, events);
        for (const { atMs, retries } of admittedOf(asked)) {
          expect(within(retries, atMs, 1_000) + 1).toBeLessThanOrEqual(minimumPerSecond);
        }
      }),
    );
  });

  it("does not refuse what is clearly within the budget", () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 1, max: 100 }), (events, percent) => {
        const intervalMs = 10_000;
        for (const { atMs, isAdmitted, firsts, retries } of replay(
          { percent, intervalMs, minimumPerSecond: 0 },
          events,
        )) {
          const earned = (percent / 100) * within(firsts, atMs, intervalMs * 0.9);
          if (within(retries, atMs, intervalMs * 1.1) + 1 <= earned) expect(isAdmitted).toBe(true);
        }
      }),
    );
  });

  it("admits one in five seconds for a floor of 0.2 a second", () => {
    const budget = new RetryBudget({ percent: 0, intervalMs: 10_000, minimumPerSecond: 0.2 });
    const admitted = Array.from({ length: 200 }, (_, n) => n * 100).filter((atMs) => budget.tryRetry(atMs));
    expect(admitted.length).toBeGreaterThanOrEqual(3);
    for (const [index, atMs] of admitted.entries()) {
      if (index > 0) expect(atMs - admitted[index - 1]!).toBeGreaterThanOrEqual(5_000);
    }
  });

  it("admits none with a budget of nothing", () => {
    const budget = new RetryBudget({ percent: 0, intervalMs: 10_000, minimumPerSecond: 0 });
    for (let n = 0; n < 1_000; n += 1) budget.recordFirstAttempt(n);
    expect(budget.tryRetry(1_000)).toBe(false);
  });
});

describe("SlidingCounter", () => {
  it("counts at least the window and at most it, a bucket apart", () => {
    const waits = fc.array(fc.nat(500), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(waits, fc.integer({ min: 10, max: 5_000 }), fc.nat(1_000), (steps, windowMs, rest) => {
        const counter = new SlidingCounter(windowMs);
        const times: number[] = [];
        let nowMs = 0;
        for (const step of steps) {
          nowMs += step;
          counter.add(nowMs);
          times.push(nowMs);
        }
        nowMs += rest;
        const [most, least] = [counter.atMostWindow(nowMs), counter.atLeastWindow(nowMs)];
        expect(least).toBeGreaterThanOrEqual(within(times, nowMs, windowMs));
        expect(least).toBeLessThanOrEqual(
          within(times, nowMs, windowMs * 1.1 + 1e-6) + times.filter((t) => t === nowMs - windowMs * 1.1).length,
        );
        expect(most).toBeLessThanOrEqual(within(times, nowMs, windowMs + 1e-6));
        expect(most).toBeGreaterThanOrEqual(within(times, nowMs, windowMs * 0.9 - 1e-6));
      }),
    );
  });

  it("changes nothing when the clock goes back", () => {
    const counter = new SlidingCounter(1_000);
    counter.add(5_000);
    counter.add(4_000);
    expect(counter.atLeastWindow(3_000)).toBe(2);
  });
});
