/** The small parts around an attempt: its header, its timeouts, the caller's wishes, the copy of its body. */

import type { HeaderList } from "@ambit/shared/http2";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ManualClock } from "../balance/test-cluster.ts";
import { ATTEMPT_HEADER, attemptOf, withAttempt } from "./attempt-header.ts";
import { decideAttemptTimeout, startAttemptTimeout } from "./attempt-timeout.ts";
import type { RetryPolicy } from "./model.ts";
import { applyRetryOverrides } from "./policy-overrides.ts";
import { DEFAULT_REPLAY_BYTES, MAXIMUM_REPLAY_BYTES, ReplayBuffer, ReplayMemory } from "./replay-buffer.ts";

describe("attempt header", () => {
  it("is written from the second attempt on", () => {
    const headers: HeaderList = [["accept", "*/*"]];
    expect(withAttempt(headers, 1, 1)).toBe(headers);
    expect(withAttempt(headers, 1, 2)).toEqual([
      ["accept", "*/*"],
      [ATTEMPT_HEADER, "2"],
    ]);
  });

  it("stays on a request that came with it, and replaces what came", () => {
    expect(withAttempt([[ATTEMPT_HEADER, "3"]], 3, 1)).toEqual([[ATTEMPT_HEADER, "3"]]);
    expect(
      withAttempt(
        [
          [ATTEMPT_HEADER, "7"],
          [ATTEMPT_HEADER, "9"],
        ],
        1,
        1,
      ),
    ).toEqual([]);
  });

  it("is read with Envoy's, the larger counts, and nonsense does not", () => {
    expect(
      attemptOf([
        ["x-envoy-attempt-count", "3"],
        [ATTEMPT_HEADER, "2"],
      ]),
    ).toBe(3);
    for (const text of ["0", "-2", "2.5", "99999", "x", "", "1e3"]) expect(attemptOf([[ATTEMPT_HEADER, text]])).toBe(1);
  });

  it("keeps three hops of three attempts from becoming 27 requests", () => {
    // Each hop makes up to three attempts unless the request came as a repeated one; everything fails.
    const hop = (depth: number, headers: HeaderList): number => {
      if (depth === 0) return 1;
      const arrivedAs = attemptOf(headers);
      const attempts = arrivedAs > 1 ? 1 : 3;
      let reached = 0;
      for (let attempt = 1; attempt <= attempts; attempt += 1)
        reached += hop(depth - 1, withAttempt([], arrivedAs, attempt));
      return reached;
    };
    expect(hop(3, [])).toBe(7);
  });
});

describe("attempt timeout", () => {
  it("is the try's or what is left of the request's, whichever is first", () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.option(fc.nat(2_000), { nil: undefined }), (perTryTimeoutMs, leftMs) => {
        const nowMs = 500;
        const deadlineMs = leftMs === undefined ? undefined : nowMs + leftMs;
        const timeout = decideAttemptTimeout({ perTryTimeoutMs, deadlineMs }, nowMs);
        const perTry = perTryTimeoutMs === 0 ? Number.POSITIVE_INFINITY : perTryTimeoutMs;
        const first = Math.min(perTry, leftMs ?? Number.POSITIVE_INFINITY);
        expect(timeout?.afterMs ?? Number.POSITIVE_INFINITY).toBe(first);
        if (timeout !== undefined)
          expect(timeout.kind).toBe(perTry < (leftMs ?? Number.POSITIVE_INFINITY) ? "per-try" : "request");
      }),
    );
  });

  it("expires at once when the deadline is past", () => {
    expect(decideAttemptTimeout({ perTryTimeoutMs: 0, deadlineMs: 5 }, 9)).toEqual({ kind: "request", afterMs: 0 });
  });

  it("fires once with its kind, and not after it was stopped", () => {
    const clock = new ManualClock();
    const expired: string[] = [];
    const init = { perTryTimeoutMs: 100, deadlineMs: clock.nowMs + 1_000 };
    startAttemptTimeout(clock, init, (kind) => expired.push(kind));
    const stop = startAttemptTimeout(clock, init, () => expired.push("stopped one"));
    stop();
    stop();
    clock.advance(10_000);
    expect([expired, clock.pendingTimers]).toEqual([["per-try"], 0]);
  });

  it("sets no timer when there is no timeout", () => {
    const clock = new ManualClock();
    startAttemptTimeout(clock, { perTryTimeoutMs: 0, deadlineMs: undefined }, () => undefined)();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("applyRetryOverrides", () => {
  const route: RetryPolicy = {
    conditions: new Set(["connect-failure"]),
    statusCodes: new Set([503]),
    retries: 2,
    perTryTimeoutMs: 0,
    backoff: { baseMs: 25, maximumMs: 250 },
    avoidsTriedEndpoints: true,
    hostSelectionAttempts: 5,
    explicit: false,
  };
  const nothing = { maximumRetries: undefined, retryOn: undefined, retriableStatusCodes: [] };

  it("leaves a policy alone when the caller asks for nothing", () => {
    expect(applyRetryOverrides(route, nothing)).toBe(route);
    expect(applyRetryOverrides(undefined, nothing)).toBeUndefined();
    expect(applyRetryOverrides(undefined, { ...nothing, maximumRetries: 5 })).toBeUndefined();
  });

  it("adds conditions and codes, replaces the number, and is explicit", () => {
    const asked = { maximumRetries: 4, retryOn: ["5xx", "no-such-thing", "toString"], retriableStatusCodes: [404] };
    expect(applyRetryOverrides(route, asked)).toEqual({
      ...route,
      conditions: new Set(["connect-failure", "5xx"]),
      statusCodes: new Set([503, 404]),
      retries: 4,
      explicit: true,
    });
    expect(applyRetryOverrides(undefined, { ...nothing, retryOn: ["reset"] })).toMatchObject({
      retries: 1,
      explicit: true,
    });
  });

  it("does not take conditions that nobody knows for a wish to retry", () => {
    expect(applyRetryOverrides(undefined, { ...nothing, retryOn: ["nonsense"] })).toBeUndefined();
  });
});

describe("ReplayBuffer", () => {
  const memoryOf = (bytes = 10 * MAXIMUM_REPLAY_BYTES) => new ReplayMemory(bytes);

  it("gives back exactly what streamed by while it fits, and nothing once it does not", () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 });
    fc.assert(
      fc.property(chunks, fc.nat(400), (list, limitBytes) => {
        const memory = memoryOf();
        const buffer = new ReplayBuffer({ memory, bodyLength: undefined, limitBytes });
        for (const chunk of list) buffer.append(Buffer.from(chunk));
        const all = Buffer.concat(list);
        expect(buffer.isReplayable).toBe(all.length <= limitBytes);
        expect(Buffer.concat(buffer.chunks())).toEqual(all.length <= limitBytes ? all : Buffer.alloc(0));
        expect(memory.usedBytes).toBe(buffer.bytes);
        buffer.drop();
        buffer.drop();
        expect(memory.usedBytes).toBe(0);
      }),
    );
  });

  it("copies: the chunk may be reused by its owner", () => {
    const buffer = new ReplayBuffer({ memory: memoryOf(), bodyLength: 3 });
    const chunk = Buffer.from("abc");
    buffer.append(chunk);
    chunk.fill(0);
    expect(Buffer.concat(buffer.chunks()).toString()).toBe("abc");
  });

  it("does not begin to copy a body that says that it is too long", () => {
    const memory = memoryOf();
    const buffer = new ReplayBuffer({ memory, bodyLength: DEFAULT_REPLAY_BYTES + 1 });
    buffer.append(Buffer.alloc(10));
    expect([buffer.isReplayable, memory.usedBytes]).toEqual([false, 0]);
  });

  it("has a limit of 64 KiB, and of 1 MiB whatever is asked for", () => {
    const fits = (bytes: number, limitBytes?: number): boolean => {
      const buffer = new ReplayBuffer({
        memory: memoryOf(),
        bodyLength: undefined,
        ...(limitBytes === undefined ? {} : { limitBytes }),
      });
      buffer.append(Buffer.alloc(bytes));
      return buffer.isReplayable;
    };
    expect([fits(65_536), fits(65_537), fits(1_048_576, 1e9), fits(1_048_577, 1e9)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  it("gives up a copy when all together are too much, and takes the next once memory is back", () => {
    const memory = memoryOf(100);
    const first = new ReplayBuffer({ memory, bodyLength: undefined });
    const second = new ReplayBuffer({ memory, bodyLength: undefined });
    first.append(Buffer.alloc(60));
    second.append(Buffer.alloc(60));
    expect([first.isReplayable, second.isReplayable, memory.usedBytes]).toEqual([true, false, 60]);
    first.drop();
    const third = new ReplayBuffer({ memory, bodyLength: undefined });
    third.append(Buffer.alloc(60));
    expect(third.isReplayable).toBe(true);
  });

  it("keeps trailers", () => {
    const buffer = new ReplayBuffer({ memory: memoryOf(), bodyLength: undefined });
    expect(buffer.trailers).toBeUndefined();
    buffer.complete([["grpc-status", "0"]]);
    expect(buffer.trailers).toEqual([["grpc-status", "0"]]);
  });
});
