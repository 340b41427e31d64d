import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { backoffFloorMs, DEFAULT_BACKOFF, retryDelayMs, serverDelayMs } from "./backoff.ts";

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const backoff = fc.record({
  baseMs: fc.integer({ min: 1, max: 60_000 }),
  maximumMs: fc.integer({ min: 1, max: 600_000 }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const retry = fc.nat(2_000);

describe("retryDelayMs", () => {
  it("is min(cap, base * 2^n) plus at most jitter times that, the cap never under the base", () => {
    fc.assert(
      fc.property(backoff, retry, unit, (config, n, random) => {
        const published = Math.min(Math.max(config.maximumMs, config.baseMs), config.baseMs * 2 ** n);
        expect(backoffFloorMs(config, n)).toBe(published);
        const delay = retryDelayMs(config, n, () => random);
        expect(delay).toBeGreaterThanOrEqual(published);
        expect(delay).toBeLessThanOrEqual(published * (1 + config.jitter) * (1 + 1e-12));
      }),
    );
  });

  it("has a floor that never falls from one retry to the next, and never is under the base (GEP-1731)", () => {
    fc.assert(
      fc.property(backoff, retry, (config, n) => {
        expect(backoffFloorMs(config, n + 1)).toBeGreaterThanOrEqual(backoffFloorMs(config, n));
        expect(backoffFloorMs(config, n)).toBeGreaterThanOrEqual(config.baseMs);
      }),
    );
  });

  it("goes 25, 50, 100, 200, 250 ms by default, half as much again at most", () => {
    expect([0, 1, 2, 3, 4, 5].map((n) => retryDelayMs(DEFAULT_BACKOFF, n, () => 0))).toEqual([
      25, 50, 100, 200, 250, 250,
    ]);
    expect(retryDelayMs(DEFAULT_BACKOFF, 0, () => 1)).toBe(37.5);
  });

  it("spreads over all of its range", () => {
    const delays = [0, 0.25, 0.5, 0.75].map((random) =>
      retryDelayMs({ baseMs: 100, maximumMs: 100, jitter: 1 }, 0, () => random),
    );
    expect(delays).toEqual([100, 125, 150, 175]);
  });
});

describe("serverDelayMs", () => {
  it("is never sooner than the server asked nor than the back-off, and at most half as much later", () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), unit, (delayMs, askedMs, random) => {
        const delay = serverDelayMs(delayMs, askedMs, () => random);
        expect(delay).toBeGreaterThanOrEqual(Math.max(delayMs, askedMs));
        expect(delay).toBeLessThanOrEqual(Math.max(delayMs, askedMs * 1.5));
      }),
    );
  });
});
