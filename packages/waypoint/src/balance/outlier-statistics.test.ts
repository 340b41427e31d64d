import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { StatisticalDetector } from "./model.ts";
import type { AttemptResult } from "./outlier-detection.ts";
import { IntervalResults, outliersOf } from "./outlier-statistics.ts";

const SUCCESS_RATE: StatisticalDetector = {
  of: "answers",
  minimumEndpoints: 5,
  minimumRequests: 100,
  rule: { kind: "success-rate", deviations: 1.9 },
};
const FAILURES: StatisticalDetector = {
  of: "answers",
  minimumEndpoints: 5,
  minimumRequests: 50,
  rule: { kind: "failure-percentage", thresholdPercent: 85 },
};

/** Endpoints by index, each with its results of the interval. */
function interval(...counts: readonly { readonly ok: number; readonly bad: number }[]) {
  return counts.map(({ ok, bad }, endpoint) => {
    const results = new IntervalResults();
    for (let n = 0; n < ok; n += 1) results.add("success", false);
    for (let n = 0; n < bad; n += 1) results.add("server-error", false);
    return { endpoint, results };
  });
}

const fine = { ok: 100, bad: 0 };

describe("outliersOf", () => {
  it("finds the endpoint that fails much more than the others, though never twice in a row", () => {
    const found = outliersOf(interval(fine, fine, fine, fine, { ok: 50, bad: 50 }), [SUCCESS_RATE]);
    expect(found).toEqual([{ endpoint: 4, reason: "success-rate" }]);
  });

  it.each([
    ["four endpoints are too few", [fine, fine, fine, { ok: 0, bad: 100 }]],
    ["an endpoint with few requests does not count", [fine, fine, fine, fine, { ok: 0, bad: 99 }]],
    ["all fail alike", [fine, fine, fine, fine, fine].map(() => ({ ok: 30, bad: 70 }))],
    ["nobody fails", [fine, fine, fine, fine, fine]],
  ])("by success rate, finds none where %s", (_, counts) => {
    expect(outliersOf(interval(...counts), [SUCCESS_RATE])).toEqual([]);
  });

  it("by failure percentage, finds all from the threshold on, the worst first", () => {
    const counts = [fine, { ok: 15, bad: 85 }, { ok: 16, bad: 84 }, { ok: 0, bad: 100 }, fine];
    expect(outliersOf(interval(...counts), [FAILURES])).toEqual([
      { endpoint: 3, reason: "failure-percentage" },
      { endpoint: 1, reason: "failure-percentage" },
    ]);
  });

  it("names an endpoint once, by the first detector that finds it", () => {
    const found = outliersOf(interval(fine, fine, fine, fine, { ok: 0, bad: 100 }), [SUCCESS_RATE, FAILURES]);
    expect(found).toEqual([{ endpoint: 4, reason: "success-rate" }]);
  });

  it("holds the published formula: rate < mean - factor * standard deviation, over those with enough requests", () => {
    const counts = fc.array(fc.record({ ok: fc.nat(30), bad: fc.nat(30) }), { maxLength: 12 });
    fc.assert(
      fc.property(counts, fc.double({ min: 0, max: 3, noNaN: true }), (all, deviations) => {
        const detector = { ...SUCCESS_RATE, minimumRequests: 20, rule: { kind: "success-rate", deviations } } as const;
        const judged = all.map(({ ok, bad }, index) => ({ index, total: ok + bad, percent: (100 * ok) / (ok + bad) }));
        const valid = judged.filter(({ total }) => total >= 20);
        const mean = valid.reduce((sum, { percent }) => sum + percent, 0) / valid.length;
        const deviation = Math.sqrt(valid.reduce((sum, { percent }) => sum + (percent - mean) ** 2, 0) / valid.length);
        const expected = valid.length < 5 ? [] : valid.filter(({ percent }) => percent < mean - deviations * deviation);
        const found = outliersOf(interval(...all), [detector]).map(({ endpoint }) => endpoint);
        expect([...found].sort()).toEqual(expected.map(({ index }) => index).sort());
      }),
    );
  });
});

describe("IntervalResults", () => {
  const after = (results: readonly AttemptResult[], splits: boolean) => {
    const interval = new IntervalResults();
    for (const result of results) interval.add(result, splits);
    return { answers: interval.answers, local: interval.local };
  };
  const results: AttemptResult[] = ["success", "server-error", "gateway-error", "local-failure", "cancelled"];

  it("counts every result as an answer without a split, but what we gave up", () => {
    expect(after(results, false)).toEqual({ answers: { total: 4, succeeded: 1 }, local: { total: 0, succeeded: 0 } });
  });

  it("counts connections apart with a split: any answer is a success of theirs", () => {
    expect(after(results, true)).toEqual({ answers: { total: 3, succeeded: 1 }, local: { total: 4, succeeded: 3 } });
  });

  it("begins anew", () => {
    const interval = new IntervalResults();
    interval.add("local-failure", true);
    interval.clear();
    expect(interval).toEqual(new IntervalResults());
  });
});
