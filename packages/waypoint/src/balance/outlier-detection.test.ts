import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  type AttemptResult,
  applyOutcome,
  applyProbeResult,
  beginProbe,
  eject,
  ejectionMs,
  mayEject,
  NEVER_EJECTED,
  type OutlierState,
  probeIsDue,
} from "./outlier-detection.ts";
import { OUTLIERS } from "./test-cluster.ts";

/** The first reason to eject, and how many results it took. */
function firstEjection(results: readonly AttemptResult[], config = OUTLIERS) {
  let state = NEVER_EJECTED;
  for (const [index, result] of results.entries()) {
    const next = applyOutcome(state, result, config);
    if (next.ejects !== undefined) return { reason: next.ejects, after: index + 1 };
    state = next.state;
  }
  return undefined;
}

const times = (count: number, result: AttemptResult): AttemptResult[] => Array.from({ length: count }, () => result);

describe("applyOutcome", () => {
  const gateway = { ...OUTLIERS, consecutive5xx: 0, consecutiveGatewayErrors: 3 };
  const split = { ...OUTLIERS, splitsLocalErrors: true, consecutiveLocalFailures: 2 };
  it.each([
    ["five server errors in a row", times(9, "server-error"), OUTLIERS, { reason: "consecutive-5xx", after: 5 }],
    ["gateway errors are 5xx too", times(9, "gateway-error"), OUTLIERS, { reason: "consecutive-5xx", after: 5 }],
    [
      "local failures are 5xx unless split",
      times(9, "local-failure"),
      { ...OUTLIERS, consecutiveLocalFailures: 0 },
      { reason: "consecutive-5xx", after: 5 },
    ],
    [
      "a success ends the run",
      [...times(4, "server-error"), "success", ...times(4, "server-error")],
      OUTLIERS,
      undefined,
    ],
    [
      "a request we gave up says nothing",
      [...times(4, "server-error"), "cancelled", "server-error"],
      OUTLIERS,
      { reason: "consecutive-5xx", after: 6 },
    ],
    ["three gateway errors", times(9, "gateway-error"), gateway, { reason: "consecutive-gateway-errors", after: 3 }],
    [
      "a plain 500 ends a run of gateway errors",
      ["gateway-error", "gateway-error", "server-error", "gateway-error"],
      gateway,
      undefined,
    ],
    ["local failures apart", times(9, "local-failure"), split, { reason: "consecutive-local-failures", after: 2 }],
    ["local failures apart from server errors", ["local-failure", "server-error", "local-failure"], split, undefined],
    ["a detector of 0 is off", times(99, "server-error"), { ...OUTLIERS, consecutive5xx: 0 }, undefined],
  ] as const)("%s", (_, results, config, expected) => {
    expect(firstEjection(results, config)).toEqual(expected);
  });

  it("asks again at the next failure when an ejection was held back, not at a success", () => {
    const held = times(5, "server-error").reduce(
      (state, result) => applyOutcome(state, result, OUTLIERS).state,
      NEVER_EJECTED,
    );
    expect(applyOutcome(held, "server-error", OUTLIERS).ejects).toBe("consecutive-5xx");
    expect(applyOutcome(held, "success", OUTLIERS).ejects).toBeUndefined();
  });

  it("takes no notice of late answers while ejected", () => {
    const ejected = eject(NEVER_EJECTED, "consecutive-5xx", OUTLIERS, 0);
    expect(applyOutcome(ejected, "success", OUTLIERS)).toEqual({ state: ejected, ejects: undefined });
    expect(applyOutcome(ejected, "server-error", OUTLIERS)).toEqual({ state: ejected, ejects: undefined });
  });

  it("ejects exactly when the last n results are failures, for any history", () => {
    const result = fc.constantFrom<AttemptResult>("success", "server-error", "gateway-error");
    fc.assert(
      fc.property(fc.array(result, { maxLength: 40 }), fc.integer({ min: 1, max: 6 }), (results, threshold) => {
        const config = { ...OUTLIERS, consecutive5xx: threshold };
        const runs = results.map((_, end) => results.slice(Math.max(0, end + 1 - threshold), end + 1));
        const first = runs.findIndex((run) => run.length === threshold && !run.includes("success"));
        expect(firstEjection(results, config)?.after ?? 0).toBe(first + 1);
      }),
    );
  });
});

describe("mayEject", () => {
  it.each([
    ["the last that serves", { total: 1, ejected: 0, serving: 1 }, false],
    ["the last beside unready ones", { total: 9, ejected: 0, serving: 1 }, false],
    ["the first of three, whatever the percent", { total: 3, ejected: 0, serving: 3 }, true],
    ["the second of three at 50 %", { total: 3, ejected: 1, serving: 2 }, false],
    ["the second of four at 50 %", { total: 4, ejected: 1, serving: 3 }, true],
    ["the third of four at 50 %", { total: 4, ejected: 2, serving: 2 }, false],
  ])("%s", (_, pool, expected) => {
    expect(mayEject(pool, OUTLIERS)).toBe(expected);
  });

  it("never leaves nobody, and never passes the maximum percent but for one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.nat(100), (total, maximumEjectionPercent) => {
        const config = { ...OUTLIERS, maximumEjectionPercent };
        let ejected = 0;
        while (mayEject({ total, ejected, serving: total - ejected }, config)) ejected += 1;
        expect(total - ejected).toBeGreaterThanOrEqual(1);
        expect(ejected).toBeLessThanOrEqual(Math.max(1, (total * maximumEjectionPercent) / 100));
      }),
    );
  });
});

describe("ejection", () => {
  it("lasts base times the number of ejections, up to the maximum", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.nat(1e6),
        fc.nat(1e6),
        (n, baseEjectionMs, maximumEjectionMs) => {
          const ms = ejectionMs({ ...OUTLIERS, baseEjectionMs, maximumEjectionMs }, n);
          expect(ms).toBe(Math.min(n * baseEjectionMs, Math.max(baseEjectionMs, maximumEjectionMs)));
        },
      ),
    );
  });

  it("is forgiven by an interval spent in for each time", () => {
    const back: OutlierState = { ...NEVER_EJECTED, ejections: 3, sinceMs: 0 };
    const lengthAfter = (inMs: number) => eject(back, "consecutive-5xx", OUTLIERS, inMs).sinceMs - inMs;
    expect([0, 10_000, 25_000, 1e9].map(lengthAfter)).toEqual([120_000, 90_000, 60_000, 30_000]);
  });

  it("ends with one probe: success brings back, failure ejects for longer, giving up leaves the next due", () => {
    const ejected = eject(NEVER_EJECTED, "consecutive-5xx", OUTLIERS, 0);
    expect([probeIsDue(ejected, 29_999), probeIsDue(ejected, 30_000)]).toEqual([false, true]);
    const probing = beginProbe(ejected);
    expect(probeIsDue(probing, 1e9)).toBe(false);
    expect(applyProbeResult(probing, "success", OUTLIERS, 31_000)).toMatchObject({
      phase: "in",
      ejections: 1,
      consecutive5xx: 0,
    });
    expect(applyProbeResult(probing, "gateway-error", OUTLIERS, 31_000)).toMatchObject({
      phase: "ejected",
      ejections: 2,
      sinceMs: 91_000,
    });
    expect(probeIsDue(applyProbeResult(probing, "cancelled", OUTLIERS, 31_000), 31_000)).toBe(true);
  });
});
