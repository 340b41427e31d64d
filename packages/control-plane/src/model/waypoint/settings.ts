/** Access logs, tracing and path normalisation of a chain, from MeshConfig and Telemetry. */
import type { AccessLogSchema } from "@ambit/envoy-api/envoy/config/accesslog/v3/accesslog";
import { HeaderValueOption_HeaderAppendAction as Append } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import { FileAccessLogSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import {
  type HttpConnectionManager_TracingSchema,
  HttpConnectionManager_PathWithEscapedSlashesAction as SlashesAction,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { type KubeObject, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import type { JsonObject } from "@bufbuild/protobuf";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { HttpSettings, TcpChainInit } from "./filter-chain.ts";
import type { MeshConfigFact } from "./mesh-config.ts";
import { statsConfig } from "./metric-overrides.ts";
import { type PolicySubject, policiesFor } from "./policies/attached.ts";
import { meshConfigOf, providerTarget } from "./policies/guards-of.ts";
import { duration, filter, type Init } from "./proto.ts";
import { headerOptions } from "./routes/header-changes.ts";
import { milliseconds } from "./time.ts";

type Fields = Readonly<Record<string, unknown>>;
type AccessLogInit = Init<typeof AccessLogSchema>;
type TracingInit = Init<typeof HttpConnectionManager_TracingSchema>;

export interface ChainSettings {
  readonly http: HttpSettings;
  readonly tcp: NonNullable<TcpChainInit["settings"]>;
  /** Configuration of `istio.stats`; undefined where nothing is overridden. */
  readonly stats?: JsonObject | undefined;
  /** Clusters that spans are sent to. */
  readonly subUnits: readonly string[];
}

/** Name of the provider that needs no definition: standard output. */
const BUILT_IN_LOGGER = "envoy";
const STANDARD_OUTPUT = "/dev/stdout";
/** Percent, where nobody says otherwise. */
const DEFAULT_SAMPLING = 1;

export function settingsOf(reader: FactReader, subject: PolicySubject, mesh: MeshSettings): ChainSettings {
  const config = meshConfigOf(reader);
  const telemetries = telemetriesFor(reader, subject, mesh);
  const accessLog = accessLogs(config, telemetries);
  const tracing = tracingOf(reader, subject, mesh, telemetries);
  return {
    http: { ...normalization(config), accessLog: [...accessLog], ...(tracing.config && { tracing: tracing.config }) },
    tcp: { accessLog: [...accessLog] },
    stats: statsConfig(telemetries, config),
    subUnits: tracing.subUnits,
  };
}

/** Most specific first: what is attached, then the waypoint's namespace, then the root namespace. */
function telemetriesFor(reader: FactReader, subject: PolicySubject, mesh: MeshSettings): readonly KubeObject[] {
  const namespace = subject.gateway.split("/")[0] ?? "";
  return [
    ...policiesFor(reader, "Telemetry", subject, mesh),
    ...reader.read(fact.telemetryOf(namespace)),
    ...(namespace === mesh.rootNamespace ? [] : reader.read(fact.telemetryOf(mesh.rootNamespace))),
  ];
}

const firstWith = (telemetries: readonly KubeObject[], field: string): Fields | undefined =>
  telemetries.flatMap(({ spec }) => recordsAt(spec, field))[0];

const providerNames = (fields: Fields | undefined): readonly string[] =>
  recordsAt(fields, "providers").map((each) => textAt(each, "name"));

function accessLogs(config: MeshConfigFact, telemetries: readonly KubeObject[]): readonly AccessLogInit[] {
  const asked = firstWith(telemetries, "accessLogging");
  if (asked?.["disabled"] === true) return [];
  const named = providerNames(asked);
  const names = named.length > 0 ? named : asked ? [BUILT_IN_LOGGER] : config.defaultAccessLoggers;
  if (names.length === 0) return config.accessLogFile === "" ? [] : [fileLog(config.accessLogFile, meshFormat(config))];
  return names.flatMap((name): readonly AccessLogInit[] => {
    const file = recordAt(config.providers[name], "envoyFileAccessLog");
    const path = textAt(file, "path");
    if (path !== "") return [fileLog(path, providerFormat(recordAt(file, "logFormat")))];
    return name === BUILT_IN_LOGGER ? [fileLog(config.accessLogFile || STANDARD_OUTPUT, meshFormat(config))] : [];
  });
}

type Format = NonNullable<Init<typeof FileAccessLogSchema>["accessLogFormat"]>;

/** Undefined: the proxy's own format. */
function meshFormat({ accessLogFormat, accessLogEncoding }: MeshConfigFact): Format | undefined {
  if (accessLogEncoding === "TEXT") return accessLogFormat === "" ? undefined : textFormat(accessLogFormat);
  try {
    const parsed = JSON.parse(accessLogFormat || "{}") as unknown;
    return jsonFormat(recordAt({ parsed }, "parsed"));
  } catch {
    return jsonFormat({});
  }
}

function providerFormat(format: Fields): Format | undefined {
  const text = textAt(format, "text");
  if (text !== "") return textFormat(text);
  return format["labels"] === undefined ? undefined : jsonFormat(recordAt(format, "labels"));
}

const textFormat = (text: string): Format => ({
  case: "logFormat",
  value: {
    format: {
      case: "textFormatSource",
      value: { specifier: { case: "inlineString", value: text.endsWith("\n") ? text : `${text}\n` } },
    },
  },
});

const jsonFormat = (labels: Fields): Format => ({
  case: "logFormat",
  value: { format: { case: "jsonFormat", value: labels as JsonObject } },
});

const fileLog = (path: string, accessLogFormat: Format | undefined): AccessLogInit =>
  filter("envoy.access_loggers.file", FileAccessLogSchema, { path, ...(accessLogFormat && { accessLogFormat }) });

function tracingOf(
  reader: FactReader,
  subject: PolicySubject,
  mesh: MeshSettings,
  telemetries: readonly KubeObject[],
): { readonly config?: TracingInit; readonly subUnits: readonly string[] } {
  const config = meshConfigOf(reader);
  const asked = firstWith(telemetries, "tracing");
  if (asked?.["disableSpanReporting"] === true) return { subUnits: [] };
  const named = providerNames(asked);
  const [name] = named.length > 0 ? named : config.defaultTracers;
  const provider = name === undefined ? undefined : config.providers[name];
  const collector = recordAt(provider, "opentelemetry");
  if (!provider || Object.keys(collector).length === 0) return { subUnits: [] };
  const context = { reader, mesh, gateway: subject.gateway, protocol: "http" as const };
  const target = providerTarget(context, collector);
  if (!target) return { subUnits: [] };
  const sampling = asked?.["randomSamplingPercentage"];
  const percent = typeof sampling === "number" ? Math.min(100, Math.max(0, sampling)) : DEFAULT_SAMPLING;
  return {
    config: tracing(percent, collectorService(collector, target), serviceName(subject)),
    subUnits: target.subUnits,
  };
}

const tracing = (percent: number, collector: CollectorService, serviceName: string): TracingInit => ({
  clientSampling: { value: 100 },
  randomSampling: { value: percent },
  overallSampling: { value: 100 },
  provider: filter("envoy.tracers.opentelemetry", OpenTelemetryConfigSchema, { serviceName, ...collector }),
});

type CollectorService = Pick<Init<typeof OpenTelemetryConfigSchema>, "grpcService" | "httpService">;

/** OTLP/HTTP where the provider has `http`, OTLP/gRPC otherwise. Spec: Istio OpenTelemetryTracingProvider */
function collectorService(
  collector: Fields,
  target: { readonly cluster: string; readonly authority: string },
): CollectorService {
  const { cluster, authority } = target;
  if (collector["http"] === undefined) {
    return {
      grpcService: {
        targetSpecifier: { case: "envoyGrpc", value: { clusterName: cluster, authority } },
        timeout: duration(COLLECTOR_TIMEOUT_MS.grpc),
      },
    };
  }
  const http = recordAt(collector, "http");
  const path = textAt(http, "path");
  return {
    httpService: {
      httpUri: {
        uri: `http://${authority}${path.startsWith("/") ? path : `/${path}`}`,
        httpUpstreamType: { case: "cluster", value: cluster },
        timeout: duration(milliseconds(http["timeout"]) || COLLECTOR_TIMEOUT_MS.http),
      },
      requestHeadersToAdd: headerOptions(http, "headers", Append.OVERWRITE_IF_EXISTS_OR_ADD),
    },
  };
}

const COLLECTOR_TIMEOUT_MS = { grpc: 1_000, http: 10_000 } as const;

/** As istio-agent calls a proxy: by its workload and namespace. */
function serviceName({ gateway }: PolicySubject): string {
  const [namespace = "", name = ""] = gateway.split("/");
  return `${name}.${namespace}`;
}

function normalization({ pathNormalization }: MeshConfigFact): HttpSettings {
  const decodes = pathNormalization === "DECODE_AND_MERGE_SLASHES";
  return {
    normalizePath: pathNormalization !== "NONE",
    ...((decodes || pathNormalization === "MERGE_SLASHES") && { mergeSlashes: true }),
    ...(decodes && { pathWithEscapedSlashesAction: SlashesAction.UNESCAPE_AND_FORWARD }),
  };
}
