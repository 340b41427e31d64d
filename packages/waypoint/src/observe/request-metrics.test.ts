import { parseCel } from "@ambit/shared/cel";
import { createRegistry } from "@ambit/shared/metrics";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { buildRequestRecord, buildTcpRecord, CART } from "../../test/observe-records.ts";
import { REQUEST_LABELS, requestLabels, TCP_LABELS } from "./metric-labels.ts";
import type { MetricOverride } from "./metric-overrides.ts";
import type { PeerInfo, ResponseFlag } from "./model.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { RequestRecorder, UNKNOWN_PEER } from "./request-recorder.ts";
import { flagBits, LONG_FLAGS } from "./response-flags.ts";

function setUp(maxSeries?: number) {
  let now = 0;
  const registry = createRegistry({ now: () => 0, monotonic: () => now, after: () => () => {} });
  const metrics = createRequestMetrics(registry, maxSeries);
  const lines = async (name: string) =>
    (await registry.scrape()).split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return { metrics, registry, lines, setNow: (ms: number) => (now = ms) };
}

const label = (line: string | undefined, name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line ?? "")?.[1];
const names = (line: string | undefined) => [...(line ?? "").matchAll(/[{,]([a-z_]+)="/g)].map((match) => match[1]);

describe("request metrics", () => {
  it("have Istio's labels in Istio's order", async () => {
    const { metrics, lines } = setUp();
    metrics.request(buildRequestRecord());
    const [line] = await lines("istio_requests_total");
    expect(names(line)).toEqual([...REQUEST_LABELS]);
    expect(line).toBe(
      'istio_requests_total{reporter="waypoint",source_workload="web",source_canonical_service="web",' +
        'source_canonical_revision="v1",source_workload_namespace="shop",' +
        'source_principal="spiffe://cluster.local/ns/shop/sa/web",source_app="web",source_version="v1",' +
        'source_cluster="east",destination_workload="cart-v2",destination_workload_namespace="shop",' +
        'destination_principal="spiffe://cluster.local/ns/shop/sa/cart",destination_app="cart",' +
        'destination_version="v2",destination_service="cart.shop.svc.cluster.local",' +
        'destination_canonical_service="cart",destination_canonical_revision="v2",destination_service_name="cart",' +
        'destination_service_namespace="shop",destination_cluster="west",request_protocol="http",response_code="200",' +
        'grpc_response_status="",response_flags="-",connection_security_policy="mutual_tls"} 1',
    );
  });

  it("say unknown of who is not known, latest of a source's revision, none of a source without identity", async () => {
    const { metrics, lines } = setUp();
    metrics.request(
      buildRequestRecord({ source: UNKNOWN_PEER, destination: UNKNOWN_PEER, destinationService: undefined }),
    );
    const [line] = await lines("istio_requests_total");
    expect(label(line, "source_workload")).toBe("unknown");
    expect(label(line, "source_canonical_revision")).toBe("latest");
    expect(label(line, "destination_service")).toBe("unknown");
    expect(label(line, "connection_security_policy")).toBe("none");
  });

  it("count sizes of head and body together, in Envoy's buckets", async () => {
    const { metrics, lines } = setUp();
    metrics.request(buildRequestRecord());
    expect((await lines("istio_request_bytes_sum"))[0]).toMatch(/ 110$/);
    expect((await lines("istio_response_bytes_sum"))[0]).toMatch(/ 220$/);
    expect((await lines("istio_request_duration_milliseconds_sum"))[0]).toMatch(/ 7.4$/);
    const bounds = (await lines("istio_request_duration_milliseconds_bucket")).map((line) => label(line, "le"));
    expect(bounds).toEqual(
      "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf".split(" "),
    );
  });

  it("count messages of gRPC only, and its status, with those gRPC does not know as UNKNOWN", async () => {
    const { metrics, lines } = setUp();
    metrics.request(buildRequestRecord());
    expect(await lines("istio_request_messages_total")).toEqual([]);
    metrics.request(buildRequestRecord({ isGrpc: true, grpcStatus: 5, requestMessages: 2, responseMessages: 3 }));
    metrics.request(buildRequestRecord({ isGrpc: true, grpcStatus: 999 }));
    expect((await lines("istio_request_messages_total")).map((line) => line.split(" ").at(-1))).toEqual(["2", "0"]);
    expect((await lines("istio_response_messages_total"))[0]).toMatch(/ 3$/);
    const statuses = (await lines("istio_requests_total")).map((line) => label(line, "grpc_response_status"));
    expect(statuses).toEqual(["", "5", "2"]);
  });

  it("count messages of a long stream on the way, each once", async () => {
    const { metrics, lines } = setUp();
    let now = 0;
    const recorder = new RequestRecorder({
      clock: { now: () => 0, monotonic: () => now++, after: () => () => {} },
      head: {
        version: "HTTP/2",
        method: "POST",
        scheme: "http",
        authority: "a",
        path: "/s/m",
        headers: [["content-type", "application/grpc"]],
        expectsContinue: false,
      },
      chain: "c",
      requestId: "id",
      trace: undefined,
      source: UNKNOWN_PEER,
      downstreamRemote: "",
      downstreamLocal: "",
    });
    const message = Buffer.alloc(5);
    for (let i = 0; i < 3; i++) {
      recorder.requestData(message);
      const record = recorder.progress();
      if (record) metrics.progress(record);
    }
    recorder.responseData(message);
    metrics.request(recorder.finish());
    expect(recorder.progress()).toBeUndefined();
    expect(await lines("istio_requests_total")).toHaveLength(1);
    expect((await lines("istio_requests_total"))[0]).toMatch(/ 1$/);
    expect((await lines("istio_request_messages_total"))[0]).toMatch(/ 3$/);
    expect((await lines("istio_response_messages_total"))[0]).toMatch(/ 1$/);
  });

  it("give every difference of labels its own series, whoever made the objects", async () => {
    const { metrics, lines } = setUp();
    const flagNames = Object.keys(LONG_FLAGS) as ResponseFlag[];
    const record = fc.record({
      status: fc.constantFrom(0, 200, 404, 503),
      isGrpc: fc.boolean(),
      grpcStatus: fc.constantFrom(undefined, 0, 7, 16, 17),
      flags: fc.subarray(flagNames, { maxLength: 2 }),
      destination: fc.constantFrom(CART, { ...CART }, UNKNOWN_PEER),
    });
    const expected = new Map<string, number>();
    fc.assert(
      fc.property(record, (over) => {
        const made = buildRequestRecord(over);
        metrics.request(made);
        const key = requestLabels(made).join();
        expected.set(key, (expected.get(key) ?? 0) + 1);
      }),
      { numRuns: 500 },
    );
    const counted = (await lines("istio_requests_total")).map((line) => Number(line.split(" ").at(-1)));
    expect([...counted].sort()).toEqual([...expected.values()].sort());
  });

  it("build no text for a label set that was seen", () => {
    const { metrics } = setUp();
    const record = buildRequestRecord();
    metrics.request(record);
    // The labels are read from the parties; a second request must not look at them.
    const unread = new Proxy(record.source, {
      get: (target, name: keyof PeerInfo) => {
        if (name !== "principal") throw new Error("labels were built again");
        return target[name];
      },
    });
    const second = buildRequestRecord({ source: unread });
    expect(() => metrics.request(second)).toThrow("labels were built again");
    const again = { ...record, destination: record.destination };
    for (let i = 0; i < 10; i++) metrics.request(again);
  });

  it("case 41: bound their label sets, count what finds no room, and keep class and protocol apart", async () => {
    const { metrics, lines } = setUp(10);
    for (let i = 0; i < 1_000; i++) {
      metrics.request(buildRequestRecord({ source: { ...UNKNOWN_PEER, workload: `w${i}` }, status: 200 + (i % 400) }));
    }
    const counted = await lines("istio_requests_total");
    expect(counted.length).toBeLessThanOrEqual(20);
    expect(metrics.overflowed()).toBe(990);
    const sum = counted.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
    expect(sum).toBe(1_000);
    const shared = counted.filter((line) => label(line, "source_workload") === "unknown");
    expect(shared.map((line) => label(line, "response_code")).sort()).toEqual(["200", "300", "400", "500"]);
  });

  it("forget series an hour after their last use, keep those in use, and make room", async () => {
    const { metrics, lines, setNow } = setUp(2);
    const at = (ms: number) => {
      setNow(ms);
      metrics.expire(ms);
    };
    const named = (workload: string) => buildRequestRecord({ source: { ...UNKNOWN_PEER, workload } });
    const busy = named("busy");
    metrics.request(busy);
    metrics.request(named("idle"));
    metrics.request(named("late"));
    for (let minutes = 10; minutes <= 90; minutes += 10) {
      metrics.request(busy);
      at(minutes * 60_000);
    }
    metrics.request(named("late"));
    const workloads = (await lines("istio_requests_total")).map((line) => label(line, "source_workload"));
    expect(workloads.sort()).toEqual(["busy", "late", "unknown"]);
    expect((await lines("istio_request_bytes_count")).length).toBe(3);
    expect((await lines("istio_requests_total")).find((line) => label(line, "source_workload") === "busy")).toMatch(
      / 10$/,
    );
  });

  it("count again in a new series after the old one was forgotten", async () => {
    const { metrics, lines, setNow } = setUp();
    const record = buildRequestRecord();
    metrics.request(record);
    for (const ms of [1, 4_000_000]) {
      setNow(ms);
      metrics.expire(ms);
    }
    expect(await lines("istio_requests_total")).toEqual([]);
    metrics.request(record);
    expect((await lines("istio_requests_total"))[0]).toMatch(/ 1$/);
  });
});

describe("TCP metrics", () => {
  it("count opened and bytes with the flag -, closed with the final one, every byte once", async () => {
    const { metrics, lines } = setUp();
    const meter = metrics.tcpOpened(buildTcpRecord());
    meter.flush(buildTcpRecord({ bytesFromDownstream: 5, bytesFromUpstream: 7 }));
    meter.close(buildTcpRecord({ flags: ["UC"] }));
    meter.close(buildTcpRecord({ flags: ["UC"] }));
    meter.flush(buildTcpRecord({ bytesFromDownstream: 99 }));
    const [opened] = await lines("istio_tcp_connections_opened_total");
    expect(names(opened)).toEqual([...TCP_LABELS]);
    expect(label(opened, "response_flags")).toBe("-");
    expect(label(opened, "request_protocol")).toBe("tcp");
    const closed = (await lines("istio_tcp_connections_closed_total")).filter((line) => line.endsWith(" 1"));
    expect(closed.map((line) => label(line, "response_flags"))).toEqual(["UC"]);
    const bytes = async (name: string) => (await lines(name)).map((line) => line.split(" ").at(-1));
    expect(await bytes("istio_tcp_received_bytes_total")).toEqual(["11", "0"]);
    expect(await bytes("istio_tcp_sent_bytes_total")).toEqual(["22", "0"]);
  });
});

describe("overridden metrics", () => {
  const expression = (text: string) => {
    const parsed = parseCel(text);
    if (!parsed.ok) throw new Error(parsed.error);
    return parsed.value;
  };
  const override = (over: Partial<MetricOverride>): MetricOverride => ({
    drop: false,
    remove: [],
    dimensions: [],
    ...over,
  });
  const values = (lines: readonly string[]) => lines.map((line) => line.split(" ").at(-1));

  it("have other labels, further ones, or none, and leave other chains alone", async () => {
    const { metrics, lines } = setUp();
    const overrides = {
      requests_total: override({
        remove: ["source_app", "never_there"],
        dimensions: [
          { name: "request_protocol", value: expression("request.protocol") },
          { name: "big", value: expression("request.size > 5 ? 'yes' : 'no'") },
          { name: "referer", value: expression("request.referer") },
        ],
      }),
      response_bytes: override({ drop: true }),
    };
    metrics.request(buildRequestRecord());
    metrics.request(buildRequestRecord(), overrides);
    metrics.request(buildRequestRecord({ requestBytes: 1 }), overrides);
    const [plain, big, small] = await lines("istio_requests_total");
    expect(names(plain)).toEqual([...REQUEST_LABELS]);
    expect([
      label(big, "source_app"),
      label(big, "request_protocol"),
      label(big, "big"),
      label(big, "referer"),
    ]).toEqual(["", "HTTP/1.1", "yes", "unknown"]);
    expect(label(small, "big")).toBe("no");
    expect(values(await lines("istio_response_bytes_count"))).toEqual(["1"]);
    // The same labels are the same series, whichever way they were found.
    expect(values(await lines("istio_request_bytes_count"))).toEqual(["3"]);
  });

  it("are bounded apart from the others", async () => {
    const { metrics, lines } = setUp();
    const dimensions = [{ name: "path", value: expression("request.path") }];
    for (let i = 0; i < 2_100; i++) {
      metrics.request(buildRequestRecord({ path: `/${i}` }), { requests_total: override({ dimensions }) });
    }
    const counted = await lines("istio_requests_total");
    expect(counted).toHaveLength(2_001);
    expect(values(counted).at(-1)).toBe("100");
    expect(metrics.overflowed()).toBe(100);
    metrics.request(buildRequestRecord());
    expect(await lines("istio_requests_total")).toHaveLength(2_002);
  });

  it("of long streams and of connections count each message and byte once", async () => {
    const { metrics, lines } = setUp();
    const remove = override({ remove: ["source_principal"] });
    const overrides = {
      request_messages_total: remove,
      tcp_connections_opened_total: remove,
      tcp_received_bytes_total: remove,
      tcp_sent_bytes_total: override({ drop: true }),
    };
    metrics.progress(buildRequestRecord({ isGrpc: true, requestMessages: 2 }), overrides);
    const messagesCounted = { request: 2, response: 0 };
    metrics.request(buildRequestRecord({ isGrpc: true, requestMessages: 3, messagesCounted }), overrides);
    expect(values(await lines("istio_request_messages_total"))).toEqual(["3"]);
    const meter = metrics.tcpOpened(buildTcpRecord(), overrides);
    meter.flush(buildTcpRecord({ bytesFromDownstream: 5 }));
    meter.close(buildTcpRecord({ bytesFromDownstream: 7 }));
    const [opened] = await lines("istio_tcp_connections_opened_total");
    expect(label(opened, "source_principal")).toBe("");
    expect(values(await lines("istio_tcp_received_bytes_total"))).toEqual(["7"]);
    expect(await lines("istio_tcp_sent_bytes_total")).toEqual([]);
    expect(values(await lines("istio_tcp_connections_closed_total"))).toEqual(["1"]);
  });
});

describe("flagBits", () => {
  it("is the same number exactly for the same set", () => {
    const flags = fc.subarray(Object.keys(LONG_FLAGS) as ResponseFlag[]);
    fc.assert(
      fc.property(flags, flags, (a, b) => {
        expect(flagBits(a) === flagBits(b)).toBe([...a].sort().join() === [...b].sort().join());
        expect(flagBits(a)).toBeLessThan(2 ** 24);
      }),
    );
  });
});
