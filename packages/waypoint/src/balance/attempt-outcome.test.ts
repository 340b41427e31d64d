import { describe, expect, it } from "@jest/globals";
import { httpStatusOfGrpc, isFailure, resultOfAnswer } from "./attempt-outcome.ts";

describe("resultOfAnswer", () => {
  it.each([
    [200, undefined, "success"],
    [404, undefined, "success"],
    [429, undefined, "success"],
    [500, undefined, "server-error"],
    [501, undefined, "server-error"],
    [502, undefined, "gateway-error"],
    [504, undefined, "gateway-error"],
    [505, undefined, "server-error"],
    // gRPC, in a head of 200
    [200, 0, "success"],
    [200, 5, "success"],
    [200, 13, "server-error"],
    [200, 14, "gateway-error"],
    [200, 4, "gateway-error"],
    [200, 12, "server-error"],
    [200, 99, "server-error"],
    // The HTTP status counts when it is an error itself.
    [503, 0, "gateway-error"],
  ] as const)("of %d with gRPC status %s is %s", (status, grpcStatus, expected) => {
    expect(resultOfAnswer(status, grpcStatus)).toBe(expected);
  });
});

describe("isFailure", () => {
  it("is any failure, and 429, but not what we gave up", () => {
    expect(isFailure({ kind: "success", status: 429 })).toBe(true);
    expect(isFailure({ kind: "local-failure" })).toBe(true);
    expect(isFailure({ kind: "success", status: 404 })).toBe(false);
    expect(isFailure({ kind: "cancelled" })).toBe(false);
  });
});

describe("httpStatusOfGrpc", () => {
  it("knows all seventeen", () => {
    const all = Array.from({ length: 17 }, (_, code) => httpStatusOfGrpc(code));
    expect(all).toEqual([200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]);
  });
});
