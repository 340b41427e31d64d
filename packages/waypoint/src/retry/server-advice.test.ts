import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { parseHttpDate } from "./http-date.ts";
import { parseRetryAfter, readServerAdvice } from "./server-advice.ts";

const NOW = Date.UTC(2026, 10, 28, 12, 0, 0);
const advice = (status: number, ...headers: (readonly [string, string])[]) =>
  readServerAdvice({ status, headers, trailers: [] }, NOW);

describe("readServerAdvice", () => {
  it.each([
    ["seconds", advice(503, ["retry-after", "2"]), { kind: "after", delayMs: 2_000 }],
    ["a date", advice(429, ["retry-after", "Sat, 28 Nov 2026 12:00:05 GMT"]), { kind: "after", delayMs: 5_000 }],
    [
      "a date that is past",
      advice(503, ["retry-after", "Sat, 28 Nov 2026 11:00:00 GMT"]),
      { kind: "after", delayMs: 0 },
    ],
    ["neither", advice(503, ["retry-after", "soon"]), { kind: "none" }],
    ["a negative number", advice(503, ["retry-after", "-1"]), { kind: "none" }],
    ["a fraction", advice(503, ["retry-after", "1.5"]), { kind: "none" }],
    ["a reset in seconds", advice(429, ["x-ratelimit-reset", "7"]), { kind: "after", delayMs: 7_000 }],
    [
      "a reset as a time",
      advice(429, ["x-ratelimit-reset", String(NOW / 1_000 + 3)]),
      { kind: "after", delayMs: 3_000 },
    ],
    ["a reset of a quota that is not used up", advice(503, ["x-ratelimit-reset", "7"]), { kind: "none" }],
    [
      "Retry-After before the reset",
      advice(429, ["x-ratelimit-reset", "7"], ["retry-after", "1"]),
      { kind: "after", delayMs: 1_000 },
    ],
    ["pushback", advice(200, ["grpc-retry-pushback-ms", "250"]), { kind: "after", delayMs: 250 }],
    ["negative pushback", advice(200, ["grpc-retry-pushback-ms", "-1"]), { kind: "never" }],
    ["pushback that is no number", advice(200, ["grpc-retry-pushback-ms", "x"]), { kind: "never" }],
    ["nothing", advice(503), { kind: "none" }],
  ])("reads %s", (_, read, expected) => {
    expect(read).toEqual(expected);
  });

  it("finds pushback in the trailers of an answer without a message", () => {
    const trailers = [["grpc-retry-pushback-ms", "9"]] as const;
    expect(readServerAdvice({ status: 200, headers: [], trailers }, NOW)).toEqual({ kind: "after", delayMs: 9 });
  });

  it("is total, and never asks for a negative or endless time", () => {
    const name = fc.constantFrom("retry-after", "x-ratelimit-reset", "grpc-retry-pushback-ms");
    const value = fc.oneof(fc.string(), fc.integer().map(String), fc.stringMatching(/^\d{1,12}$/));
    fc.assert(
      fc.property(name, value, (header, text) => {
        const read = advice(429, [header, text]);
        if (read.kind === "after") expect(read.delayMs >= 0 && Number.isFinite(read.delayMs)).toBe(true);
      }),
    );
  });
});

describe("parseHttpDate", () => {
  const expected = Date.UTC(1994, 10, 6, 8, 49, 37);
  it.each([
    // RFC 9110 section 5.6.7
    ["Sun, 06 Nov 1994 08:49:37 GMT", expected],
    ["Sunday, 06-Nov-94 08:49:37 GMT", expected],
    ["Sun Nov  6 08:49:37 1994", expected],
    ["Sunday, 06-Nov-30 08:49:37 GMT", Date.UTC(2030, 10, 6, 8, 49, 37)],
    ["Sun, 30 Feb 2026 08:49:37 GMT", undefined],
    ["Sun, 06 Nov 1994 24:00:00 GMT", undefined],
    ["Sun, 06 Now 1994 08:49:37 GMT", undefined],
    ["Sun, 06 Nov 1994 08:49:37 CET", undefined],
    ["1994-11-06T08:49:37Z", undefined],
    ["6", undefined],
    ["", undefined],
  ])("reads %j as %d", (text, atMs) => {
    expect(parseHttpDate(text, NOW)).toBe(atMs);
  });

  it("reads what Date writes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), (ms) => {
        const seconds = Math.floor(ms / 1_000) * 1_000;
        expect(parseHttpDate(new Date(seconds).toUTCString(), NOW)).toBe(seconds);
        expect(parseRetryAfter(new Date(seconds).toUTCString(), NOW)).toBe(Math.max(0, seconds - NOW));
      }),
    );
  });
});
