import { describe, expect, it } from "@jest/globals";
import { decideFault } from "./fault.ts";
import type { FaultPolicy } from "./model.ts";

describe("decideFault", () => {
  const policy: FaultPolicy = {
    delay: { ms: 5000, perMillion: 500_000 },
    abort: { status: { kind: "http", code: 503 }, perMillion: 100_000 },
  };
  const drawing =
    (...values: number[]) =>
    () =>
      values.shift() ?? 1;

  it("draws delay and abort one after the other", () => {
    expect(decideFault(policy, drawing(0.4, 0.05))).toEqual({ delayMs: 5000, abort: { kind: "http", code: 503 } });
    expect(decideFault(policy, drawing(0.4, 0.2))).toEqual({ delayMs: 5000, abort: undefined });
    expect(decideFault(policy, drawing(0.6, 0.05))).toEqual({ delayMs: 0, abort: { kind: "http", code: 503 } });
    expect(decideFault(policy, drawing(0.6, 0.2))).toBeUndefined();
  });

  it("has nothing to draw for a policy of nothing", () => {
    expect(decideFault({ delay: undefined, abort: undefined }, () => 0)).toBeUndefined();
  });
});
