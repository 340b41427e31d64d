import type { HeaderList } from "@ambit/shared/http2";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { RequestHead } from "../http/message.ts";
import { localResponse } from "../respond/index.ts";
import { GrpcMessageCounter } from "./grpc-messages.ts";
import { type RecorderInit, RequestRecorder, UNKNOWN_PEER } from "./request-recorder.ts";

const head = (headers: HeaderList = []): RequestHead => ({
  version: "HTTP/2",
  method: "GET",
  scheme: "http",
  authority: "cart.shop",
  path: "/a?b",
  headers,
  expectsContinue: false,
});
const GRPC: HeaderList = [["content-type", "application/grpc"]];

function recorder(init: Partial<RecorderInit> = {}) {
  let now = 0;
  const clock = { now: () => 1_000, monotonic: () => now, after: () => () => {} };
  const made = new RequestRecorder({
    clock,
    head: head(),
    chain: "chain",
    requestId: "id",
    trace: undefined,
    source: UNKNOWN_PEER,
    downstreamRemote: "10.0.0.1:1",
    downstreamLocal: "10.0.0.2:80",
    ...init,
  });
  return { record: made, tick: (ms: number) => (now += ms) };
}

const message = (payload: number): Buffer => {
  const bytes = Buffer.alloc(5 + payload);
  bytes.writeUInt32BE(payload, 1);
  return bytes;
};

describe("RequestRecorder", () => {
  it("notes an exchange from head to end", () => {
    const { record, tick } = recorder({ head: head([["user-agent", "curl"]]) });
    record.route = "r";
    const attempt = record.beginAttempt({
      cluster: "c",
      spanId: "s",
      upstreamHost: "10.0.0.3:8080",
      destination: UNKNOWN_PEER,
    });
    record.requestData(Buffer.from("abc"));
    tick(5);
    record.upstreamResponse({ status: 201, headers: [["a", "bc"]] });
    record.responseData(Buffer.from("12345"));
    tick(2);
    attempt.end({ status: 201 });
    expect(record.finish()).toMatchObject({
      startedAtEpochMs: 1_000,
      durationMs: 7,
      upstreamServiceMs: 5,
      status: 201,
      grpcStatus: undefined,
      details: "via_upstream",
      flags: [],
      requestBytes: 3,
      responseBytes: 5,
      requestHeadBytes: 10 + 4 + 3 + 9 + 4,
      responseHeadBytes: 3,
      attempts: 1,
      cluster: "c",
      upstreamHost: "10.0.0.3:8080",
      userAgent: "curl",
      originalPath: "/a?b",
    });
  });

  it("is finished once: what comes later changes nothing", () => {
    const { record, tick } = recorder();
    const first = record.finish();
    tick(10);
    record.flag("UT");
    expect(record.finish()).toBe(first);
    expect(record.finished).toBe(true);
  });

  it("takes a local answer with its flag, code and policy", () => {
    const { record } = recorder();
    record.localResponse(localResponse({ head: head(), inMesh: true }, "NO_HEALTHY_UPSTREAM"), "shop/p");
    expect(record.finish()).toMatchObject({
      status: 503,
      flags: ["UH"],
      code: "NO_HEALTHY_UPSTREAM",
      policy: "shop/p",
      details: "no_healthy_upstream",
      responseBytes: 19,
      upstreamServiceMs: undefined,
    });
  });

  it("case 40: records a gRPC refusal as its caller saw it", () => {
    const { record } = recorder({ head: head(GRPC) });
    record.localResponse(localResponse({ head: head(GRPC), inMesh: false }, "POLICY_DENIED"));
    expect(record.finish()).toMatchObject({ isGrpc: true, status: 200, grpcStatus: 7 });
  });

  it.each([
    ["trailers", [], [["grpc-status", "5"]], 5],
    ["the head of a trailers-only answer", [["grpc-status", "12"]], [], 12],
    ["trailers before the head", [["grpc-status", "0"]], [["grpc-status", "3"]], 3],
    ["neither", [], [], undefined],
  ] as [string, HeaderList, HeaderList, number | undefined][])(
    "reads the gRPC status of %s",
    (_, headers, trailers, status) => {
      const { record } = recorder({ head: head(GRPC) });
      record.upstreamResponse({ status: 200, headers });
      record.responseTrailers(trailers);
      expect(record.finish().grpcStatus).toBe(status);
    },
  );

  it("does not take grpc-status of an answer to plain HTTP for one", () => {
    const { record } = recorder();
    record.upstreamResponse({ status: 200, headers: [["grpc-status", "5"]] });
    record.responseTrailers([["grpc-status", "5"]]);
    expect(record.finish().grpcStatus).toBeUndefined();
  });

  it("keeps the status when the exchange is cut after its head, and raises each flag once", () => {
    const { record } = recorder();
    record.upstreamResponse({ status: 200, headers: [] });
    record.cut("UPSTREAM_RESET", "UC", "upstream_reset_after_response_started{connection_termination}");
    record.flag("UC");
    expect(record.finish()).toMatchObject({ status: 200, flags: ["UC"], code: "UPSTREAM_RESET" });
  });

  it("keeps attempts of sampled traces only, the last endpoint always, and few of them", () => {
    const init = { cluster: "c", spanId: "s", upstreamHost: "a:1", destination: UNKNOWN_PEER };
    const trace = { traceId: "t", spanId: "s", parentSpanId: undefined, tracestate: undefined, b3: undefined };
    const sampled = recorder({ trace: { ...trace, sampled: true, randomId: true, debug: false } });
    const plain = recorder();
    for (const { record } of [sampled, plain]) {
      for (let i = 0; i < 40; i++) {
        const attempt = record.beginAttempt({ ...init, upstreamHost: `a:${i}` });
        attempt.end({ status: 503 });
        attempt.end({ status: 200 });
      }
    }
    expect(sampled.record.finish()).toMatchObject({ attempts: 40, upstreamHost: "a:39" });
    expect(sampled.record.finish().attemptRecords).toHaveLength(32);
    expect(plain.record.finish().attemptRecords).toEqual([]);
  });
});

describe("GrpcMessageCounter", () => {
  it("counts messages in whatever cuts they come", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 });
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.integer({ min: 1, max: 64 })), (payloads, cuts) => {
        const body = Buffer.concat(payloads.map(message));
        const counter = new GrpcMessageCounter();
        for (let at = 0; at < body.length; ) {
          const size = cuts.next().value as number;
          counter.update(body.subarray(at, at + size));
          at += size;
        }
        expect(counter.messages).toBe(payloads.length);
      }),
    );
  });

  it("stops at bytes that are no gRPC and survives any", () => {
    const counter = new GrpcMessageCounter();
    counter.update(message(1));
    counter.update(Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    counter.update(message(0));
    expect(counter.messages).toBe(1);
    fc.assert(fc.property(fc.uint8Array(), (bytes) => new GrpcMessageCounter().update(bytes) === undefined));
  });

  it("takes a length of 4 GiB for what it is", () => {
    const counter = new GrpcMessageCounter();
    counter.update(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    counter.update(Buffer.alloc(1024));
    expect(counter.messages).toBe(1);
  });
});
