import { describe, expect, it } from "@jest/globals";
import { buildRequestRecord } from "../../test/observe-records.ts";
import type { AttemptRecord, CustomTag, RequestRecord } from "./model.ts";
import { spansOf } from "./spans.ts";

const NO_TAGS = { customTags: [] };
const trace = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentSpanId: "00f067aa0ba902b7",
  sampled: true,
  tracestate: "vendor=x",
};
const sampledRecord = (over: Partial<RequestRecord>) => buildRequestRecord({ trace, ...over });
const attempt = (over: Partial<AttemptRecord> = {}): AttemptRecord => ({
  spanId: "1111111111111111",
  startedMs: 1,
  durationMs: 3,
  cluster: "c",
  upstreamHost: "10.0.0.3:8080",
  status: 200,
  grpcStatus: undefined,
  failure: undefined,
  ...over,
});

describe("spansOf", () => {
  it("makes a server span with the tags of Envoy and Istio, and a client span for each attempt below it", () => {
    const record = buildRequestRecord({
      trace,
      attempts: 2,
      attemptRecords: [
        attempt({ status: 503, failure: "UPSTREAM_RESET" }),
        attempt({ spanId: "2222222222222222", startedMs: 4 }),
      ],
    });
    const [server, first, second] = spansOf(record, { customTags: [{ name: "env", value: "lab" }] });
    expect(server).toMatchObject({
      traceId: trace.traceId,
      spanId: trace.spanId,
      parentSpanId: trace.parentSpanId,
      tracestate: "vendor=x",
      name: "cart.shop.svc.cluster.local:80/*",
      kind: "server",
      startEpochMs: record.startedAtEpochMs,
      endEpochMs: record.startedAtEpochMs + 7.4,
      isError: false,
    });
    const tags = Object.fromEntries(server?.attributes ?? []);
    expect(tags).toMatchObject({
      component: "proxy",
      "guid:x-request-id": "5a2c",
      "http.url": "http://cart.shop/items",
      "http.method": "GET",
      "http.status_code": 200,
      response_flags: "-",
      upstream_cluster: record.cluster,
      "peer.address": "10.0.0.1:4242",
      "istio.source_workload": "web",
      "istio.destination_canonical_service": "cart",
      "istio.source_principal": "spiffe://cluster.local/ns/shop/sa/web",
      env: "lab",
    });
    expect(first).toMatchObject({
      kind: "client",
      parentSpanId: trace.spanId,
      spanId: "1111111111111111",
      isError: true,
    });
    expect(Object.fromEntries(second?.attributes ?? [])).toMatchObject({
      "http.request.resend_count": 1,
      upstream_address: "10.0.0.3:8080",
    });
    expect(second).toMatchObject({ startEpochMs: record.startedAtEpochMs + 4, isError: false });
  });

  it("makes none of what is not sampled", () => {
    expect(spansOf(buildRequestRecord({ trace: { ...trace, sampled: false } }), NO_TAGS)).toEqual([]);
    expect(spansOf(buildRequestRecord(), NO_TAGS)).toEqual([]);
  });

  it.each([
    [200, undefined, false],
    [404, undefined, false],
    [503, undefined, true],
    [0, undefined, true],
    [200, 5, false],
    [200, 13, true],
  ])("status %i, gRPC %s is an error of the server span: %s", (status, grpcStatus, isError) => {
    expect(spansOf(buildRequestRecord({ trace, status, grpcStatus }), NO_TAGS)[0]?.isError).toBe(isError);
  });

  it("is an error of the client span from 400 on", () => {
    const record = buildRequestRecord({
      trace,
      attemptRecords: [attempt({ status: 404 }), attempt({ grpcStatus: 5 })],
    });
    expect(spansOf(record, NO_TAGS).map((span) => span.isError)).toEqual([false, true, true]);
  });

  it("names a span without an operation by method and service, never by path; bounds every text, leaves queries out", () => {
    const record = buildRequestRecord({
      trace,
      operation: undefined,
      originalPath: `/${"p".repeat(5000)}?token=secret`,
      userAgent: "u".repeat(5000),
    });
    const [span] = spansOf(record, NO_TAGS);
    expect(span?.name).toBe("GET cart.shop.svc.cluster.local");
    for (const [, value] of span?.attributes ?? []) expect(String(value).length).toBeLessThanOrEqual(256);
    expect(JSON.stringify(span)).not.toContain("secret");
  });

  it("takes tags from headers and the environment, but no secrets, and what is said where there is nothing", () => {
    const customTags: CustomTag[] = [
      { name: "user", value: "nobody", from: { kind: "header", name: "x-user" } },
      { name: "tenant", value: "none", from: { kind: "header", name: "x-tenant" } },
      { name: "gone", value: "", from: { kind: "header", name: "x-gone" } },
      { name: "cookie", value: "", from: { kind: "header", name: "cookie" } },
      { name: "region", value: "", from: { kind: "environment", name: "REGION" } },
      { name: "token", value: "hidden", from: { kind: "environment", name: "AUTH_TOKEN" } },
    ];
    const requestHeaders = [
      ["x-user", "ann"],
      ["cookie", "secret"],
    ] as const;
    const [span] = spansOf(
      sampledRecord({ requestHeaders }),
      { customTags },
      { REGION: "north", AUTH_TOKEN: "secret" },
    );
    expect(span?.attributes.slice(-5)).toEqual([
      ["user", "ann"],
      ["tenant", "none"],
      ["cookie", "<redacted>"],
      ["region", "north"],
      ["token", "hidden"],
    ]);
  });

  it("cuts paths where the configuration says", () => {
    const record = sampledRecord({ originalPath: `/${"a".repeat(600)}` });
    const pathOf = (maxPathTagLength?: number) =>
      String(
        spansOf(record, { customTags: [], maxPathTagLength })[0]?.attributes.find(([name]) => name === "url.path")?.[1],
      );
    expect([pathOf().length, pathOf(4).length, pathOf(500).length]).toEqual([256, 4, 500]);
  });
});
