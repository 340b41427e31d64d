import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "@jest/globals";
import { spansOfJson, spansOfProtobuf } from "./spans.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const PARENT = "b7ad6b7169203331";
const START_MS = 1_700_000_000_000;

const EXPECTED = {
  traceId: TRACE,
  spanId: SPAN,
  parentSpanId: PARENT,
  name: "GET cart",
  kind: "server",
  startMs: START_MS,
  durationMs: 12.5,
  attributes: { "http.method": "GET", "http.status_code": "200", ok: "true" },
};

type Write = (writer: BinaryWriter) => unknown;

function nested(field: number, write: Write): Write {
  return (writer) => {
    writer.tag(field, WireType.LengthDelimited).fork();
    write(writer);
    writer.join();
  };
}

const all =
  (...writes: readonly Write[]): Write =>
  (writer) => {
    for (const write of writes) write(writer);
  };
const bytes = (field: number, hex: string): Write => {
  return (writer) => writer.tag(field, WireType.LengthDelimited).bytes(Buffer.from(hex, "hex"));
};
const text = (field: number, value: string): Write => {
  return (writer) => writer.tag(field, WireType.LengthDelimited).string(value);
};
const varint = (field: number, value: number): Write => {
  return (writer) => writer.tag(field, WireType.Varint).int64(value);
};
const nanos = (field: number, ms: number): Write => {
  return (writer) => writer.tag(field, WireType.Bit64).fixed64(BigInt(ms * 1_000) * 1_000n);
};
const attribute = (key: string, value: Write): Write => nested(9, all(text(1, key), nested(2, value)));

function message(...span: readonly Write[]): Uint8Array {
  const resource = nested(1, nested(1, all(text(1, "service.name"), nested(2, text(1, "waypoint")))));
  const writer = new BinaryWriter();
  nested(1, all(resource, nested(2, all(nested(1, text(1, "scope")), nested(2, all(...span))))))(writer);
  return writer.finish();
}

const FIELDS: readonly Write[] = [
  bytes(1, TRACE),
  bytes(2, SPAN),
  text(3, "vendor=state"),
  bytes(4, PARENT),
  text(5, "GET cart"),
  varint(6, 2),
  nanos(7, START_MS),
  nanos(8, START_MS + 12.5),
  attribute("http.method", text(1, "GET")),
  attribute("http.status_code", varint(3, 200)),
  attribute("ok", varint(2, 1)),
];

describe("spans of OTLP", () => {
  it("are read from protobuf, passing over what is not asked for", () => {
    expect(spansOfProtobuf(message(...FIELDS))).toEqual([EXPECTED]);
  });

  it("are read from JSON, where numbers are texts", () => {
    const span = {
      traceId: TRACE,
      spanId: SPAN,
      parentSpanId: PARENT,
      name: "GET cart",
      kind: 2,
      startTimeUnixNano: `${START_MS}000000`,
      endTimeUnixNano: String(BigInt((START_MS + 12.5) * 1_000) * 1_000n),
      attributes: [
        { key: "http.method", value: { stringValue: "GET" } },
        { key: "http.status_code", value: { intValue: "200" } },
        { key: "ok", value: { boolValue: true } },
      ],
    };
    const request = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
    expect(spansOfJson(request)).toEqual([EXPECTED]);
  });

  it("are none in an empty request, and an error in what is no OTLP", () => {
    expect(spansOfProtobuf(new Uint8Array())).toEqual([]);
    expect(spansOfJson("{}")).toEqual([]);
    expect(() => spansOfProtobuf(Buffer.from([0x0a, 0x7f, 0x01]))).toThrow();
    expect(() => spansOfJson("no JSON")).toThrow();
  });
});
