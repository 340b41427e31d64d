/** Metrics of the waypoint itself, beside Istio's. docs/metrics.md has the list. */
import type { Counter, Gauge, MetricsRegistry } from "@ambit/shared/metrics";
import type { RequestRecord } from "./model.ts";

/** Names come from the cluster's own configuration; still bounded. */
const MAX_SERIES = 1_000;

export interface WaypointMetrics {
  /** Counts refusals of a finished exchange or connection. */
  refused(record: Pick<RequestRecord, "code" | "policy" | "chain">): void;
  retried(cluster: string): void;
  budgetDenied(cluster: string): void;
  ejected(cluster: string, reason: string): void;
  circuitOpened(cluster: string, limit: string): void;
  spansExported(count: number): void;
  spansDropped(count: number): void;
  logsExported(count: number): void;
  logsDropped(count: number): void;
  readonly activeRequests: Gauge;
  readonly activeConnections: Gauge;
  readonly configGeneration: Gauge;
  /** Changes of the route model that requests saw. */
  readonly configSwaps: Counter;
  /** Rejected now, by type URL: `set` to 0 when all are well again. */
  rejectedResources(type: string): Gauge;
  readonly logLinesDropped: Gauge;
  readonly labelOverflow: Gauge;
}

export function createWaypointMetrics(registry: MetricsRegistry, version: string): WaypointMetrics {
  const counter = (name: string, help: string, labelNames: readonly string[] = []) =>
    registry.counter({ name, help: `${help} (unstable)`, labelNames, maxSeries: MAX_SERIES });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    registry.gauge({ name, help: `${help} (unstable)`, labelNames, maxSeries: MAX_SERIES });
  registry
    .gauge({ name: "istio_build", help: "Build", labelNames: ["component", "tag"] })
    .with("proxy", version)
    .set(1);
  const refusals = counter("ambit_waypoint_refusals", "Requests and connections refused or failed by us", [
    "reason",
    "policy",
    "chain",
  ]);
  const retries = counter("ambit_waypoint_retries", "Attempts after the first", ["cluster"]);
  const budget = counter("ambit_waypoint_retry_budget_denied", "Retries that the budget did not allow", ["cluster"]);
  const ejections = counter("ambit_waypoint_ejections", "Endpoints ejected", ["cluster", "reason"]);
  const circuits = counter("ambit_waypoint_circuit_open", "Requests that a circuit breaker refused", [
    "cluster",
    "limit",
  ]);
  const exported = counter("ambit_waypoint_spans_exported", "Spans that the collector took");
  const dropped = counter("ambit_waypoint_spans_dropped", "Spans lost: queue full, or the collector refused them");
  const logs = counter("ambit_waypoint_logs_exported", "Access records that a collector took");
  const lostLogs = counter(
    "ambit_waypoint_logs_dropped",
    "Access records lost: queue full, or the collector refused them",
  );
  const rejected = gauge("ambit_waypoint_rejected_resources", "Resources of the control plane in rejection", ["type"]);
  return {
    refused({ code, policy, chain }) {
      if (code !== undefined) refusals.with(code, policy ?? "-", chain).inc();
    },
    retried: (cluster) => retries.with(cluster).inc(),
    budgetDenied: (cluster) => budget.with(cluster).inc(),
    ejected: (cluster, reason) => ejections.with(cluster, reason).inc(),
    circuitOpened: (cluster, limit) => circuits.with(cluster, limit).inc(),
    spansExported: (count) => exported.with().inc(count),
    spansDropped: (count) => dropped.with().inc(count),
    logsExported: (count) => logs.with().inc(count),
    logsDropped: (count) => lostLogs.with().inc(count),
    rejectedResources: (type) => rejected.with(type),
    activeRequests: gauge("ambit_waypoint_active_requests", "Requests under way").with(),
    activeConnections: gauge("ambit_waypoint_active_connections", "Connections through TCP chains").with(),
    configGeneration: gauge("ambit_waypoint_config_generation", "Generation of the route model in force").with(),
    configSwaps: counter("ambit_waypoint_config_swaps", "Route models put in force").with(),
    logLinesDropped: gauge("ambit_log_lines_dropped", "Log lines lost because nobody read fast enough").with(),
    labelOverflow: gauge("ambit_metrics_label_overflow", "Uses of traffic label sets beyond the bound").with(),
  };
}
