/**
 * Access logs of a chain, from MeshConfig and Telemetry.
 *
 * Spec: Istio Telemetry `accessLogging`, MeshConfig `accessLogFile` and `extensionProviders`.
 */
import type { AccessLogSchema } from "@ambit/envoy-api/envoy/config/accesslog/v3/accesslog";
import { ApiVersion } from "@ambit/envoy-api/envoy/config/core/v3/config_source";
import { FileAccessLogSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import { ExpressionFilterSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/filters/cel/v3/cel";
import {
  type CommonGrpcAccessLogConfigSchema,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from "@ambit/envoy-api/envoy/extensions/access_loggers/grpc/v3/als";
import { OpenTelemetryAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/open_telemetry/v3/logs_service";
import { parseCel } from "@ambit/shared/cel";
import { isRecord, type KubeObject, recordAt, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import type { JsonObject } from "@bufbuild/protobuf";
import type { MeshConfigFact } from "./mesh-config.ts";
import { extension, filter, type Init } from "./proto.ts";

type Fields = Readonly<Record<string, unknown>>;
export type AccessLogInit = Init<typeof AccessLogSchema>;

export interface AccessLogs {
  readonly http: readonly AccessLogInit[];
  readonly tcp: readonly AccessLogInit[];
  /** Clusters that records are sent to. */
  readonly subUnits: readonly string[];
}

/** The cluster of a provider's service; undefined when there is none. */
export type FindTarget = (
  settings: Fields,
) => { readonly cluster: string; readonly authority: string; readonly subUnits: readonly string[] } | undefined;

/** Name of the provider that needs no definition: standard output. */
const BUILT_IN_LOGGER = "envoy";
const STANDARD_OUTPUT = "/dev/stdout";
/** A file, whatever MeshConfig calls its providers. */
const MESH_FILE = "";

/** Logger by name; its expression, where it has one. */
type Loggers = ReadonlyMap<string, string | undefined>;

/** @param telemetries  most specific first */
export function accessLogs(
  config: MeshConfigFact,
  telemetries: readonly KubeObject[],
  findTarget: FindTarget,
): AccessLogs {
  const http: AccessLogInit[] = [];
  const tcp: AccessLogInit[] = [];
  const subUnits = new Set<string>();
  for (const [name, expression] of loggersOf(config, telemetries)) {
    const made = sinksOf(name, config, (settings) => {
      const target = findTarget(settings);
      for (const unit of target?.subUnits ?? []) subUnits.add(unit);
      return target;
    });
    const filtered = expressionFilter(expression);
    http.push(...made.http.map((each) => ({ ...each, ...filtered })));
    tcp.push(...made.tcp.map((each) => ({ ...each, ...filtered })));
  }
  return { http, tcp, subUnits: [...subUnits].sort() };
}

/** What of an object's access logs has no effect, by field. */
export function accessLogProblems(telemetry: KubeObject, config: MeshConfigFact, findTarget: FindTarget): string[] {
  return recordsAt(telemetry.spec, "accessLogging").flatMap((entry, index) => {
    const at = `spec.accessLogging[${index}]`;
    const expression = textAt(recordAt(entry, "filter"), "expression");
    const parsed = expression === "" ? undefined : parseCel(expression, "bool");
    const ofFilter = parsed && !parsed.ok ? [`${at}.filter.expression: has no effect; ${parsed.error}`] : [];
    const ofProviders = namesIn(entry).flatMap((name) => {
      const problem = providerProblem(name, config, findTarget);
      return problem === undefined ? [] : [`${at}.providers: ${name} has no effect; ${problem}`];
    });
    return [...ofFilter, ...ofProviders];
  });
}

function providerProblem(name: string, config: MeshConfigFact, findTarget: FindTarget): string | undefined {
  const provider = config.providers[name];
  if (provider === undefined) return name === BUILT_IN_LOGGER ? undefined : "no such extension provider";
  const [kind, settings] = remoteKind(provider);
  if (kind === undefined) {
    return provider["envoyFileAccessLog"] === undefined ? "expected a provider of access logs" : undefined;
  }
  return findTarget(settings) ? undefined : `${kind}.service: there is no such service or port`;
}

const namesIn = (entry: Fields): readonly string[] =>
  recordsAt(entry, "providers")
    .map((each) => textAt(each, "name"))
    .filter((name) => name !== "");

/** Less specific objects first: each may name loggers, filter those that are there, or turn some off. */
function loggersOf(config: MeshConfigFact, telemetries: readonly KubeObject[]): Loggers {
  const { defaultAccessLoggers, accessLogFile } = config;
  const inherited = defaultAccessLoggers.length > 0 ? defaultAccessLoggers : accessLogFile === "" ? [] : [MESH_FILE];
  let loggers: Loggers = new Map(inherited.map((name) => [name, undefined]));
  for (const telemetry of telemetries.toReversed()) {
    const entries = recordsAt(telemetry.spec, "accessLogging").filter(
      (entry) => textAt(recordAt(entry, "match"), "mode") !== "CLIENT",
    );
    if (entries.length > 0) loggers = appliedTo(loggers, entries);
  }
  return loggers;
}

function appliedTo(before: Loggers, entries: readonly Fields[]): Loggers {
  // Naming loggers replaces what was inherited; an entry without names is about the loggers that there are.
  const names = entries.flatMap((entry) => (entry["disabled"] === true ? [] : namesIn(entry)));
  const after = new Map(names.length > 0 ? names.map((name) => [name, undefined] as const) : before);
  const isWanted = entries.some((entry) => entry["disabled"] !== true);
  if (after.size === 0 && isWanted) after.set(BUILT_IN_LOGGER, undefined);
  for (const entry of entries) {
    const own = namesIn(entry);
    const about = own.length > 0 ? own : [...after.keys()];
    if (entry["disabled"] === true) for (const name of about) after.delete(name);
    else setExpression(after, about, textAt(recordAt(entry, "filter"), "expression"));
  }
  return after;
}

function setExpression(loggers: Map<string, string | undefined>, names: readonly string[], expression: string): void {
  for (const name of names) if (expression !== "" || !loggers.has(name)) loggers.set(name, expression || undefined);
}

/** One that is not understood keeps nothing back: too much is logged rather than too little. */
function expressionFilter(expression: string | undefined): Pick<AccessLogInit, "filter"> {
  if (expression === undefined || !parseCel(expression, "bool").ok) return {};
  const config = extension("envoy.access_loggers.extension_filters.cel", ExpressionFilterSchema, { expression });
  return {
    filter: {
      filterSpecifier: {
        case: "extensionFilter",
        value: { name: config.name, configType: { case: "typedConfig", value: config.typedConfig } },
      },
    },
  };
}

type Sinks = Pick<AccessLogs, "http" | "tcp">;
const NONE: Sinks = { http: [], tcp: [] };
const both = (sink: AccessLogInit): Sinks => ({ http: [sink], tcp: [sink] });

function sinksOf(name: string, config: MeshConfigFact, findTarget: FindTarget): Sinks {
  if (name === MESH_FILE) return both(fileLog(config.accessLogFile, meshFormat(config)));
  const provider = config.providers[name];
  const file = recordAt(provider, "envoyFileAccessLog");
  const path = textAt(file, "path");
  if (path !== "") return both(fileLog(path, providerFormat(recordAt(file, "logFormat"))));
  const [kind, settings] = provider ? remoteKind(provider) : [undefined, {}];
  if (kind !== undefined) return remoteSinks(kind, settings, findTarget(settings));
  return name === BUILT_IN_LOGGER ? both(fileLog(config.accessLogFile || STANDARD_OUTPUT, meshFormat(config))) : NONE;
}

const REMOTE_KINDS = ["envoyHttpAls", "envoyTcpAls", "envoyOtelAls"] as const;
type RemoteKind = (typeof REMOTE_KINDS)[number];

function remoteKind(provider: Fields): readonly [RemoteKind | undefined, Fields] {
  const kind = REMOTE_KINDS.find((each) => isRecord(provider[each]));
  return [kind, kind === undefined ? {} : recordAt(provider, kind)];
}

const DEFAULT_NAMES = {
  envoyHttpAls: "http_envoy_accesslog",
  envoyTcpAls: "tcp_envoy_accesslog",
  envoyOtelAls: "otel_envoy_accesslog",
} as const;

function remoteSinks(kind: RemoteKind, settings: Fields, target: ReturnType<FindTarget>): Sinks {
  if (!target) return NONE;
  const commonConfig: Init<typeof CommonGrpcAccessLogConfigSchema> = {
    logName: textAt(settings, "logName") || DEFAULT_NAMES[kind],
    transportApiVersion: ApiVersion.V3,
    grpcService: {
      targetSpecifier: {
        case: "envoyGrpc",
        value: { clusterName: target.cluster, authority: target.authority },
      },
    },
  };
  switch (kind) {
    case "envoyHttpAls": {
      const config = {
        commonConfig,
        additionalRequestHeadersToLog: [...textsAt(settings, "additionalRequestHeadersToLog")],
        additionalResponseHeadersToLog: [...textsAt(settings, "additionalResponseHeadersToLog")],
        additionalResponseTrailersToLog: [...textsAt(settings, "additionalResponseTrailersToLog")],
      };
      return { http: [filter("envoy.access_loggers.http_grpc", HttpGrpcAccessLogConfigSchema, config)], tcp: [] };
    }
    case "envoyTcpAls":
      return {
        http: [],
        tcp: [filter("envoy.access_loggers.tcp_grpc", TcpGrpcAccessLogConfigSchema, { commonConfig })],
      };
    default:
      return both(otelLog(commonConfig, recordAt(settings, "logFormat")));
  }
}

function otelLog(commonConfig: Init<typeof CommonGrpcAccessLogConfigSchema>, format: Fields): AccessLogInit {
  const text = textAt(format, "text");
  const labels = Object.entries(recordAt(format, "labels")).flatMap(([key, value]) =>
    typeof value === "string" ? [{ key, value: { value: { case: "stringValue" as const, value } } }] : [],
  );
  return filter("envoy.access_loggers.open_telemetry", OpenTelemetryAccessLogConfigSchema, {
    commonConfig,
    disableBuiltinLabels: true,
    ...(text !== "" && { body: { value: { case: "stringValue", value: text } } }),
    ...(labels.length > 0 && { attributes: { values: labels } }),
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
