/**
 * Spans as OTLP's ExportTraceServiceRequest: protobuf for gRPC, JSON for HTTP. Pure.
 *
 * Spec: opentelemetry-proto 1.x, trace/v1/trace.proto and collector/trace/v1; field numbers are named below.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Attribute, Span } from "./spans.ts";

/** Attributes of the process that made the spans; `service.name` at least. */
export type Resource = readonly Attribute[];

export const SCOPE = "ambit-waypoint";
const KIND = { server: 2, client: 3 } as const;
const STATUS_ERROR = 2;
/** Bits 8 and 9 of Span.flags: whether the parent is remote is known, and it is. */
const FLAGS_REMOTE_PARENT = 0x300;
const FLAGS_LOCAL_PARENT = 0x100;

const flagsOf = (span: Span): number =>
  1 | (span.kind === "server" && span.parentSpanId !== undefined ? FLAGS_REMOTE_PARENT : FLAGS_LOCAL_PARENT);

/** Nanoseconds of a time in ms; whole microseconds, which is what a double has room for. */
export const nanos = (ms: number): bigint => BigInt(Math.round(ms * 1000)) * 1000n;

/** `application/json` of OTLP/HTTP: ids in hex, 64-bit numbers as text. */
export function encodeOtlpJson(spans: readonly Span[], resource: Resource): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: resource.map(jsonAttribute) },
        scopeSpans: [{ scope: { name: SCOPE }, spans: spans.map(jsonSpan) }],
      },
    ],
  });
}

function jsonSpan(span: Span) {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === undefined ? {} : { parentSpanId: span.parentSpanId }),
    ...(span.tracestate === undefined ? {} : { traceState: span.tracestate }),
    flags: flagsOf(span),
    name: span.name,
    kind: KIND[span.kind],
    startTimeUnixNano: String(nanos(span.startEpochMs)),
    endTimeUnixNano: String(nanos(span.endEpochMs)),
    attributes: span.attributes.map(jsonAttribute),
    status: span.isError ? { code: STATUS_ERROR } : {},
  };
}

const jsonAttribute = ([key, value]: Attribute) => ({ key, value: jsonValue(value) });

function jsonValue(value: string | number | boolean) {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** The same as protobuf. */
export function encodeOtlpProtobuf(spans: readonly Span[], resource: Resource): Uint8Array {
  const writer = new BinaryWriter();
  nested(writer, 1, () => {
    // ResourceSpans: resource = 1, scope_spans = 2
    nested(writer, 1, () => attributes(writer, 1, resource));
    nested(writer, 2, () => {
      // ScopeSpans: scope = 1, spans = 2
      nested(writer, 1, () => text(writer, 1, SCOPE));
      for (const span of spans) nested(writer, 2, () => protobufSpan(writer, span));
    });
  });
  return writer.finish();
}

/** trace_id 1, span_id 2, trace_state 3, parent_span_id 4, name 5, kind 6, start 7, end 8, attributes 9, status 15, flags 16. */
function protobufSpan(writer: BinaryWriter, span: Span): void {
  bytes(writer, 1, span.traceId);
  bytes(writer, 2, span.spanId);
  if (span.tracestate !== undefined) text(writer, 3, span.tracestate);
  if (span.parentSpanId !== undefined) bytes(writer, 4, span.parentSpanId);
  text(writer, 5, span.name);
  writer.tag(6, WireType.Varint).uint32(KIND[span.kind]);
  writer.tag(7, WireType.Bit64).fixed64(nanos(span.startEpochMs));
  writer.tag(8, WireType.Bit64).fixed64(nanos(span.endEpochMs));
  attributes(writer, 9, span.attributes);
  if (span.isError) nested(writer, 15, () => writer.tag(3, WireType.Varint).uint32(STATUS_ERROR));
  writer.tag(16, WireType.Bit32).fixed32(flagsOf(span));
}

/** KeyValue: key 1, value 2; AnyValue: string 1, bool 2, int 3, double 4. */
export function attributes(writer: BinaryWriter, field: number, list: readonly Attribute[]): void {
  for (const [key, value] of list) {
    nested(writer, field, () => {
      text(writer, 1, key);
      nested(writer, 2, () => anyValue(writer, value));
    });
  }
}

function anyValue(writer: BinaryWriter, value: string | number | boolean): void {
  if (typeof value === "string") text(writer, 1, value);
  else if (typeof value === "boolean") writer.tag(2, WireType.Varint).bool(value);
  else if (Number.isSafeInteger(value)) writer.tag(3, WireType.Varint).int64(value);
  else writer.tag(4, WireType.Bit64).double(value);
}

export const text = (writer: BinaryWriter, field: number, value: string) =>
  // A lone surrogate would make the whole batch unreadable.
  writer.tag(field, WireType.LengthDelimited).string(value.toWellFormed());
export const bytes = (writer: BinaryWriter, field: number, hex: string) =>
  writer.tag(field, WireType.LengthDelimited).bytes(Buffer.from(hex, "hex"));

export function nested(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

/** Spans that the collector says it dropped, of an ExportTraceServiceResponse (partial_success 1, rejected_spans 1). Total. */
export function readRejectedProtobuf(message: Uint8Array): number {
  try {
    const inner = fieldOf(message, 1, (reader) => reader.bytes());
    return inner === undefined ? 0 : Number(fieldOf(inner, 1, (reader) => reader.int64()) ?? 0);
  } catch {
    return 0;
  }
}

function fieldOf<T>(message: Uint8Array, wanted: number, read: (reader: BinaryReader) => T): T | undefined {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted) return read(reader);
    reader.skip(wireType);
  }
  return undefined;
}

/** The same of a JSON answer. Total. */
export function readRejectedJson(body: string): number {
  try {
    const rejected: unknown = JSON.parse(body)?.partialSuccess?.rejectedSpans;
    const count = Number(rejected ?? 0);
    return Number.isSafeInteger(count) && count > 0 ? count : 0;
  } catch {
    return 0;
  }
}
