import type { Clock } from "@ambit/shared/time";
import { describe, expect, it } from "@jest/globals";
import { Deadline } from "./deadline.ts";

/** Time that moves when told, with a count of timers started. */
function manualClock() {
  let now = 0;
  let timers: { at: number; task: () => void }[] = [];
  const state = { started: 0 };
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after(delayMs, task) {
      state.started++;
      const timer = { at: now + delayMs, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
  };
  const advance = (ms: number): void => {
    for (const end = now + ms; ; ) {
      const [due] = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (due === undefined) {
        now = end;
        return;
      }
      timers = timers.filter((timer) => timer !== due);
      now = Math.max(now, due.at);
      due.task();
    }
  };
  return { clock, advance, state, pending: () => timers.length };
}

describe("a deadline", () => {
  it("is reached once, at its time", () => {
    const { clock, advance } = manualClock();
    let reached = 0;
    const deadline = new Deadline(clock, () => void reached++);
    deadline.set(100);
    advance(99);
    expect(reached).toBe(0);
    advance(1000);
    expect(reached).toBe(1);
  });

  it("costs no timer when it is moved on, a thousand times", () => {
    const { clock, advance, state } = manualClock();
    let reached = 0;
    const deadline = new Deadline(clock, () => void reached++);
    for (let count = 0; count < 1000; count++) {
      deadline.set(100);
      advance(1);
    }
    expect([reached, state.started <= 12]).toEqual([0, true]);
    advance(100);
    expect(reached).toBe(1);
  });

  it("may come nearer", () => {
    const { clock, advance } = manualClock();
    let reached = 0;
    const deadline = new Deadline(clock, () => void reached++);
    deadline.set(3_600_000);
    deadline.set(50);
    advance(50);
    expect(reached).toBe(1);
  });

  it("is forgotten when cleared, set to 0 or stopped, and leaves no timer behind when stopped", () => {
    const { clock, advance, pending } = manualClock();
    let reached = 0;
    const deadline = new Deadline(clock, () => void reached++);
    deadline.set(10);
    deadline.clear();
    advance(20);
    deadline.set(10);
    deadline.set(0);
    advance(20);
    deadline.set(10);
    deadline.stop();
    expect([reached, pending()]).toEqual([0, 0]);
    advance(20);
    expect(reached).toBe(0);
  });
});
