/** The small parts around an attempt: its header, the caller's wishes, the memory of its body. */

import type { HeaderList } from "@ambit/shared/http2";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ATTEMPT_HEADER, attemptOf, withAttempt } from "./attempt-header.ts";
import type { RetryPolicy } from "./model.ts";
import { applyRetryOverrides } from "./policy-overrides.ts";
import { ReplayMemory } from "./replay-memory.ts";

describe("attempt header", () => {
  it("is written from the second attempt on", () => {
    const headers: HeaderList = [["accept", "*/*"]];
    expect(withAttempt(headers, 1, 1)).toBe(headers);
    expect(withAttempt(headers, 1, 2)).toEqual([
      ["accept", "*/*"],
      [ATTEMPT_HEADER, "2"],
    ]);
  });

  it("stays on a request that came with it, and replaces what came", () => {
    expect(withAttempt([[ATTEMPT_HEADER, "3"]], 3, 1)).toEqual([[ATTEMPT_HEADER, "3"]]);
    expect(
      withAttempt(
        [
          [ATTEMPT_HEADER, "7"],
          [ATTEMPT_HEADER, "9"],
        ],
        1,
        1,
      ),
    ).toEqual([]);
  });

  it("is read with Envoy's, the larger counts, and nonsense does not", () => {
    expect(
      attemptOf([
        ["x-envoy-attempt-count", "3"],
        [ATTEMPT_HEADER, "2"],
      ]),
    ).toBe(3);
    for (const text of ["0", "-2", "2.5", "99999", "x", "", "1e3"]) expect(attemptOf([[ATTEMPT_HEADER, text]])).toBe(1);
  });

  it("keeps three hops of three attempts from becoming 27 requests", () => {
    // Each hop makes up to three attempts unless the request came as a repeated one; everything fails.
    const hop = (depth: number, headers: HeaderList): number => {
      if (depth === 0) return 1;
      const arrivedAs = attemptOf(headers);
      const attempts = arrivedAs > 1 ? 1 : 3;
      let reached = 0;
      for (let attempt = 1; attempt <= attempts; attempt += 1)
        reached += hop(depth - 1, withAttempt([], arrivedAs, attempt));
      return reached;
    };
    expect(hop(3, [])).toBe(7);
  });
});

describe("applyRetryOverrides", () => {
  const route: RetryPolicy = {
    conditions: new Set(["connect-failure"]),
    statusCodes: new Set([503]),
    retries: 2,
    perTryTimeoutMs: 0,
    backoff: { baseMs: 25, maximumMs: 250 },
    avoidsTriedEndpoints: true,
    hostSelectionAttempts: 5,
    explicit: false,
  };
  const nothing = { maximumRetries: undefined, retryOn: undefined, retriableStatusCodes: [] };

  it("leaves a policy alone when the caller asks for nothing", () => {
    expect(applyRetryOverrides(route, nothing)).toBe(route);
    expect(applyRetryOverrides(undefined, nothing)).toBeUndefined();
    expect(applyRetryOverrides(undefined, { ...nothing, maximumRetries: 5 })).toBeUndefined();
  });

  it("adds conditions and codes, replaces the number, and is explicit", () => {
    const asked = { maximumRetries: 4, retryOn: ["5xx", "no-such-thing", "toString"], retriableStatusCodes: [404] };
    expect(applyRetryOverrides(route, asked)).toEqual({
      ...route,
      conditions: new Set(["connect-failure", "5xx"]),
      statusCodes: new Set([503, 404]),
      retries: 4,
      explicit: true,
    });
    expect(applyRetryOverrides(undefined, { ...nothing, retryOn: ["reset"] })).toMatchObject({
      retries: 1,
      explicit: true,
    });
  });

  it("does not take conditions that nobody knows for a wish to retry", () => {
    expect(applyRetryOverrides(undefined, { ...nothing, retryOn: ["nonsense"] })).toBeUndefined();
  });
});

describe("ReplayMemory", () => {
  it("never counts more than its limit, nor less than nothing", () => {
    const step = fc.record({ take: fc.boolean(), bytes: fc.nat(100) });
    fc.assert(
      fc.property(fc.nat(300), fc.array(step), (limitBytes, steps) => {
        const memory = new ReplayMemory(limitBytes);
        for (const { take, bytes } of steps) {
          const before = memory.usedBytes;
          if (!take) memory.giveBack(bytes);
          else if (!memory.tryTake(bytes)) {
            expect(memory.usedBytes).toBe(before);
            expect(before + bytes).toBeGreaterThan(limitBytes);
          }
          expect(memory.usedBytes >= 0 && memory.usedBytes <= limitBytes).toBe(true);
        }
      }),
    );
  });
});
