import type { Counter } from "./family.ts";
import type { CounterFamily, MetricsRegistry } from "./registry.ts";

/** Labels of Istio's TCP traffic metrics, in Istio's order. Spec: Istio standard metrics; Parity: ztunnel. */
export const TRAFFIC_LABELS = [
  "reporter",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_principal",
  "source_app",
  "source_version",
  "source_cluster",
  "destination_service",
  "destination_service_namespace",
  "destination_service_name",
  "destination_workload",
  "destination_canonical_service",
  "destination_canonical_revision",
  "destination_workload_namespace",
  "destination_principal",
  "destination_app",
  "destination_version",
  "destination_cluster",
  "request_protocol",
  "response_flags",
  "connection_security_policy",
  "source_region",
  "source_zone",
  "destination_region",
  "destination_zone",
] as const;

export type TrafficLabels = Readonly<Partial<Record<(typeof TRAFFIC_LABELS)[number], string>>>;

/** What an overflow series keeps: everything else in it reads `unknown`. */
const KEPT_IN_OVERFLOW = new Set(["reporter", "request_protocol", "response_flags", "connection_security_policy"]);
const MAX_SERIES = 5_000;
/** Series of pods long gone leave after this long without traffic. */
const IDLE_SERIES_MS = 3_600_000;

/** The counters of one label set. */
export interface TrafficSeries {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly received: Counter;
  readonly sent: Counter;
  readonly failed: Counter;
}

export interface TrafficMetrics {
  opened(labels: TrafficLabels): void;
  /** Bytes: received = client to server, sent = server to client, for both reporters. */
  bytes(labels: TrafficLabels, received: number, sent: number): void;
  /** `labels.response_flags` is the final flag; anything but `-` also counts as failed. */
  closed(labels: TrafficLabels): void;
  /** Label sets that shared the overflow series. */
  overflowed(): number;
  /** Forgets series without traffic for an hour; `nowMs` is the registry's monotonic clock. */
  expire(nowMs: number): void;
}

/**
 * Opened and byte series always carry the flag `-`; closed and failed the final one. Each label set's text is built
 * once, when first seen; a family holds at most 5 000 of them.
 */
export function createTrafficMetrics(registry: MetricsRegistry): TrafficMetrics {
  const family = (name: string, help: string): CounterFamily =>
    registry.counter({ name, help, labelNames: TRAFFIC_LABELS, maxSeries: MAX_SERIES, overflow });
  const opened = family("istio_tcp_connections_opened", "Connections opened");
  const closed = family("istio_tcp_connections_closed", "Connections closed");
  const received = family("istio_tcp_received_bytes", "Bytes that clients sent to servers");
  const sent = family("istio_tcp_sent_bytes", "Bytes that servers sent to clients");
  const failed = family("istio_tcp_connections_failed", "Connections that ended with a failure (unstable)");
  const families = [opened, closed, received, sent, failed];
  return {
    opened: (labels) => opened.with(...values(labels, "-")).inc(),
    bytes(labels, receivedBytes, sentBytes) {
      const all = values(labels, "-");
      received.with(...all).inc(receivedBytes);
      sent.with(...all).inc(sentBytes);
    },
    closed(labels) {
      const flag = labels.response_flags ?? "-";
      const all = values(labels, flag);
      closed.with(...all).inc();
      if (flag !== "-") failed.with(...all).inc();
    },
    overflowed: () => families.reduce((sum, each) => sum + each.overflowed, 0),
    expire(nowMs) {
      for (const each of families) each.expire(nowMs - IDLE_SERIES_MS);
    },
  };
}

const values = (labels: TrafficLabels, flag: string): string[] =>
  TRAFFIC_LABELS.map((name) => (name === "response_flags" ? flag : labels[name] || "unknown"));

const overflow = (all: readonly string[]): string[] =>
  all.map((value, i) => (KEPT_IN_OVERFLOW.has(TRAFFIC_LABELS[i] ?? "") ? value : "unknown"));
