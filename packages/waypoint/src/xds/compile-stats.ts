/** `istio.stats` of a chain: which metrics are counted, with which labels. It guards nothing: what is not known is noted. */
import { type Cel, parseCel } from "@ambit/shared/cel";
import {
  type IstioMetric,
  type MetricOverride,
  type MetricOverrides,
  REQUEST_METRICS,
  TCP_METRICS,
} from "../observe/metric-overrides.ts";
import type { TelemetryConfig } from "../observe/model.ts";
import type { CompileContext } from "./context.ts";
import { structAt } from "./values.ts";

/** Type of the struct that configures the filter, and the name of the filter. */
export const STATS = "stats.PluginConfig";
export const STATS_FILTER = "istio.stats";

export const ALL_METRICS: TelemetryConfig = { metricsDisabled: false };

type Fields = Readonly<Record<string, unknown>>;
type Note = CompileContext["note"];

const METRICS: readonly IstioMetric[] = [...REQUEST_METRICS, ...TCP_METRICS];
const NO_OVERRIDE: MetricOverride = { drop: false, remove: [], dimensions: [] };
/** Labels that one metric's override may name. */
const MAX_DIMENSIONS = 16;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/;

/** @param config  fields in the spelling of the proto or of its JSON */
export function compileStats(config: Fields, { note }: CompileContext): TelemetryConfig {
  if (isFilled(config["definitions"])) note("istio.stats: definitions of further metrics have no effect");
  const overrides = new Map<IstioMetric, MetricOverride>();
  for (const one of listAt(config, "metrics")) {
    const entry = structAt(one) ?? {};
    const override = overrideOf(entry, note);
    for (const name of namesOf(entry, note)) overrides.set(name, merged(overrides.get(name) ?? NO_OVERRIDE, override));
  }
  if (METRICS.every((name) => overrides.get(name)?.drop)) return { metricsDisabled: true };
  return overrides.size === 0
    ? ALL_METRICS
    : { metricsDisabled: false, overrides: Object.fromEntries(overrides) satisfies MetricOverrides };
}

function namesOf(entry: Fields, note: Note): readonly IstioMetric[] {
  const name = entry["name"];
  if (name === undefined || name === "") return METRICS;
  const known = METRICS.filter((metric) => metric === name);
  if (known.length === 0) note(`istio.stats: metric "${String(name).slice(0, 80)}" has no effect: it is not known`);
  return known;
}

function overrideOf(entry: Fields, note: Note): MetricOverride {
  if (isFilled(entry["match"])) note("istio.stats: match has no effect: the metric is counted always");
  const remove = listAt(entry, "tags_to_remove", "tagsToRemove").filter((each) => typeof each === "string");
  const written = Object.entries(structAt(entry, "dimensions") ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const dimensions = written.slice(0, MAX_DIMENSIONS).flatMap(([name, text]) => {
    const value = dimensionOf(name, text, note);
    return value ? [{ name, value }] : [];
  });
  if (written.length > MAX_DIMENSIONS) note(`istio.stats: expected at most ${MAX_DIMENSIONS} dimensions of a metric`);
  return { drop: entry["drop"] === true, remove, dimensions };
}

function dimensionOf(name: string, text: unknown, note: Note): Cel | undefined {
  if (!LABEL_NAME.test(name)) {
    note(`istio.stats: dimension "${name.slice(0, 80)}" has no effect: expected a label's name`);
    return undefined;
  }
  const value = parseCel(typeof text === "string" ? text : "");
  if (value.ok) return value.value;
  note(`istio.stats: dimension "${name}" has no effect: ${value.error}`);
  return undefined;
}

/** Later entries say more about the same metric. */
function merged(before: MetricOverride, after: MetricOverride): MetricOverride {
  const names = new Set([...after.dimensions.map(({ name }) => name), ...after.remove]);
  return {
    drop: before.drop || after.drop,
    remove: [...before.remove.filter((name) => !names.has(name)), ...after.remove],
    dimensions: [...before.dimensions.filter(({ name }) => !names.has(name)), ...after.dimensions],
  };
}

function listAt(fields: Fields, ...keys: readonly string[]): readonly unknown[] {
  const found = keys.map((key) => fields[key]).find(Array.isArray);
  return found ?? [];
}

const isFilled = (value: unknown): boolean =>
  value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0);
