/** Tracing of a chain. Spec: Istio Telemetry `tracing`, MeshConfig `extensionProviders` and `defaultConfig.tracing`. */
import { HeaderValueOption_HeaderAppendAction as Append } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import type { HttpConnectionManager_TracingSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { CustomTagSchema } from "@ambit/envoy-api/envoy/type/tracing/v3/custom_tag";
import { isRecord, type KubeObject, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import type { FindTarget } from "./access-logs.ts";
import type { MeshConfigFact } from "./mesh-config.ts";
import { duration, filter, type Init } from "./proto.ts";
import { headerOptions, isChangeable, literal } from "./routes/header-changes.ts";
import { milliseconds } from "./time.ts";

type Fields = Readonly<Record<string, unknown>>;
type TracingInit = Init<typeof HttpConnectionManager_TracingSchema>;
type CustomTagInit = Init<typeof CustomTagSchema>;

export interface TracingSettings {
  readonly config?: TracingInit;
  /** Clusters that spans are sent to. */
  readonly subUnits: readonly string[];
}

/** Percent, where nobody says otherwise. */
const DEFAULT_SAMPLING = 1;
const COLLECTOR_TIMEOUT_MS = { grpc: 1_000, http: 10_000 } as const;
const MAX_TAGS = 32;
const MAX_PATH_TAG = 4_096;
const NONE: TracingSettings = { subUnits: [] };

/** @param telemetries  most specific first */
export function tracingOf(
  config: MeshConfigFact,
  telemetries: readonly KubeObject[],
  serviceName: string,
  findTarget: FindTarget,
): TracingSettings {
  const asked = mergedTracing(config, telemetries);
  if (asked.disabled) return NONE;
  const provider = asked.provider === undefined ? undefined : config.providers[asked.provider];
  if (!isRecord(provider?.["opentelemetry"])) return NONE;
  const collector = recordAt(provider, "opentelemetry");
  const target = findTarget(collector);
  if (!target) return NONE;
  return {
    config: {
      clientSampling: { value: 100 },
      randomSampling: { value: asked.percent },
      overallSampling: { value: 100 },
      ...(asked.maxPathTagLength !== undefined && { maxPathTagLength: asked.maxPathTagLength }),
      ...(asked.tags.size > 0 && {
        customTags: [...asked.tags].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, tag]) => tag),
      }),
      provider: filter("envoy.tracers.opentelemetry", OpenTelemetryConfigSchema, {
        serviceName,
        ...collectorService(collector, target),
      }),
    },
    subUnits: target.subUnits,
  };
}

interface MergedTracing {
  provider: string | undefined;
  percent: number;
  disabled: boolean;
  readonly tags: Map<string, CustomTagInit>;
  readonly maxPathTagLength: number | undefined;
}

/** Field by field: what a more specific object says holds. */
function mergedTracing(config: MeshConfigFact, telemetries: readonly KubeObject[]): MergedTracing {
  const { sampling, maxPathTagLength, customTags } = config.tracing;
  const merged: MergedTracing = {
    provider: config.defaultTracers[0],
    percent: sampling ?? DEFAULT_SAMPLING,
    disabled: false,
    tags: customTagsOf(customTags),
    maxPathTagLength: maxPathTagLength === undefined ? undefined : Math.min(maxPathTagLength, MAX_PATH_TAG),
  };
  const entries = telemetries.toReversed().flatMap(({ spec }) => recordsAt(spec, "tracing"));
  for (const entry of entries.filter(isForServers)) lay(merged, entry);
  return merged;
}

function lay(merged: MergedTracing, entry: Fields): void {
  const { randomSamplingPercentage: percent, disableSpanReporting: disabled } = entry;
  merged.provider = textAt(recordsAt(entry, "providers")[0], "name") || merged.provider;
  if (typeof percent === "number") merged.percent = Math.min(100, Math.max(0, percent));
  if (typeof disabled === "boolean") merged.disabled = disabled;
  const tags = customTagsOf(recordAt(entry, "customTags"));
  for (const [name, tag] of tags) if (merged.tags.size < MAX_TAGS) merged.tags.set(name, tag);
}

const isForServers = (entry: Fields): boolean => textAt(recordAt(entry, "match"), "mode") !== "CLIENT";

function customTagsOf(tags: Fields): Map<string, CustomTagInit> {
  const made = new Map<string, CustomTagInit>();
  for (const [name, raw] of Object.entries(tags)) {
    const tag = customTag(name, recordAt({ raw }, "raw"));
    if (typeof tag !== "string") made.set(name, tag);
  }
  return made;
}

/** @returns the problem, as text, when it is none */
function customTag(tag: string, fields: Fields): CustomTagInit | string {
  if (tag === "" || tag.length > 128) return "expected a name of 1 to 128 characters";
  if (isRecord(fields["literal"])) {
    const value = textAt(recordAt(fields, "literal"), "value");
    return value === "" ? "literal.value: required" : { tag, type: { case: "literal", value: { value } } };
  }
  const kind = isRecord(fields["header"]) ? "header" : isRecord(fields["environment"]) ? "environment" : undefined;
  if (kind === undefined) return "expected literal, environment or header";
  const source = recordAt(fields, kind);
  const name = textAt(source, "name");
  const value = { name, defaultValue: textAt(source, "defaultValue") };
  if (kind === "environment") {
    return name === "" ? "environment.name: required" : { tag, type: { case: "environment", value } };
  }
  return isChangeable(name) ? { tag, type: { case: "requestHeader", value } } : "header.name: expected a header's name";
}

/** What of an object's tracing has no effect, by field. */
export function tracingProblems(telemetry: KubeObject, config: MeshConfigFact, findTarget: FindTarget): string[] {
  return recordsAt(telemetry.spec, "tracing").flatMap((entry, index) => {
    const at = `spec.tracing[${index}]`;
    const ofTags = Object.entries(recordAt(entry, "customTags")).flatMap(([name, raw]) => {
      const tag = customTag(name, recordAt({ raw }, "raw"));
      return typeof tag === "string" ? [`${at}.customTags.${name.slice(0, 80)}: has no effect; ${tag}`] : [];
    });
    const unknown = ["useRequestIdForTraceSampling", "enableIstioTags", "disableContextPropagation"];
    const ofFields = unknown
      .filter((field) => entry[field] !== undefined)
      .map((field) => `${at}.${field}: has no effect`);
    return [...ofTags, ...ofFields, ...providerProblems(at, recordsAt(entry, "providers"), config, findTarget)];
  });
}

function providerProblems(
  at: string,
  providers: readonly Fields[],
  config: MeshConfigFact,
  findTarget: FindTarget,
): readonly string[] {
  const [first, ...more] = providers.map((each) => textAt(each, "name"));
  if (first === undefined) return [];
  const several = more.length > 0 ? [`${at}.providers: only ${first} has an effect`] : [];
  const provider = config.providers[first];
  const collector = recordAt(provider, "opentelemetry");
  if (!isRecord(provider?.["opentelemetry"])) {
    const why = provider ? "expected an opentelemetry provider" : "no such extension provider";
    return [...several, `${at}.providers: ${first} has no effect; ${why}`];
  }
  const fromEnvironment = [
    ...recordsAt(recordAt(collector, "http"), "headers"),
    ...recordsAt(recordAt(collector, "grpc"), "initialMetadata"),
  ].filter((header) => header["envName"] !== undefined);
  return [
    ...several,
    ...(findTarget(collector) ? [] : [`${at}.providers: ${first} has no effect; there is no such service or port`]),
    ...fromEnvironment.map((header) => `${at}.providers: ${first}: envName of ${textAt(header, "name")} has no effect`),
  ];
}

type CollectorService = Pick<Init<typeof OpenTelemetryConfigSchema>, "grpcService" | "httpService">;

/** OTLP/HTTP where the provider has `http`, OTLP/gRPC otherwise. Spec: Istio OpenTelemetryTracingProvider */
function collectorService(
  collector: Fields,
  target: { readonly cluster: string; readonly authority: string },
): CollectorService {
  const { cluster, authority } = target;
  if (!isRecord(collector["http"])) {
    const grpc = recordAt(collector, "grpc");
    return {
      grpcService: {
        targetSpecifier: { case: "envoyGrpc", value: { clusterName: cluster, authority } },
        timeout: duration(milliseconds(grpc["timeout"]) || COLLECTOR_TIMEOUT_MS.grpc),
        initialMetadata: recordsAt(grpc, "initialMetadata")
          .filter((each) => isChangeable(textAt(each, "name")))
          .map((each) => ({ key: textAt(each, "name").toLowerCase(), value: literal(textAt(each, "value")) })),
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
