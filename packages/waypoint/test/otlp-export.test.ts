import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { eventually } from "@ambit/testing/eventually";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "@jest/globals";
import {
  createOtlpGrpcTransport,
  createOtlpHttpTransport,
  createSpanExporter,
  createTraceExport,
  dialUrl,
  type OtlpTransport,
  type Span,
  type SpanExporterInit,
} from "../src/observe/index.ts";
import { buildRequestRecord } from "./observe-records.ts";
import { startGrpcCollector, startHttpCollector } from "./otlp-collector.ts";

const RESOURCE = [["service.name", "waypoint.shop"]] as const;
const span = (index = 0): Span => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: `${index.toString(16).padStart(15, "0")}1`,
  parentSpanId: "00f067aa0ba902b7",
  tracestate: "vendor=x",
  name: `span ${index}`,
  kind: "server",
  startEpochMs: 1_767_323_045_067.25,
  endEpochMs: 1_767_323_045_070.5,
  attributes: [
    ["text", "caf\u00e9"],
    ["number", 200],
    ["double", 0.5],
    ["bool", true],
  ],
  isError: true,
});
const spans = (count: number): Span[] => Array.from({ length: count }, (_, index) => span(index));

const http = (url: URL, timeoutMs = 20_000) =>
  createOtlpHttpTransport({ dial: dialUrl(url), authority: url.host, timeoutMs }, "/v1/traces");
const grpc = (url: URL, timeoutMs = 20_000) =>
  createOtlpGrpcTransport({ dial: dialUrl(url), authority: url.host, timeoutMs });

/** Waits until the expectations hold. */
const becomes = (check: () => void) =>
  eventually(String(check), () => {
    check();
    return true;
  });

/** Counts what an exporter says of its spans. */
function watched(transport: OtlpTransport, limits: SpanExporterInit["limits"] = {}) {
  const counts = { exported: 0, dropped: 0, reasons: [] as string[] };
  const exporter = createSpanExporter({
    transport,
    resource: RESOURCE,
    limits: { delayMs: 5, backoffBaseMs: 5, backoffCapMs: 20, ...limits },
    onExported: (count) => {
      counts.exported += count;
    },
    onDropped: (count, reason) => {
      counts.dropped += count;
      counts.reasons.push(reason);
    },
  });
  return { exporter, counts };
}

/** A listener that takes connections and says nothing, or what it is told to. */
async function startRawServer(onSocket: (socket: Socket) => void): Promise<{ server: Server; url: URL; stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    server,
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe("OTLP/HTTP", () => {
  it("posts the spans as JSON, ids in hex and 64-bit numbers as text", async () => {
    await using collector = await startHttpCollector();
    expect(await http(collector.url).send([span()], RESOURCE)).toEqual({ kind: "accepted", rejected: 0 });
    const [request] = collector.received;
    expect([request?.path, request?.contentType]).toEqual(["/v1/traces", "application/json"]);
    expect(JSON.parse(String(request?.body))).toEqual({
      resourceSpans: [
        {
          resource: { attributes: [{ key: "service.name", value: { stringValue: "waypoint.shop" } }] },
          scopeSpans: [
            {
              scope: { name: "ambit-waypoint" },
              spans: [
                {
                  traceId: "0af7651916cd43dd8448eb211c80319c",
                  spanId: "0000000000000001",
                  parentSpanId: "00f067aa0ba902b7",
                  traceState: "vendor=x",
                  flags: 0x301,
                  name: "span 0",
                  kind: 2,
                  startTimeUnixNano: "1767323045067250000",
                  endTimeUnixNano: "1767323045070500000",
                  attributes: [
                    { key: "text", value: { stringValue: "caf\u00e9" } },
                    { key: "number", value: { intValue: "200" } },
                    { key: "double", value: { doubleValue: 0.5 } },
                    { key: "bool", value: { boolValue: true } },
                  ],
                  status: { code: 2 },
                },
              ],
            },
          ],
        },
      ],
    });
  });

  it.each([
    [429, "retry"],
    [502, "retry"],
    [503, "retry"],
    [504, "retry"],
    [400, "refused"],
    [404, "refused"],
    [500, "refused"],
  ] as const)("takes %i for: %s", async (code, kind) => {
    await using collector = await startHttpCollector();
    collector.answers.push((response) => response.writeHead(code, { "retry-after": "7" }).end("no"));
    const outcome = await http(collector.url).send([span()], RESOURCE);
    expect(outcome.kind).toBe(kind);
    if (outcome.kind === "retry") expect(outcome.afterMs).toBe(7_000);
  });

  it("does not send again what the collector took in part", async () => {
    await using collector = await startHttpCollector();
    collector.answers.push((response) => response.writeHead(200).end('{"partialSuccess":{"rejectedSpans":"2"}}'));
    const { exporter, counts } = watched(http(collector.url));
    exporter.export(spans(3));
    await becomes(() => expect(counts).toEqual({ exported: 1, dropped: 2, reasons: ["rejected by the collector"] }));
    expect(collector.received).toHaveLength(1);
    await exporter.stop(1_000);
  });

  it("reads no answer without end", async () => {
    await using collector = await startHttpCollector();
    collector.answers.push((response) => {
      response.writeHead(200);
      response.on("error", () => {});
      const more = setInterval(() => response.write("x".repeat(60_000)), 1);
      response.on("close", () => clearInterval(more));
    });
    expect(await http(collector.url).send([span()], RESOURCE)).toEqual({ kind: "accepted", rejected: 0 });
  });
});

/** Fields of a protobuf message by number; nested ones as bytes. */
function fields(message: Uint8Array): Map<number, unknown[]> {
  const found = new Map<number, unknown[]>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const value =
      wireType === 2
        ? reader.bytes()
        : wireType === 1
          ? reader.fixed64()
          : wireType === 5
            ? reader.fixed32()
            : reader.int64();
    found.set(field, [...(found.get(field) ?? []), value]);
  }
  return found;
}
const inner = (message: Map<number, unknown[]>, field: number, index = 0) =>
  fields(message.get(field)?.[index] as Uint8Array);
const textOf = (message: Map<number, unknown[]>, field: number) =>
  Buffer.from(message.get(field)?.[0] as Uint8Array).toString();

describe("OTLP/gRPC", () => {
  it("calls a gRPC server with the same spans as protobuf", async () => {
    await using collector = await startGrpcCollector();
    expect(await grpc(collector.url).send([span()], RESOURCE)).toEqual({ kind: "accepted", rejected: 0 });
    const resourceSpans = inner(fields(collector.received[0] as Buffer), 1);
    const attribute = inner(inner(resourceSpans, 1), 1);
    expect([textOf(attribute, 1), textOf(inner(attribute, 2), 1)]).toEqual(["service.name", "waypoint.shop"]);
    const one = inner(inner(resourceSpans, 2), 2);
    expect(Buffer.from(one.get(1)?.[0] as Uint8Array).toString("hex")).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(Buffer.from(one.get(2)?.[0] as Uint8Array).toString("hex")).toBe("0000000000000001");
    expect([textOf(one, 3), textOf(one, 5)]).toEqual(["vendor=x", "span 0"]);
    expect([one.get(6), one.get(7), one.get(8)].flat().map(String)).toEqual([
      "2",
      "1767323045067250000",
      "1767323045070500000",
    ]);
    expect(one.get(9)).toHaveLength(4);
    expect(inner(one, 15).get(3)?.map(String)).toEqual(["2"]);
  });

  it("sends a full batch of large spans through the peer's flow control", async () => {
    await using collector = await startGrpcCollector();
    const large = spans(512).map((each) => ({ ...each, attributes: [["t", "x".repeat(1_500)]] as const }));
    expect((await grpc(collector.url).send(large, RESOURCE)).kind).toBe("accepted");
    expect(inner(inner(fields(collector.received[0] as Buffer), 1), 2).get(2)).toHaveLength(512);
  });

  it.each([
    [14, "retry"],
    [4, "retry"],
    [3, "refused"],
    [12, "refused"],
    [16, "refused"],
  ] as const)("takes status %i for: %s", async (code, kind) => {
    await using collector = await startGrpcCollector();
    collector.statuses.push(code);
    expect((await grpc(collector.url).send([span()], RESOURCE)).kind).toBe(kind);
  });

  it("reads how many spans were rejected", async () => {
    await using collector = await startGrpcCollector();
    collector.answer = Buffer.from([0x0a, 2, 0x08, 3]);
    expect(await grpc(collector.url).send([span()], RESOURCE)).toEqual({ kind: "accepted", rejected: 3 });
  });
});

describe.each([
  ["HTTP", http],
  ["gRPC", grpc],
] as const)("a collector that misbehaves, OTLP/%s", (_, transportTo) => {
  it("is tried again when it is not there", async () => {
    const { url, stop } = await startRawServer(() => {});
    stop();
    expect((await transportTo(url).send([span()], RESOURCE)).kind).toBe("retry");
  });

  it("is given up on when it says nothing", async () => {
    const { url, stop } = await startRawServer(() => {});
    expect((await transportTo(url, 100).send([span()], RESOURCE)).kind).toBe("retry");
    stop();
  });

  it.each([
    ["hangs up at once", (socket: Socket) => socket.destroy()],
    ["speaks something else", (socket: Socket) => socket.end("SSH-2.0-OpenSSH\r\n")],
    ["resets", (socket: Socket) => socket.resetAndDestroy()],
  ])("is tried again when it %s", async (__, behave) => {
    const { url, stop } = await startRawServer(behave);
    expect((await transportTo(url).send([span()], RESOURCE)).kind).toBe("retry");
    stop();
  });

  it("leaves no connection behind, even when dialling outlasts the deadline", async () => {
    const open = new Set<Socket>();
    const { url, stop } = await startRawServer((socket) => {
      open.add(socket);
      socket.resume();
      socket.on("close", () => open.delete(socket));
    });
    const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return dialUrl(url)();
    };
    const init = { dial: slow, authority: "x", timeoutMs: 20 };
    const transport = transportTo === http ? createOtlpHttpTransport(init, "/") : createOtlpGrpcTransport(init);
    expect((await transport.send([span()], RESOURCE)).kind).toBe("retry");
    await new Promise((resolve) => setTimeout(resolve, 150));
    await becomes(() => expect(open.size).toBe(0));
    stop();
  });
});

describe("createSpanExporter", () => {
  it("collects spans into batches", async () => {
    await using collector = await startHttpCollector();
    const { exporter, counts } = watched(http(collector.url), { batchSpans: 10 });
    for (let i = 0; i < 25; i++) exporter.export([span(i)]);
    await becomes(() => expect(counts.exported).toBe(25));
    expect(collector.received.length).toBeLessThanOrEqual(4);
    await exporter.stop(1_000);
  });

  it("drops the newest and counts them when the collector is away, and holds no more than its queue", async () => {
    const waiting: OtlpTransport = { send: () => new Promise(() => {}) };
    const { exporter, counts } = watched(waiting, { batchSpans: 10, queueSpans: 20 });
    for (let i = 0; i < 100; i++) exporter.export([span(i)]);
    expect(counts).toMatchObject({ exported: 0, dropped: 70 });
    expect(new Set(counts.reasons)).toEqual(new Set(["queue full"]));
    await exporter.stop(10);
    expect(counts.dropped).toBe(90);
  });

  it("sends a batch again until the collector takes it", async () => {
    await using collector = await startHttpCollector();
    for (let i = 0; i < 3; i++) collector.answers.push((response) => response.writeHead(503).end());
    const { exporter, counts } = watched(http(collector.url));
    exporter.export(spans(2));
    await becomes(() => expect(counts).toEqual({ exported: 2, dropped: 0, reasons: [] }));
    expect(collector.received).toHaveLength(4);
    await exporter.stop(1_000);
  });

  it("gives a batch up after its tries, and at once when it is refused", async () => {
    await using collector = await startHttpCollector();
    for (let i = 0; i < 5; i++) collector.answers.push((response) => response.writeHead(503).end());
    collector.answers.push((response) => response.writeHead(400).end());
    const { exporter, counts } = watched(http(collector.url));
    exporter.export(spans(2));
    await becomes(() => expect(counts.dropped).toBe(2));
    exporter.export(spans(1));
    await becomes(() => expect(counts.dropped).toBe(3));
    expect(counts.reasons).toEqual(["status 503", "status 400"]);
    expect(collector.received).toHaveLength(6);
    await exporter.stop(1_000);
  });

  it("sends what it has before it stops, and takes nothing afterwards", async () => {
    await using collector = await startHttpCollector();
    const { exporter, counts } = watched(http(collector.url), { delayMs: 60_000 });
    exporter.export(spans(3));
    await exporter.stop(20_000);
    expect(counts.exported).toBe(3);
    exporter.export(spans(1));
    expect(counts).toMatchObject({ exported: 3, dropped: 1 });
  });

  it("stops in time although the collector is away", async () => {
    const { url, stop } = await startRawServer(() => {});
    const { exporter, counts } = watched(http(url, 60_000));
    exporter.export(spans(3));
    const started = performance.now();
    await exporter.stop(50);
    expect(performance.now() - started).toBeLessThan(20_000);
    stop();
    await becomes(() => expect(counts.dropped).toBe(3));
  });
});

describe("createTraceExport", () => {
  const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", parentSpanId: undefined };
  const tracing = {
    samplePerMillion: 1_000_000,
    collectorCluster: "outbound|4317||otel.obs.svc.cluster.local",
    serviceName: "waypoint.shop",
    customTags: [],
  };

  it("sends sampled requests to the collector their chain names, and nothing else", async () => {
    await using grpcCollector = await startGrpcCollector();
    await using httpCollector = await startHttpCollector();
    const dialled: string[] = [];
    let exported = 0;
    const traces = createTraceExport({
      dial: (cluster) => {
        dialled.push(cluster);
        return dialUrl(cluster.includes("4317") ? grpcCollector.url : httpCollector.url)();
      },
      resource: [["k8s.namespace.name", "shop"]],
      onExported: (count) => {
        exported += count;
      },
      onDropped: () => {},
      limits: { delayMs: 5 },
    });
    const sampled = buildRequestRecord({ trace: { ...trace, sampled: true } });
    traces.record(sampled, tracing);
    traces.record(sampled, {
      ...tracing,
      collectorCluster: "outbound|4318||otel.obs",
      collectorHttpPath: "/v1/traces",
    });
    traces.record(sampled, { ...tracing, collectorCluster: undefined });
    traces.record(buildRequestRecord({ trace: { ...trace, sampled: false } }), tracing);
    await becomes(() => expect(exported).toBe(2));
    await traces.stop(1_000);
    expect(dialled.sort()).toEqual(["outbound|4317||otel.obs.svc.cluster.local", "outbound|4318||otel.obs"]);
    expect(grpcCollector.received).toHaveLength(1);
    expect(String(httpCollector.received[0]?.body)).toContain("k8s.namespace.name");
  });
});
