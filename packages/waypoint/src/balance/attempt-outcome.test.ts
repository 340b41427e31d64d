import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { describe, expect, it } from "@jest/globals";
import { isFailure, resultOfAnswer, resultOfError } from "./attempt-outcome.ts";

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

describe("resultOfError", () => {
  it.each([
    [
      "a refused connection",
      new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, "x", { origin: "upstream" }),
      "local-failure",
    ],
    ["a reset", new MeshError(ErrorCode.H2_STREAM_RESET, "x", { origin: "upstream" }), "local-failure"],
    ["a client that left", new MeshError(ErrorCode.H2_STREAM_RESET, "x", { origin: "downstream" }), "cancelled"],
    ["our own limit", new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, "x", { origin: "upstream" }), "cancelled"],
  ] as const)("of %s", (_, error, expected) => {
    expect(resultOfError(error)).toBe(expected);
  });
});
