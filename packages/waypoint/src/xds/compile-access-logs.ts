/** The access logs of a chain. They guard nothing: what is not supported is noted, and logged rather too much than too little. */
import type { AccessLog } from "@ambit/envoy-api/envoy/config/accesslog/v3/accesslog";
import { type FileAccessLog, FileAccessLogSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import {
  type CommonGrpcAccessLogConfig,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from "@ambit/envoy-api/envoy/extensions/access_loggers/grpc/v3/als";
import { OpenTelemetryAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/open_telemetry/v3/logs_service";
import type { AnyValue, KeyValueList } from "@ambit/envoy-api/opentelemetry/proto/common/v1/common";
import { fromBinary, type JsonObject } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { compileAccessLog } from "../observe/access-log-format.ts";
import type { AccessLogging, AccessLogSink, AlsSink, FileSink, OtlpSink } from "../observe/model.ts";
import { compileLogFilter } from "./compile-log-filter.ts";
import { headersOf } from "./compile-observability.ts";
import type { CompileContext } from "./context.ts";
import { typeNameOf } from "./values.ts";

export const NO_ACCESS_LOG: AccessLogging = [];

/** Sinks of one chain. */
const MAX_SINKS = 8;

export function compileAccessLogs(logs: readonly AccessLog[], context: CompileContext): AccessLogging {
  if (logs.length > MAX_SINKS) context.note(`expected at most ${MAX_SINKS} access logs, got ${logs.length}`);
  return logs.slice(0, MAX_SINKS).flatMap(({ configType, filter, name }): readonly AccessLogSink[] => {
    const note = (text: string): void => context.note(`access log "${name}": ${text}`);
    const sink = configType.value && compileSink(configType.value, note);
    if (!sink) {
      note("has no effect: expected a file, OpenTelemetry or an access log service");
      return [];
    }
    return [{ ...sink, ...(filter && { filter: compileLogFilter(filter, note) }) }];
  });
}

type Note = CompileContext["note"];

function compileSink(config: Any, note: Note): FileSink | OtlpSink | AlsSink | undefined {
  switch (typeNameOf(config)) {
    case FileAccessLogSchema.typeName:
      return compileFile(fromBinary(FileAccessLogSchema, config.value));
    case HttpGrpcAccessLogConfigSchema.typeName: {
      const { commonConfig, ...more } = fromBinary(HttpGrpcAccessLogConfigSchema, config.value);
      return alsSink(commonConfig, {
        requestHeaders: lowered(more.additionalRequestHeadersToLog),
        responseHeaders: lowered(more.additionalResponseHeadersToLog),
        responseTrailers: lowered(more.additionalResponseTrailersToLog),
      });
    }
    case TcpGrpcAccessLogConfigSchema.typeName: {
      const { commonConfig } = fromBinary(TcpGrpcAccessLogConfigSchema, config.value);
      return alsSink(commonConfig, { requestHeaders: [], responseHeaders: [], responseTrailers: [] });
    }
    case OpenTelemetryAccessLogConfigSchema.typeName:
      return otlpSink(config, note);
    default:
      return undefined;
  }
}

const lowered = (names: readonly string[]): readonly string[] => names.map((name) => name.toLowerCase());

function collectorOf(config: CommonGrpcAccessLogConfig | undefined) {
  const target = config?.grpcService?.targetSpecifier;
  if (target?.case !== "envoyGrpc" || target.value.clusterName === "") return undefined;
  return {
    cluster: target.value.clusterName,
    logName: config?.logName ?? "",
    collectorHeaders: headersOf(config?.grpcService?.initialMetadata ?? []),
  };
}

function alsSink(
  config: CommonGrpcAccessLogConfig | undefined,
  headers: Pick<AlsSink, "requestHeaders" | "responseHeaders" | "responseTrailers">,
): AlsSink | undefined {
  const collector = collectorOf(config);
  return collector && { kind: "als", ...collector, ...headers };
}

function otlpSink(config: Any, note: Note): OtlpSink | undefined {
  const { commonConfig, body, attributes, resourceAttributes } = fromBinary(
    OpenTelemetryAccessLogConfigSchema,
    config.value,
  );
  const collector = collectorOf(commonConfig);
  if (!collector) return undefined;
  const format = textOf(body);
  const formats = textsOf(attributes, note).filter(([, text]) => understood(text, note));
  return {
    kind: "otlp",
    ...collector,
    body: format === undefined || !understood(format, note) ? undefined : format,
    attributes: formats,
    resource: textsOf(resourceAttributes, note),
  };
}

const textOf = (value: AnyValue | undefined): string | undefined =>
  value?.value.case === "stringValue" ? value.value.value : undefined;

function textsOf(list: KeyValueList | undefined, note: Note): readonly (readonly [string, string])[] {
  return (list?.values ?? []).flatMap(({ key, value }) => {
    const text = textOf(value);
    if (text === undefined) note(`attribute "${key}" has no effect: expected a text`);
    return text === undefined ? [] : [[key, text] as const];
  });
}

function understood(template: string, note: Note): boolean {
  const compiled = compileAccessLog({ format: "text", template });
  if (!compiled.ok) note(`a format has no effect: ${compiled.error}`);
  return compiled.ok;
}

function compileFile({ accessLogFormat: format }: FileAccessLog): FileSink {
  switch (format.case) {
    case "format":
      return textLog(format.value);
    case "jsonFormat":
    case "typedJsonFormat":
      return jsonLog(format.value);
    case "logFormat": {
      const inner = format.value.format;
      if (inner.case === "jsonFormat") return jsonLog(inner.value);
      if (inner.case === "textFormat") return textLog(inner.value);
      const source = inner.case === "textFormatSource" ? inner.value.specifier : undefined;
      return textLog(source?.case === "inlineString" ? source.value : "");
    }
    default:
      return textLog("");
  }
}

const textLog = (template: string): FileSink => ({ kind: "file", format: "text", template: template || undefined });
const jsonLog = (template: JsonObject): FileSink => ({
  kind: "file",
  format: "json",
  template: Object.keys(template).length === 0 ? undefined : JSON.stringify(template),
});
