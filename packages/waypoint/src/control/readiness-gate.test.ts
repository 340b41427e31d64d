import { Readiness } from "@ambit/shared/lifecycle";
import type { Clock } from "@ambit/shared/time";
import { describe, expect, it } from "@jest/globals";
import { ReadinessGate } from "./readiness-gate.ts";

const ALL = ["clusters", "listeners", "addresses"];

function setUp() {
  const timers = new Set<() => void>();
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    after(_delayMs, task) {
      timers.add(task);
      return () => timers.delete(task);
    },
  };
  const readiness = new Readiness();
  return { readiness, gate: new ReadinessGate(readiness, clock), timers };
}

describe("ReadinessGate", () => {
  it("waits for the certificate and for everything of the first configuration", () => {
    const { readiness, gate } = setUp();
    gate.received(["listeners", "addresses", "endpoints"]);
    expect(readiness.pending()).toEqual(["addresses", "certificate", "endpoints", "listeners"]);
    gate.received([]);
    gate.certificateIsThere();
    expect(readiness.isReady()).toBe(true);
  });

  it("knows nothing of endpoints before it knows the clusters", () => {
    const { readiness, gate } = setUp();
    gate.received(ALL);
    expect(readiness.pending()).toContain("endpoints");
  });

  it("does not wait for ever for endpoints that nobody announces", () => {
    const { readiness, gate, timers } = setUp();
    gate.certificateIsThere();
    gate.received(["listeners", "endpoints"]);
    expect(timers.size).toBe(0);
    gate.received(["endpoints"]);
    gate.received(["endpoints"]);
    expect([readiness.pending(), timers.size]).toEqual([["endpoints"], 1]);
    for (const task of timers) task();
    expect(readiness.isReady()).toBe(true);
  });

  it("stays ready once it was, whatever is missing later, and leaves no timer", () => {
    const { readiness, gate, timers } = setUp();
    gate.certificateIsThere();
    gate.received(["endpoints"]);
    gate.received([]);
    gate.received([...ALL, "endpoints"]);
    expect([readiness.isReady(), timers.size]).toEqual([true, 0]);
  });
});
