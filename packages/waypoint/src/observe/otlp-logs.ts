/**
 * Access records as OTLP's ExportLogsServiceRequest. Pure.
 *
 * Spec: opentelemetry-proto 1.x, logs/v1/logs.proto and collector/logs/v1; field numbers are named below.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { compileAccessLog, type FormatLine } from "./access-log-format.ts";
import type { LoggedRecord, OtlpSink } from "./model.ts";
import { attributes, bytes, nanos, nested, type Resource, SCOPE, text } from "./otlp-encode.ts";

export const LOGS_METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

export type EncodeLogRecord = (record: LoggedRecord) => Uint8Array;

/** Characters of a body, and of one attribute. */
const MAX_TEXT_CHARS = 8_192;

/** A format that does not compile was noted with the configuration; its text is Istio's default here. */
function formatOf(template: string | undefined): FormatLine {
  const compiled = compileAccessLog({ format: "text", template });
  if (compiled.ok) return compiled.value;
  return formatOf(undefined);
}

const cut = (line: string): string => line.trimEnd().slice(0, MAX_TEXT_CHARS);

/** LogRecord: time 1, body 5, attributes 6, trace_id 9, span_id 10, observed time 11. */
export function compileLogRecord({
  body,
  attributes: formats,
}: Pick<OtlpSink, "body" | "attributes">): EncodeLogRecord {
  const writeBody = formatOf(body);
  const fields = formats.map(([name, format]) => [name, formatOf(format)] as const);
  return (record) => {
    const writer = new BinaryWriter();
    const startNanos = nanos(record.startedAtEpochMs);
    writer.tag(1, WireType.Bit64).fixed64(startNanos);
    nested(writer, 5, () => text(writer, 1, cut(writeBody(record))));
    attributes(
      writer,
      6,
      fields.map(([name, write]) => [name, cut(write(record))] as const),
    );
    const trace = "trace" in record ? record.trace : undefined;
    if (trace) {
      bytes(writer, 9, trace.traceId);
      bytes(writer, 10, trace.spanId);
    }
    writer.tag(11, WireType.Bit64).fixed64(nanos(record.startedAtEpochMs + record.durationMs));
    return writer.finish();
  };
}

/** ResourceLogs 1: resource 1, scope_logs 2; ScopeLogs: scope 1, log_records 2. */
export function encodeLogs(records: readonly Uint8Array[], resource: Resource): Uint8Array {
  const writer = new BinaryWriter();
  nested(writer, 1, () => {
    nested(writer, 1, () => attributes(writer, 1, resource));
    nested(writer, 2, () => {
      nested(writer, 1, () => text(writer, 1, SCOPE));
      for (const record of records) writer.tag(2, WireType.LengthDelimited).bytes(record);
    });
  });
  return writer.finish();
}
