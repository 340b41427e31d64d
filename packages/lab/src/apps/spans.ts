/** Spans as OTLP carries them, reduced to what a tree needs. Both readers throw on what is no OTLP. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

export interface CollectedSpan {
  /** Hex. */
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: "server" | "client" | "other";
  readonly startMs: number;
  readonly durationMs: number;
  readonly attributes: Readonly<Record<string, string>>;
}

type Draft = { -readonly [Name in keyof CollectedSpan]: CollectedSpan[Name] };

const KINDS: Readonly<Record<number, CollectedSpan["kind"]>> = { 2: "server", 3: "client" };
const NANOS_PER_MS = 1_000_000;

/** ExportTraceServiceRequest: resource_spans = 1, in it scope_spans = 2, in that spans = 2. */
export function spansOfProtobuf(message: Uint8Array): readonly CollectedSpan[] {
  return parts(message, 1)
    .flatMap((resource) => parts(resource, 2))
    .flatMap((scope) => parts(scope, 2))
    .map(spanOf);
}

/** All length-delimited fields of that number. */
function parts(message: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  each(message, (field, reader) => {
    if (field !== wanted) return false;
    found.push(reader.bytes());
    return true;
  });
  return found;
}

/** @param read  reads the field, or says false to pass over it */
function each(message: Uint8Array, read: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!read(field, reader)) reader.skip(wireType);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const millis = (nanos: bigint | string | number): number => Number(nanos) / NANOS_PER_MS;

const emptySpan = (): Draft => ({
  traceId: "",
  spanId: "",
  parentSpanId: "",
  name: "",
  kind: "other",
  startMs: 0,
  durationMs: 0,
  attributes: {},
});

/** Span: trace_id 1, span_id 2, parent_span_id 4, name 5, kind 6, start 7, end 8, attributes 9. */
function spanOf(message: Uint8Array): CollectedSpan {
  const span = emptySpan();
  const attributes: Record<string, string> = {};
  let endMs = 0;
  const readers: Readonly<Record<number, (reader: BinaryReader) => void>> = {
    1: (reader) => (span.traceId = hex(reader.bytes())),
    2: (reader) => (span.spanId = hex(reader.bytes())),
    4: (reader) => (span.parentSpanId = hex(reader.bytes())),
    5: (reader) => (span.name = reader.string()),
    6: (reader) => (span.kind = KINDS[reader.uint32()] ?? "other"),
    7: (reader) => (span.startMs = millis(reader.fixed64())),
    8: (reader) => (endMs = millis(reader.fixed64())),
    9: (reader) => Object.assign(attributes, attributeOf(reader.bytes())),
  };
  each(message, (field, reader) => {
    readers[field]?.(reader);
    return readers[field] !== undefined;
  });
  return { ...span, durationMs: Math.max(0, endMs - span.startMs), attributes };
}

/** KeyValue: key 1, value 2; AnyValue: string 1, bool 2, int 3. Others are left empty. */
function attributeOf(message: Uint8Array): Record<string, string> {
  let key = "";
  let value = "";
  each(message, (field, reader) => {
    if (field === 1) key = reader.string();
    else if (field === 2) value = anyValueOf(reader.bytes());
    else return false;
    return true;
  });
  return { [key]: value };
}

function anyValueOf(message: Uint8Array): string {
  let value = "";
  each(message, (field, reader) => {
    if (field === 1) value = reader.string();
    else if (field === 2) value = String(reader.bool());
    else if (field === 3) value = String(reader.int64());
    else return false;
    return true;
  });
  return value;
}

interface JsonSpan {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly name?: string;
  readonly kind?: number;
  readonly startTimeUnixNano?: string;
  readonly endTimeUnixNano?: string;
  readonly attributes?: readonly { readonly key: string; readonly value?: Readonly<Record<string, unknown>> }[];
}

interface JsonRequest {
  readonly resourceSpans?: readonly { readonly scopeSpans?: readonly { readonly spans?: readonly JsonSpan[] }[] }[];
}

export function spansOfJson(text: string): readonly CollectedSpan[] {
  const request = JSON.parse(text) as JsonRequest;
  const spans = (request.resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans ?? []);
  return spans.flatMap(({ spans: inner }) => inner ?? []).map(spanOfJson);
}

function spanOfJson(span: JsonSpan): CollectedSpan {
  const startMs = millis(span.startTimeUnixNano ?? 0);
  const pairs = (span.attributes ?? []).map(({ key, value }) => [key, String(Object.values(value ?? {})[0] ?? "")]);
  return {
    traceId: span.traceId ?? "",
    spanId: span.spanId ?? "",
    parentSpanId: span.parentSpanId ?? "",
    name: span.name ?? "",
    kind: KINDS[span.kind ?? 0] ?? "other",
    startMs,
    durationMs: Math.max(0, millis(span.endTimeUnixNano ?? 0) - startMs),
    attributes: Object.fromEntries(pairs) as Record<string, string>,
  };
}
