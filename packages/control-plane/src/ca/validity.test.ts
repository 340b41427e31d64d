import { describe, expect, it } from "@jest/globals";
import { decideValidity } from "./validity.ts";

const HOUR = 3_600_000;
const NOW = 1_000 * HOUR;
const ca = { notBefore: NOW - 500 * HOUR, notAfter: NOW + 500 * HOUR };

describe("decideValidity", () => {
  it.each([
    ["what was asked for", 3_600, ca, -120_000, HOUR],
    ["the longest when asked for more", 100 * 3_600, ca, -120_000, 24 * HOUR],
    ["the longest when asked for nothing", 0, ca, -120_000, 24 * HOUR],
    ["the longest when asked for a negative time", -5, ca, -120_000, 24 * HOUR],
    ["no more than the CA has left", 3_600, { ...ca, notAfter: NOW + 60_000 }, -120_000, 60_000],
    ["no earlier start than the CA's", 3_600, { ...ca, notBefore: NOW - 5_000 }, -5_000, HOUR],
  ])("gives %s", (_, requestedSeconds, limits, from, to) => {
    const validity = decideValidity(requestedSeconds, NOW, { maxTtlMs: 24 * HOUR, ca: limits });
    expect(validity).toEqual({ notBefore: NOW + from, notAfter: NOW + to });
  });
});
