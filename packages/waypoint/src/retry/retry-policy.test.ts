import { ErrorCode, MeshError, type RetryVerdict } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { RetryCondition, RetryPolicy } from "./model.ts";
import { decideRetry, isIdempotent, LONGEST_WAIT_MS, type RetryQuestion } from "./retry-policy.ts";
import type { AttemptEnd } from "./retry-trigger.ts";

const NOW = Date.UTC(2026, 10, 28);

function policyOf(fields: Partial<RetryPolicy> & { readonly on: readonly RetryCondition[] }): RetryPolicy {
  const { on, ...rest } = fields;
  return {
    conditions: new Set(on),
    statusCodes: new Set(),
    retries: 2,
    perTryTimeoutMs: 0,
    backoff: { baseMs: 25, maximumMs: 250 },
    avoidsTriedEndpoints: true,
    hostSelectionAttempts: 5,
    explicit: false,
    ...rest,
  };
}

/** What istiod sends when nobody configured anything. */
const ISTIO_DEFAULT = policyOf({
  on: ["connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"],
});
/** What a `retry` stanza of an HTTPRoute becomes. */
const STANZA = policyOf({
  on: ["connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"],
  statusCodes: new Set([500]),
  explicit: true,
});

const answer = (status: number, headers: HeaderList = [], trailers?: HeaderList): AttemptEnd => ({
  kind: "response",
  status,
  headers,
  ...(trailers === undefined ? {} : { trailers }),
});
const failure = (
  code: ErrorCode,
  fields: { requestSent?: boolean; reused?: boolean; retry?: RetryVerdict; downstream?: boolean } = {},
): AttemptEnd => ({
  kind: "failure",
  error: new MeshError(code, "broke", {
    origin: fields.downstream ? "downstream" : "upstream",
    retry: fields.retry ?? "never",
  }),
  requestSent: fields.requestSent ?? true,
  reused: fields.reused ?? false,
});
const CONNECT_FAILED = failure(ErrorCode.UPSTREAM_CONNECT_FAILED, { requestSent: false, retry: "safe" });
const REFUSED = failure(ErrorCode.H2_STREAM_REFUSED, { retry: "safe" });
const RESET = failure(ErrorCode.UPSTREAM_RESET);
const STALE = failure(ErrorCode.H2_SESSION_CLOSED, { reused: true, retry: "if-session-reused" });
const TIMEOUT: AttemptEnd = { kind: "per-try-timeout" };
const GRPC: HeaderList = [["content-type", "application/grpc+proto"]];

function decide(fields: Partial<RetryQuestion> & Pick<RetryQuestion, "end">) {
  const question: RetryQuestion = {
    policy: ISTIO_DEFAULT,
    attempt: 1,
    method: "GET",
    headers: [],
    bodyReplayable: true,
    responseStarted: false,
    remainingMs: undefined,
    isRetriedByCaller: false,
    ...fields,
  };
  return decideRetry(question, { now: NOW, random: () => 0 });
}

/** "retry because X", or "stop: X". */
function summary(fields: Partial<RetryQuestion> & Pick<RetryQuestion, "end">): string {
  const decision = decide(fields);
  return decision.kind === "retry" ? `retry because ${decision.because}` : `stop: ${decision.reason}`;
}

const only = (condition: RetryCondition): RetryPolicy => policyOf({ on: [condition] });

describe("conditions", () => {
  it.each([
    ["a refused connection", CONNECT_FAILED, ISTIO_DEFAULT, "retry because connect-failure"],
    [
      "a refused tunnel",
      failure(ErrorCode.HBONE_CONNECT_REFUSED, { requestSent: false }),
      ISTIO_DEFAULT,
      "retry because connect-failure",
    ],
    [
      "a failed handshake",
      failure(ErrorCode.TLS_HANDSHAKE_FAILED, { requestSent: false }),
      ISTIO_DEFAULT,
      "retry because connect-failure",
    ],
    [
      "a TLS alert in the middle of a request",
      failure(ErrorCode.TLS_HANDSHAKE_FAILED),
      ISTIO_DEFAULT,
      "stop: not-retriable",
    ],
    ["a refused stream", REFUSED, ISTIO_DEFAULT, "retry because refused-stream"],
    [
      "a session that takes no more",
      failure(ErrorCode.H2_SESSION_CLOSED, { requestSent: false, retry: "safe" }),
      ISTIO_DEFAULT,
      "retry because refused-stream",
    ],
    ["a reset, which Istio's default leaves out", RESET, ISTIO_DEFAULT, "stop: not-retriable"],
    ["a reset", RESET, only("reset"), "retry because reset"],
    ["a reset as 5xx", RESET, only("5xx"), "retry because 5xx"],
    ["a reset as gateway error", RESET, only("gateway-error"), "retry because gateway-error"],
    [
      "a reset before anything was sent",
      failure(ErrorCode.UPSTREAM_RESET, { requestSent: false }),
      only("reset-before-request"),
      "retry because reset-before-request",
    ],
    ["a reset after something was sent", RESET, only("reset-before-request"), "stop: not-retriable"],
    [
      "a reset before anything was sent, by Istio's default",
      failure(ErrorCode.UPSTREAM_RESET, { requestSent: false }),
      ISTIO_DEFAULT,
      "retry because connect-failure",
    ],
    ["500 as 5xx", answer(500), only("5xx"), "retry because 5xx"],
    ["599 as 5xx", answer(599), only("5xx"), "retry because 5xx"],
    ["499", answer(499), only("5xx"), "stop: not-retriable"],
    ["502", answer(502), only("gateway-error"), "retry because gateway-error"],
    ["504", answer(504), only("gateway-error"), "retry because gateway-error"],
    ["500 as gateway error", answer(500), only("gateway-error"), "stop: not-retriable"],
    ["409", answer(409), only("retriable-4xx"), "retry because retriable-4xx"],
    ["404", answer(404), only("retriable-4xx"), "stop: not-retriable"],
    ["a listed status", answer(500), STANZA, "retry because retriable-status-codes"],
    ["a status that is not listed", answer(503), STANZA, "stop: not-retriable"],
    ["Istio's empty list", answer(503), ISTIO_DEFAULT, "stop: not-retriable"],
    [
      "a limited rate",
      answer(429, [["x-envoy-ratelimited", "true"]]),
      only("envoy-ratelimited"),
      "retry because envoy-ratelimited",
    ],
    [
      "a limited rate that only is a status",
      answer(503, [["x-envoy-ratelimited", "true"]]),
      only("5xx"),
      "stop: not-retriable",
    ],
    ["success", answer(200), only("5xx"), "stop: not-retriable"],
    [
      "our own limit",
      failure(ErrorCode.CONNECTION_LIMIT_REACHED, { requestSent: false }),
      only("5xx"),
      "stop: not-retriable",
    ],
    ["a client that left", failure(ErrorCode.UPSTREAM_RESET, { downstream: true }), only("5xx"), "stop: not-retriable"],
    ["a timeout of the try", TIMEOUT, only("gateway-error"), "retry because gateway-error"],
    [
      "a timeout of the try with 504 listed",
      TIMEOUT,
      { ...STANZA, statusCodes: new Set([504]) },
      "retry because retriable-status-codes",
    ],
    ["a timeout of the try by default", TIMEOUT, ISTIO_DEFAULT, "stop: not-retriable"],
    // Differs from Envoy: what GEP-1731 wants wherever there is a stanza.
    ["a reset with a stanza", RESET, STANZA, "retry because any-failure"],
    ["a timeout of the try with a stanza", TIMEOUT, STANZA, "retry because any-failure"],
  ] as const)("%s", (_, end, policy, expected) => {
    expect(summary({ end, policy })).toBe(expected);
  });

  it.each([
    ["1", "cancelled"],
    ["4", "deadline-exceeded"],
    ["8", "resource-exhausted"],
    ["13", "internal"],
    ["14", "unavailable"],
  ] as const)(
    "gRPC status %s is %s, in the head or in trailers without a message, and POST is no obstacle",
    (status, condition) => {
      const asked = { policy: only(condition), method: "POST", headers: GRPC };
      expect(summary({ ...asked, end: answer(200, [["grpc-status", status]]) })).toBe(`retry because ${condition}`);
      expect(summary({ ...asked, end: answer(200, [], [["grpc-status", status]]) })).toBe(`retry because ${condition}`);
      expect(summary({ ...asked, policy: only("reset"), end: answer(200, [["grpc-status", status]]) })).toBe(
        "stop: not-retriable",
      );
    },
  );

  it("takes grpc-status for gRPC only, and ends with the head's", () => {
    const end = answer(200, [["grpc-status", "14"]]);
    expect(summary({ end, headers: [["content-type", "application/json"]] })).toBe("stop: not-retriable");
    const okThenNot = answer(200, [["grpc-status", "0"]], [["grpc-status", "14"]]);
    expect(summary({ end: okThenNot, headers: GRPC })).toBe("stop: not-retriable");
  });
});

describe("a reused connection that ended without an answer", () => {
  it("is tried once more at once, without any policy, when the method is idempotent", () => {
    expect(decide({ end: STALE, policy: undefined })).toEqual({
      kind: "retry",
      delayMs: 0,
      onAnotherEndpoint: false,
      isFinal: true,
      because: "stale-connection",
    });
    expect(summary({ end: STALE, policy: undefined, attempt: 2 })).toBe("stop: limit-reached");
    expect(summary({ end: STALE, policy: undefined, method: "POST" })).toBe("stop: method-not-idempotent");
    expect(summary({ end: { ...STALE, reused: false } as AttemptEnd, policy: undefined })).toBe("stop: not-retriable");
  });

  it("needs the body", () => {
    expect(summary({ end: STALE, policy: undefined, bodyReplayable: false })).toBe("stop: body-not-replayable");
  });
});

describe("methods", () => {
  it.each([
    ["POST after a refused connection", "POST", CONNECT_FAILED, ISTIO_DEFAULT, "retry because connect-failure"],
    ["POST after a refused stream", "POST", REFUSED, ISTIO_DEFAULT, "retry because refused-stream"],
    ["POST after a reset", "POST", RESET, only("reset"), "stop: method-not-idempotent"],
    [
      "POST after a reset that the route listed",
      "POST",
      RESET,
      policyOf({ on: ["reset"], explicit: true }),
      "retry because reset",
    ],
    ["POST after a reset that the stanza did not list", "POST", RESET, STANZA, "stop: method-not-idempotent"],
    ["POST after a status that the stanza listed", "POST", answer(500), STANZA, "retry because retriable-status-codes"],
    ["POST after a status by default", "POST", answer(500), only("5xx"), "stop: method-not-idempotent"],
    ["POST after a timeout of the try", "POST", TIMEOUT, STANZA, "stop: method-not-idempotent"],
    ["PATCH after a status by default", "PATCH", answer(500), only("5xx"), "stop: method-not-idempotent"],
    ["PUT after a status by default", "PUT", answer(500), only("5xx"), "retry because 5xx"],
  ] as const)("%s", (_, method, end, policy, expected) => {
    expect(summary({ method, end, policy })).toBe(expected);
  });

  it("knows the idempotent ones of RFC 9110, by their exact case, and Idempotency-Key", () => {
    expect(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].every((method) => isIdempotent(method, []))).toBe(true);
    expect(["POST", "PATCH", "CONNECT", "get", "PURGE", ""].some((method) => isIdempotent(method, []))).toBe(false);
    expect(isIdempotent("POST", [["idempotency-key", "1f6b"]])).toBe(true);
    expect(isIdempotent("POST", [["idempotency-key", ""]])).toBe(false);
  });
});

describe("what stops a retry", () => {
  it("is a response that began, whatever happened then", () => {
    expect(summary({ end: CONNECT_FAILED, responseStarted: true })).toBe("stop: response-started");
  });

  it("is the number of retries", () => {
    const at = (attempt: number) => summary({ end: CONNECT_FAILED, attempt });
    expect([1, 2, 3].map(at)).toEqual([
      "retry because connect-failure",
      "retry because connect-failure",
      "stop: limit-reached",
    ]);
    expect(summary({ end: CONNECT_FAILED, policy: { ...STANZA, retries: 0 } })).toBe("stop: limit-reached");
    const finals = [1, 2].map((attempt) => decide({ end: CONNECT_FAILED, attempt }));
    expect(finals.map((each) => each.kind === "retry" && each.isFinal)).toEqual([false, true]);
  });

  it("is a caller that repeats the request already", () => {
    expect(summary({ end: CONNECT_FAILED, isRetriedByCaller: true })).toBe("stop: retried-by-caller");
    // A stale connection of ours is not the upstream's failure, and adds no load.
    expect(summary({ end: STALE, isRetriedByCaller: true })).toBe("retry because stale-connection");
  });

  it("is a body that is gone", () => {
    expect(summary({ end: CONNECT_FAILED, bodyReplayable: false })).toBe("stop: body-not-replayable");
  });

  it("is a route without a policy", () => {
    expect(summary({ end: CONNECT_FAILED, policy: undefined })).toBe("stop: not-retriable");
    expect(summary({ end: answer(503), policy: undefined })).toBe("stop: not-retriable");
    expect(summary({ end: TIMEOUT, policy: undefined })).toBe("stop: not-retriable");
  });

  it("is the deadline, and a server that asks for more time than is left", () => {
    expect(summary({ end: CONNECT_FAILED, remainingMs: 25 })).toBe("stop: no-time");
    expect(summary({ end: CONNECT_FAILED, remainingMs: 26 })).toBe("retry because connect-failure");
    const busy = answer(503, [["retry-after", "2"]]);
    expect(summary({ end: busy, policy: only("5xx"), remainingMs: 2_000 })).toBe("stop: no-time");
    expect(decide({ end: busy, policy: only("5xx"), remainingMs: 2_001 })).toMatchObject({
      kind: "retry",
      delayMs: 2_000,
    });
    const later = answer(503, [["retry-after", "301"]]);
    expect(summary({ end: later, policy: only("5xx") })).toBe("stop: no-time");
  });

  it("is a gRPC server that says so", () => {
    const end = answer(200, [
      ["grpc-status", "14"],
      ["grpc-retry-pushback-ms", "-1"],
    ]);
    expect(summary({ end, headers: GRPC, method: "POST" })).toBe("stop: server-refuses-retries");
  });
});

describe("decideRetry", () => {
  const anyEnd = fc.oneof(
    fc.integer({ min: 200, max: 599 }).map((status) => answer(status)),
    fc.constantFrom(CONNECT_FAILED, REFUSED, RESET, STALE, TIMEOUT),
    fc.nat(400).map((seconds) => answer(503, [["retry-after", String(seconds)]])),
  );
  const anyPolicy = fc.record({
    conditions: fc
      .uniqueArray(
        fc.constantFrom<RetryCondition>("5xx", "reset", "connect-failure", "refused-stream", "gateway-error"),
      )
      .map((list) => new Set(list)),
    retries: fc.nat(5),
    explicit: fc.boolean(),
  });

  it("never lets a request be processed twice that must not be: POST repeats only what was not seen, or what a route asked for", () => {
    fc.assert(
      fc.property(anyEnd, anyPolicy, (end, fields) => {
        const policy = { ...ISTIO_DEFAULT, ...fields };
        const decision = decide({ end, policy, method: "POST" });
        if (decision.kind === "retry" && !policy.explicit) expect([CONNECT_FAILED, REFUSED]).toContain(end);
      }),
    );
  });

  it("keeps to the number of retries, the deadline and the longest wait", () => {
    fc.assert(
      fc.property(
        anyEnd,
        anyPolicy,
        fc.integer({ min: 1, max: 8 }),
        fc.nat(500_000),
        (end, fields, attempt, remainingMs) => {
          const policy = { ...ISTIO_DEFAULT, ...fields };
          const decision = decide({ end, policy, attempt, remainingMs });
          if (decision.kind !== "retry") return;
          expect(attempt).toBeLessThanOrEqual(
            decision.because === "stale-connection" ? Math.max(1, policy.retries) : policy.retries,
          );
          expect(decision.delayMs).toBeLessThan(remainingMs);
          expect(decision.delayMs).toBeLessThanOrEqual(LONGEST_WAIT_MS);
        },
      ),
    );
  });
});
