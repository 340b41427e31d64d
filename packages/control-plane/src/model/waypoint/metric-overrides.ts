/**
 * Metric overrides of Telemetry objects as the configuration of `istio.stats`.
 *
 * Spec: Istio Telemetry `metrics`. Parity: istiod's stats.PluginConfig. Waypoints report as servers: overrides of mode CLIENT
 * are for other proxies.
 */
import { parseCel } from "@ambit/shared/cel";
import { isRecord, type KubeObject, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import type { JsonObject } from "@bufbuild/protobuf";
import type { MeshConfigFact } from "./mesh-config.ts";

type Fields = Readonly<Record<string, unknown>>;

const METRICS: Readonly<Record<string, string>> = {
  REQUEST_COUNT: "requests_total",
  REQUEST_DURATION: "request_duration_milliseconds",
  REQUEST_SIZE: "request_bytes",
  RESPONSE_SIZE: "response_bytes",
  TCP_OPENED_CONNECTIONS: "tcp_connections_opened_total",
  TCP_CLOSED_CONNECTIONS: "tcp_connections_closed_total",
  TCP_SENT_BYTES: "tcp_sent_bytes_total",
  TCP_RECEIVED_BYTES: "tcp_received_bytes_total",
  GRPC_REQUEST_MESSAGES: "request_messages_total",
  GRPC_RESPONSE_MESSAGES: "response_messages_total",
};
const ALL = "ALL_METRICS";
const MODES: ReadonlySet<string> = new Set(["CLIENT_AND_SERVER", "SERVER", "CLIENT"]);
/** As many labels as a waypoint takes of one metric. */
const MAX_TAGS = 16;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/;

/** `drop`: decided by the most specific that says; a tag without a value is removed. */
interface Override {
  drop: boolean | undefined;
  readonly tags: Map<string, string | undefined>;
}

/** What an object says, and what of it could not be understood. */
interface ReadOverride {
  readonly metrics: readonly string[];
  readonly disabled: boolean | undefined;
  readonly tags: ReadonlyMap<string, string | undefined>;
}

/** @param telemetries  most specific first. @returns undefined when nothing is overridden */
export function statsConfig(telemetries: readonly KubeObject[], config: MeshConfigFact): JsonObject | undefined {
  const byMetric = new Map<string, Override>();
  for (const telemetry of telemetries.toReversed()) {
    for (const each of readOverrides(telemetry, config, () => {})) addTo(byMetric, each);
  }
  const metrics = [...byMetric]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, override]) => entryOf(name, override));
  if (metrics.length === 0) return undefined;
  return { disable_host_header_fallback: true, reporter: "SERVER_GATEWAY", metrics };
}

/** What of an object's metrics has no effect, by field. */
export function metricProblems(telemetry: KubeObject, config: MeshConfigFact): readonly string[] {
  const problems: string[] = [];
  readOverrides(telemetry, config, (problem) => problems.push(problem));
  return problems;
}

function addTo(byMetric: Map<string, Override>, { metrics, disabled, tags }: ReadOverride): void {
  for (const metric of metrics) {
    const found = byMetric.get(metric) ?? { drop: undefined, tags: new Map() };
    byMetric.set(metric, found);
    found.drop = disabled ?? found.drop;
    for (const [name, value] of tags)
      if (found.tags.has(name) || found.tags.size < MAX_TAGS) found.tags.set(name, value);
  }
}

function entryOf(name: string, { drop, tags }: Override): readonly JsonObject[] {
  const sorted = [...tags].sort(([a], [b]) => (a < b ? -1 : 1));
  const dimensions = sorted.flatMap(([tag, value]) => (value === undefined ? [] : [[tag, value] as const]));
  const removed = sorted.flatMap(([tag, value]) => (value === undefined ? [tag] : []));
  if (drop !== true && sorted.length === 0) return [];
  return [
    {
      name,
      ...(drop === true && { drop: true }),
      ...(dimensions.length > 0 && { dimensions: Object.fromEntries(dimensions) }),
      ...(removed.length > 0 && { tags_to_remove: removed }),
    },
  ];
}

type OnProblem = (problem: string) => void;

function readOverrides(telemetry: KubeObject, config: MeshConfigFact, onProblem: OnProblem): readonly ReadOverride[] {
  return recordsAt(telemetry.spec, "metrics").flatMap((entry, index) => {
    const at = `spec.metrics[${index}]`;
    if (!isForPrometheus(entry, config)) {
      onProblem(`${at}.providers: has no effect; waypoints have metrics for Prometheus only`);
      return [];
    }
    if (entry["reportingInterval"] !== undefined) onProblem(`${at}.reportingInterval: has no effect; it is 5s`);
    return recordsAt(entry, "overrides").flatMap((one, place) =>
      readOverride(one, (field, problem) => onProblem(`${at}.overrides[${place}].${field}: ${problem}`)),
    );
  });
}

function isForPrometheus(entry: Fields, { providers }: MeshConfigFact): boolean {
  const names = recordsAt(entry, "providers").map((each) => textAt(each, "name"));
  return names.length === 0 || names.some((name) => name === "prometheus" || isRecord(providers[name]?.["prometheus"]));
}

function readOverride(one: Fields, onProblem: (field: string, problem: string) => void): readonly ReadOverride[] {
  const match = recordAt(one, "match");
  const mode = textAt(match, "mode") || "CLIENT_AND_SERVER";
  if (!MODES.has(mode)) onProblem("match.mode", `expected ${[...MODES].join(", ")}, got ${mode}`);
  if (mode !== "SERVER" && mode !== "CLIENT_AND_SERVER") return [];
  const metrics = metricsOf(match, onProblem);
  const disabled = typeof one["disabled"] === "boolean" ? one["disabled"] : undefined;
  return metrics.length === 0 ? [] : [{ metrics, disabled, tags: tagsOf(recordAt(one, "tagOverrides"), onProblem) }];
}

function metricsOf(match: Fields, onProblem: (field: string, problem: string) => void): readonly string[] {
  if (match["customMetric"] !== undefined) {
    onProblem("match.customMetric", "has no effect; waypoints have Istio's metrics only");
    return [];
  }
  const name = textAt(match, "metric") || ALL;
  if (name === ALL) return Object.values(METRICS);
  const metric = Object.hasOwn(METRICS, name) ? METRICS[name] : undefined;
  if (metric === undefined) onProblem("match.metric", `expected one of Istio's metrics, got ${name.slice(0, 80)}`);
  return metric === undefined ? [] : [metric];
}

function tagsOf(
  overrides: Fields,
  onProblem: (field: string, problem: string) => void,
): ReadonlyMap<string, string | undefined> {
  const tags = new Map<string, string | undefined>();
  for (const [name, raw] of Object.entries(overrides)) {
    const field = `tagOverrides.${name.slice(0, 80)}`;
    const tag = isRecord(raw) ? raw : {};
    if (!LABEL_NAME.test(name)) onProblem(field, "has no effect; expected the name of a Prometheus label");
    else if (tags.size >= MAX_TAGS)
      onProblem(field, `has no effect; at most ${MAX_TAGS} tags of a metric are overridden`);
    else if (textAt(tag, "operation") === "REMOVE") tags.set(name, undefined);
    else {
      const parsed = parseCel(textAt(tag, "value"));
      if (parsed.ok) tags.set(name, textAt(tag, "value"));
      else onProblem(`${field}.value`, `has no effect; ${parsed.error}`);
    }
  }
  return tags;
}
