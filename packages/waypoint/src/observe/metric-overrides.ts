/** Metrics that a chain's configuration counts in other words. Pure. Spec: Istio Telemetry `metrics[].overrides`. */
import { type Cel, evaluateCel } from "@ambit/shared/cel";
import type { LoggedRecord } from "./model.ts";
import { attributesOf } from "./record-attributes.ts";

/** As the configuration names them: without `istio_`. */
export const REQUEST_METRICS = [
  "requests_total",
  "request_duration_milliseconds",
  "request_bytes",
  "response_bytes",
  "request_messages_total",
  "response_messages_total",
] as const;
export const TCP_METRICS = [
  "tcp_connections_opened_total",
  "tcp_connections_closed_total",
  "tcp_sent_bytes_total",
  "tcp_received_bytes_total",
] as const;
export type IstioMetric = (typeof REQUEST_METRICS)[number] | (typeof TCP_METRICS)[number];

export interface MetricOverride {
  readonly drop: boolean;
  /** Labels without a value. */
  readonly remove: readonly string[];
  /** Labels with another value, or further ones. */
  readonly dimensions: readonly { readonly name: string; readonly value: Cel }[];
}

export type MetricOverrides = Readonly<Partial<Record<IstioMetric, MetricOverride>>>;

/** Characters of a value that an expression gives. */
const MAX_VALUE_CHARS = 256;
const UNKNOWN = "unknown";

/** Where labels are in a family, and room for further ones. */
export interface LabelPlaces {
  readonly labelNames: readonly string[];
  addLabel(name: string): number | undefined;
}

/** Values of the labels as overridden; `base` are those of Istio's labels, in their order. */
export function overriddenLabels(
  base: readonly string[],
  override: MetricOverride,
  record: LoggedRecord,
  places: LabelPlaces,
): readonly string[] {
  const values = [...base];
  for (const name of override.remove) {
    const place = places.labelNames.indexOf(name);
    if (place >= 0) values[place] = "";
  }
  const read = attributesOf(record);
  for (const { name, value } of override.dimensions) {
    const place = places.addLabel(name);
    if (place === undefined) continue;
    while (values.length <= place) values.push("");
    values[place] = String(evaluateCel(value, read) ?? UNKNOWN).slice(0, MAX_VALUE_CHARS) || UNKNOWN;
  }
  // A label without a value is none: the same series must not have two lengths.
  while (values.length > base.length && values.at(-1) === "") values.pop();
  return values;
}
