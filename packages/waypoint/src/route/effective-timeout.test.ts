import { describe, expect, it } from "@jest/globals";
import type { RetryPolicy } from "../retry/model.ts";
import {
  effectiveTimeouts,
  expectedTimeoutHeader,
  NO_OVERRIDES,
  readOverrides,
  withoutControlFields,
} from "./effective-timeout.ts";

const retry = (perTryTimeoutMs: number): RetryPolicy => ({
  conditions: new Set(),
  statusCodes: new Set(),
  retries: 1,
  perTryTimeoutMs,
  backoff: { baseMs: 25, maximumMs: 250 },
  avoidsTriedEndpoints: false,
  hostSelectionAttempts: 1,
  explicit: false,
});
const action = (timeoutMs: number, maximumGrpcTimeoutMs?: number, perTryMs?: number) => ({
  timeoutMs,
  maximumGrpcTimeoutMs,
  retry: perTryMs === undefined ? undefined : retry(perTryMs),
});

describe("effectiveTimeouts", () => {
  it.each([
    ["the route's", action(3000), undefined, 3000],
    ["none", action(0), undefined, 0],
    ["gRPC without a cap on the route", action(3000), "1S", 3000],
    ["gRPC within the cap", action(3000, 5000), "1S", 1000],
    ["gRPC beyond the cap", action(3000, 5000), "1H", 5000],
    ["gRPC that says nothing: the cap", action(3000, 5000), undefined, 5000],
    ["gRPC that says something else: the cap", action(3000, 5000), "soon", 5000],
    ["gRPC that says for ever: the cap", action(3000, 5000), "0S", 5000],
    ["gRPC where the cap is for ever", action(3000, 0), "1S", 1000],
    ["gRPC where both are for ever", action(3000, 0), undefined, 0],
  ])("%s", (name, route, grpcTimeout, requestMs) => {
    const grpc = name.startsWith("gRPC") ? { grpcTimeout } : undefined;
    expect(effectiveTimeouts(route, NO_OVERRIDES, grpc).requestMs).toBe(requestMs);
  });

  it("gives each try its own, unless it could not end before the whole", () => {
    expect(effectiveTimeouts(action(3000, undefined, 1000), NO_OVERRIDES, undefined)).toEqual({
      requestMs: 3000,
      perTryMs: 1000,
    });
    expect(effectiveTimeouts(action(1000, undefined, 1000), NO_OVERRIDES, undefined)).toEqual({
      requestMs: 1000,
      perTryMs: 0,
    });
    expect(effectiveTimeouts(action(0, undefined, 1000), NO_OVERRIDES, undefined)).toEqual({
      requestMs: 0,
      perTryMs: 1000,
    });
  });

  it("lets an in-mesh caller choose", () => {
    const overrides = { ...NO_OVERRIDES, timeoutMs: 200, perTryTimeoutMs: 100 };
    expect(effectiveTimeouts(action(3000, 5000, 1000), overrides, { grpcTimeout: "1S" })).toEqual({
      requestMs: 200,
      perTryMs: 100,
    });
  });

  it("tells the upstream how long we wait for it", () => {
    expect(expectedTimeoutHeader({ requestMs: 3000, perTryMs: 1000 })).toEqual([
      ["x-envoy-expected-rq-timeout-ms", "1000"],
    ]);
    expect(expectedTimeoutHeader({ requestMs: 3000, perTryMs: 0 })).toEqual([
      ["x-envoy-expected-rq-timeout-ms", "3000"],
    ]);
    expect(expectedTimeoutHeader({ requestMs: 0, perTryMs: 0 })).toEqual([]);
  });
});

describe("readOverrides", () => {
  const headers = [
    ["x-envoy-upstream-rq-timeout-ms", "200"],
    ["x-envoy-upstream-rq-per-try-timeout-ms", "x"],
    ["x-envoy-max-retries", "1000"],
    ["x-envoy-retry-on", "5xx, reset,"],
    ["x-envoy-retry-grpc-on", "unavailable"],
    ["x-envoy-retriable-status-codes", "503, 99, 1e2x, 409"],
    ["x-other", "1"],
  ] as const;

  it("reads what an in-mesh caller asks for, within bounds", () => {
    expect(readOverrides(headers, true)).toEqual({
      timeoutMs: 200,
      perTryTimeoutMs: undefined,
      maximumRetries: 10,
      retryOn: ["5xx", "reset", "unavailable"],
      retriableStatusCodes: [503, 409],
    });
  });

  it("reads one alone", () => {
    expect(readOverrides([["x-envoy-max-retries", "0"]], true)).toEqual({ ...NO_OVERRIDES, maximumRetries: 0 });
    expect(readOverrides([["x-envoy-retry-on", "5xx"]], true)).toMatchObject({
      maximumRetries: undefined,
      retryOn: ["5xx"],
    });
  });

  it("case 16: reads nothing of a caller without identity", () => {
    expect(readOverrides(headers, false)).toBe(NO_OVERRIDES);
  });

  it("reads nothing where nothing is asked", () => {
    expect(readOverrides([["x-other", "1"]], true)).toBe(NO_OVERRIDES);
  });

  it("takes the fields out of the request", () => {
    expect(withoutControlFields(headers)).toEqual([["x-other", "1"]]);
    const plain = [["x-other", "1"]] as const;
    expect(withoutControlFields(plain)).toBe(plain);
  });
});
