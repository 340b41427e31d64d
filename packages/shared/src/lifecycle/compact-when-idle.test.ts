import { describe, expect, it } from "@jest/globals";
import { ManualClock } from "../../test/manual-clock.ts";
import { compactWhenIdle } from "./compact-when-idle.ts";

function start(shares: readonly number[]) {
  const clock = new ManualClock();
  const left = [...shares];
  let compactions = 0;
  compactWhenIdle(clock, {
    compact: () => compactions++,
    utilization: (since) => ({ idle: 0, active: 0, utilization: since ? (left.shift() ?? 0) : 1 }),
  });
  return { clock, compactions: () => compactions };
}

describe("compactWhenIdle", () => {
  it("compacts once after a quiet period", () => {
    const { clock, compactions } = start([0.01]);
    clock.advance(9_999);
    expect(compactions()).toBe(0);
    clock.advance(1);
    expect(compactions()).toBe(1);
    expect(clock.timers).toBe(0);
  });

  it("waits while the thread is busy", () => {
    const { clock, compactions } = start([0.9, 0.4, 0.05]);
    clock.advance(10_000);
    clock.advance(10_000);
    expect(compactions()).toBe(0);
    clock.advance(10_000);
    expect(compactions()).toBe(1);
  });
});
