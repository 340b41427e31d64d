import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { expiresInMs, MIN_ATTEMPT_SPACING_MS, planLife, renewsInMs, retryDelayMs } from "./rotation-schedule.ts";

const HOUR = 3_600_000;
const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("planLife", () => {
  it("renews at half of what is left, a tenth of it earlier or later", () => {
    fc.assert(
      fc.property(fc.nat(1e12), fc.integer({ min: 60_000, max: 90 * 24 * HOUR }), unit, (notBefore, ttlMs, random) => {
        const life = planLife(notBefore, notBefore + ttlMs, { wallMs: notBefore, monotonicMs: 0 }, () => random);
        expect((life.renewAtMs - notBefore) / ttlMs).toBeGreaterThanOrEqual(0.4499);
        expect((life.renewAtMs - notBefore) / ttlMs).toBeLessThanOrEqual(0.5501);
      }),
    );
  });

  it("is not due at once for a short certificate that was backdated", () => {
    const now = { wallMs: 1_000 * HOUR, monotonicMs: 0 };
    const life = planLife(now.wallMs - 120_000, now.wallMs + 60_000, now, () => 0.5);
    expect(renewsInMs(life, now)).toBe(30_000);
  });

  it("uses no certificate longer than its lifetime when the CA's clock is ahead", () => {
    const now = { wallMs: 1_000 * HOUR, monotonicMs: 0 };
    const life = planLife(now.wallMs + HOUR, now.wallMs + 3 * HOUR, now, () => 0.5);
    expect([renewsInMs(life, now), expiresInMs(life, now)]).toEqual([HOUR, 2 * HOUR]);
  });
});

describe("case 57: a jump of the wall clock", () => {
  const obtained = { wallMs: 1_000 * HOUR, monotonicMs: 5 * HOUR };
  const life = planLife(obtained.wallMs, obtained.wallMs + 2 * HOUR, obtained, () => 0.5);

  it("backwards neither prolongs a certificate nor delays its renewal", () => {
    const later = { wallMs: obtained.wallMs + 2 * HOUR - HOUR, monotonicMs: obtained.monotonicMs + 2 * HOUR };
    expect(expiresInMs(life, later)).toBe(0);
    expect(renewsInMs(life, later)).toBe(-HOUR);
  });

  it("forwards makes renewal, and expiry, due by the new time", () => {
    const later = { wallMs: obtained.wallMs + 60_000 + HOUR, monotonicMs: obtained.monotonicMs + 60_000 };
    expect(renewsInMs(life, later)).toBe(-60_000);
    expect(expiresInMs(life, later)).toBe(HOUR - 60_000);
  });

  it("of any size never lets a certificate live longer than its lifetime", () => {
    fc.assert(
      fc.property(fc.integer({ min: -HOUR, max: HOUR }), fc.nat(4 * HOUR), (jumpMs, elapsedMs) => {
        const now = { wallMs: obtained.wallMs + elapsedMs + jumpMs, monotonicMs: obtained.monotonicMs + elapsedMs };
        expect(expiresInMs(life, now)).toBeLessThanOrEqual(2 * HOUR - elapsedMs);
      }),
    );
  });
});

describe("retryDelayMs", () => {
  it("grows from about a second to at most 150 s plus jitter", () => {
    expect([1, 2, 3, 8, 9, 50].map((failures) => retryDelayMs(failures, undefined, () => 0.5))).toEqual([
      1_000, 2_000, 4_000, 128_000, 150_000, 150_000,
    ]);
  });

  it("stays within its bounds and never sleeps past the expiry of a held certificate", () => {
    const expiry = fc.option(fc.integer({ min: 0, max: 1e9 }), { nil: undefined });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), expiry, unit, (failures, expiresIn, random) => {
        const delay = retryDelayMs(failures, expiresIn, () => random);
        expect(delay).toBeGreaterThanOrEqual(expiresIn === undefined ? 800 : MIN_ATTEMPT_SPACING_MS);
        expect(delay).toBeLessThanOrEqual(180_000);
        if (expiresIn !== undefined) expect(delay).toBeLessThanOrEqual(Math.max(MIN_ATTEMPT_SPACING_MS, expiresIn));
      }),
    );
  });
});
