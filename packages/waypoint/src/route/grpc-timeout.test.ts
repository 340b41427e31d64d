import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { formatGrpcTimeout, parseGrpcTimeout } from "./grpc-timeout.ts";

describe("grpc-timeout", () => {
  it.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3000],
    ["100m", 100],
    ["1500u", 2],
    ["1n", 1],
    ["0S", 0],
    ["99999999H", 99_999_999 * 3_600_000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseGrpcTimeout(text)).toBe(ms);
  });

  it.each(["", "1", "S", "1s", "-1S", "1.5S", "123456789S", "1S ", "1SS"])("%j is none", (text) => {
    expect(parseGrpcTimeout(text)).toBeUndefined();
  });

  it.each([
    [0, "0m"],
    [1.2, "2m"],
    [99_999_999, "99999999m"],
    [100_000_000, "100000S"],
    [100_000_000_000, "1666667M"],
    [1e18, "99999999H"],
  ])("%d ms is %s", (ms, text) => {
    expect(formatGrpcTimeout(ms)).toBe(text);
  });

  it("reads back what it writes, never shorter", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (ms) => {
        const back = parseGrpcTimeout(formatGrpcTimeout(ms)) ?? -1;
        expect(back).toBeGreaterThanOrEqual(ms);
        expect(back).toBeLessThan(ms + 60_000);
      }),
    );
  });
});
