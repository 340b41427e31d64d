import { describe, expect, it } from "@jest/globals";
import { panicLoads, priorityLoads } from "./priority-load.ts";

const ofHundred = (healthy: number, degraded = 0) => ({ healthy, degraded, total: 100 });

describe("priorityLoads", () => {
  it.each([
    // P0 healthy, P1 healthy, loads; the table of Envoy, "Priority levels"
    [100, 100, [100, 0]],
    [72, 100, [100, 0]],
    [71, 100, [99, 1]],
    [50, 100, [70, 30]],
    [25, 100, [35, 65]],
    [0, 100, [0, 100]],
    [25, 25, [50, 50]],
  ])("with %d %% and %d %% of two priorities healthy gives %j", (first, second, loads) => {
    expect(priorityLoads([ofHundred(first), ofHundred(second)], 140).healthy).toEqual(loads);
  });

  it("gives degraded endpoints only what the healthy ones of all priorities cannot carry", () => {
    const loads = priorityLoads([ofHundred(20, 80), ofHundred(20, 0)], 140);
    expect([loads.healthy, loads.degraded]).toEqual([
      [28, 28],
      [44, 0],
    ]);
  });

  it("without overprovisioning spills as soon as anything is unhealthy", () => {
    expect(priorityLoads([ofHundred(99), ofHundred(100)], 100).healthy).toEqual([99, 1]);
  });

  it("gives nothing when nothing is available", () => {
    const loads = priorityLoads([ofHundred(0), { healthy: 0, degraded: 0, total: 0 }], 140);
    expect([loads.healthy, loads.normalizedTotal]).toEqual([[0, 0], 0]);
  });

  it("passes over a priority without endpoints", () => {
    expect(priorityLoads([{ healthy: 0, degraded: 0, total: 0 }, ofHundred(100)], 140).healthy).toEqual([0, 100]);
  });
});

describe("panicLoads", () => {
  it("follows the number of endpoints, whatever their health", () => {
    expect(panicLoads([ofHundred(0), { healthy: 1, degraded: 0, total: 300 }])).toEqual([25, 75]);
  });
});
