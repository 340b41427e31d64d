/** Tracing of a chain. It guards nothing: what is not supported is noted. */
import type { HeaderValue } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import type { HttpConnectionManager_Tracing as TracingMessage } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { CustomTag as CustomTagMessage } from "@ambit/envoy-api/envoy/type/tracing/v3/custom_tag";
import type { HeaderList } from "@ambit/shared/http2";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { CustomTag, Tracing } from "../observe/model.ts";
import type { CompileContext } from "./context.ts";
import { typeNameOf } from "./values.ts";

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
    customTags: message.customTags.flatMap((tag) => compileTag(tag, context)),
    ...(message.maxPathTagLength !== undefined && {
      maxPathTagLength: Math.min(message.maxPathTagLength, MAX_PATH_TAG),
    }),
  };
}

/** More would be a request's head in every span. */
const MAX_PATH_TAG = 4_096;

function compileTag({ tag: name, type }: CustomTagMessage, context: CompileContext): readonly CustomTag[] {
  switch (type.case) {
    case "literal":
      return [{ name, value: type.value.value }];
    case "environment":
      return [{ name, value: type.value.defaultValue, from: { kind: "environment", name: type.value.name } }];
    case "requestHeader":
      return [{ name, value: type.value.defaultValue, from: { kind: "header", name: type.value.name.toLowerCase() } }];
    default:
      context.note(`trace tag "${name}" has no effect: expected a literal, an environment variable or a header`);
      return [];
  }
}

function compileExporter(
  config: Any | undefined,
  context: CompileContext,
): Pick<Tracing, "collectorCluster" | "collectorHttpPath" | "collectorHeaders" | "serviceName"> {
  if (config === undefined) return { collectorCluster: undefined, serviceName: "" };
  if (typeNameOf(config) !== OpenTelemetryConfigSchema.typeName) {
    context.note(`tracer ${typeNameOf(config)} has no effect: spans are passed on, not exported`);
    return { collectorCluster: undefined, serviceName: "" };
  }
  const { grpcService, httpService, serviceName } = fromBinary(OpenTelemetryConfigSchema, config.value);
  const target = grpcService?.targetSpecifier;
  if (target?.case === "envoyGrpc") {
    const headers = headersOf(grpcService?.initialMetadata ?? []);
    return { collectorCluster: target.value.clusterName, ...withHeaders(headers), serviceName };
  }
  const upstream = httpService?.httpUri?.httpUpstreamType;
  if (upstream?.case !== "cluster") return { collectorCluster: undefined, serviceName };
  const headers = headersOf((httpService?.requestHeadersToAdd ?? []).flatMap(({ header }) => header ?? []));
  const collectorHttpPath = pathOf(httpService?.httpUri?.uri ?? "");
  return { collectorCluster: upstream.value, collectorHttpPath, ...withHeaders(headers), serviceName };
}

const withHeaders = (headers: HeaderList) => (headers.length === 0 ? {} : { collectorHeaders: headers });

/** Values are what the configuration says; of Envoy's commands only the percent sign is one here. */
export const headersOf = (headers: readonly HeaderValue[]): HeaderList =>
  headers
    .filter(({ key, value }) => /^[!#$%&'*+.^_`|~\w-]{1,256}$/.test(key) && !/[\r\n\0]/.test(value))
    .map(({ key, value }) => [key.toLowerCase(), value.replaceAll("%%", "%")] as const);

/** As Envoy takes a URI apart: what follows the host, which may be missing, and the scheme, which may be as well. */
function pathOf(uri: string): string {
  const rest = uri.replace(/^https?:\/\//, "");
  const slash = rest.indexOf("/");
  return slash < 0 ? "/" : rest.slice(slash).replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
