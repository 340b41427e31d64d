import { describe, expect, it } from "@jest/globals";
import { ManualClock } from "../../test/manual-clock.ts";
import { compactWhenIdle } from "./compact-when-idle.ts";

/** Compactions after each period of 10 s in which the thread was busy for these shares of the time. */
function compactionsAfter(shares: readonly number[]): number[] {
  const clock = new ManualClock();
  const left = [...shares];
  let compactions = 0;
  compactWhenIdle({
    clock,
    compact: () => compactions++,
    utilization: (since) => ({ idle: 0, active: 0, utilization: since ? (left.shift() ?? 0) : 1 }),
  });
  return shares.map(() => {
    clock.advance(10_000);
    return compactions;
  });
}

describe("compactWhenIdle", () => {
  it("compacts in the first period that is not busy, and not in the next ones", () => {
    expect(compactionsAfter([0.05, 0.05, 0, 0])).toEqual([1, 1, 1, 1]);
  });

  it("waits while the thread is busy", () => {
    expect(compactionsAfter([0.9, 0.4, 0.05])).toEqual([0, 0, 1]);
  });

  it("compacts again after a busy time, once next to nothing happened for a minute", () => {
    const quiet = Array<number>(5).fill(0.005);
    const compactions = compactionsAfter([0, 0.5, ...quiet, 0.05, ...quiet, 0, 0]);
    expect(compactions.slice(-3)).toEqual([1, 2, 2]);
  });

  it("leaves bursts alone that come every minute", () => {
    const bursts = Array.from({ length: 60 }, (_, index) => (index % 6 === 0 ? 0.5 : 0));
    expect(compactionsAfter([0, ...bursts]).at(-1)).toBe(1);
  });
});
