/** Access logs, tracing and metrics of a chain. None of it guards anything: what is not supported is noted. */
import type { AccessLog } from "@ambit/envoy-api/envoy/config/accesslog/v3/accesslog";
import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import { type FileAccessLog, FileAccessLogSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import type { HttpConnectionManager_Tracing as TracingMessage } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { fromBinary, type JsonObject } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { AccessLogging, Tracing } from "../observe/model.ts";
import type { CompileContext } from "./context.ts";
import { typeNameOf } from "./values.ts";

export const NO_ACCESS_LOG: AccessLogging = { enabled: false, format: "text", template: undefined };

/** The first access log that is a file: there is one output, whatever the path says. */
export function compileAccessLog(logs: readonly AccessLog[], context: CompileContext): AccessLogging {
  for (const { configType, filter, name } of logs) {
    const config = configType.value;
    if (config === undefined || typeNameOf(config) !== FileAccessLogSchema.typeName) {
      context.note(`access log "${name}" has no effect: only files (standard output) are supported`);
      continue;
    }
    if (filter) context.note(`the filter of access log "${name}" has no effect: everything is logged`);
    return compileFile(fromBinary(FileAccessLogSchema, config.value));
  }
  return NO_ACCESS_LOG;
}

function compileFile({ accessLogFormat: format }: FileAccessLog): AccessLogging {
  switch (format.case) {
    case "format":
      return textLog(format.value);
    case "jsonFormat":
    case "typedJsonFormat":
      return jsonLog(format.value);
    case "logFormat": {
      const inner = format.value.format;
      if (inner.case === "jsonFormat") return jsonLog(inner.value);
      return textLog(inner.case === "textFormat" ? inner.value : "");
    }
    default:
      return textLog("");
  }
}

const textLog = (template: string): AccessLogging => ({
  enabled: true,
  format: "text",
  template: template || undefined,
});
const jsonLog = (template: JsonObject): AccessLogging => ({
  enabled: true,
  format: "json",
  template: Object.keys(template).length === 0 ? undefined : JSON.stringify(template),
});

/** @param defaultName  of the service, where the configuration has none */
export function compileTracing(
  message: TracingMessage | undefined,
  defaultName: string,
  context: CompileContext,
): Tracing | undefined {
  if (message === undefined) return undefined;
  const random = message.randomSampling?.value ?? 100;
  const overall = message.overallSampling?.value ?? 100;
  const share = Math.min(Math.max(random, 0), Math.max(overall, 0), 100);
  const exporter = compileExporter(message.provider?.configType.value, context);
  return {
    samplePerMillion: Math.round(share * 10_000),
    ...exporter,
    serviceName: exporter.serviceName || defaultName,
    customTags: message.customTags.flatMap(({ tag, type }) => {
      if (type.case === "literal") return [{ name: tag, value: type.value.value }];
      if (type.case === "environment") return [{ name: tag, value: type.value.defaultValue }];
      context.note(`trace tag "${tag}" has no effect: only literal ones are supported`);
      return [];
    }),
  };
}

function compileExporter(
  config: Any | undefined,
  context: CompileContext,
): Pick<Tracing, "collectorCluster" | "collectorHttpPath" | "serviceName"> {
  if (config === undefined) return { collectorCluster: undefined, serviceName: "" };
  if (typeNameOf(config) !== OpenTelemetryConfigSchema.typeName) {
    context.note(`tracer ${typeNameOf(config)} has no effect: spans are passed on, not exported`);
    return { collectorCluster: undefined, serviceName: "" };
  }
  const { grpcService, httpService, serviceName } = fromBinary(OpenTelemetryConfigSchema, config.value);
  const target = grpcService?.targetSpecifier;
  if (target?.case === "envoyGrpc") return { collectorCluster: target.value.clusterName, serviceName };
  const upstream = httpService?.httpUri?.httpUpstreamType;
  if (upstream?.case !== "cluster") return { collectorCluster: undefined, serviceName };
  if (httpService?.requestHeadersToAdd.length) context.note("headers of an OTLP/HTTP collector have no effect");
  return { collectorCluster: upstream.value, collectorHttpPath: pathOf(httpService?.httpUri?.uri ?? ""), serviceName };
}

/** As Envoy takes a URI apart: what follows the host, which may be missing, and the scheme, which may be as well. */
function pathOf(uri: string): string {
  const rest = uri.replace(/^https?:\/\//, "");
  const slash = rest.indexOf("/");
  return slash < 0 ? "/" : rest.slice(slash).replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
