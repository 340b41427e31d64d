import { createTrafficMetrics, type MetricsRegistry, registerProcessMetrics } from "@ambit/shared/metrics";
import type { ConnectionRecord, DnsRecord } from "../observe/records.ts";
import { trafficLabels } from "./traffic-labels.ts";

const DNS_LABELS = [
  "request_query_type",
  "request_protocol",
  "source_canonical_service",
  "source_canonical_revision",
] as const;
const DNS_BUCKETS = [0.0005, 0.001, 0.01, 0.1, 1, 5];
const DURATION_BUCKETS = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600];
const SETUP_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10];
/** Names of policies in labels are the cluster's own; still bounded. */
const MAX_REFUSAL_SERIES = 1_000;

/** Istio's metrics of a ztunnel and our additions; see docs/metrics.md. Everything here runs on the control thread. */
export function createZtunnelMetrics(registry: MetricsRegistry, version: string) {
  const counter = (name: string, help: string, labelNames: readonly string[] = []) =>
    registry.counter({ name, help: `${help} (unstable)`, labelNames });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    registry.gauge({ name, help: `${help} (unstable)`, labelNames });
  const traffic = createTrafficMetrics(registry);
  const refusals = registry.counter({
    name: "ambit_connection_refusals",
    help: "Connections refused or cut by a rule (unstable)",
    labelNames: ["reason", "policy", "direction"],
    maxSeries: MAX_REFUSAL_SERIES,
    overflow: ([reason = "", , direction = ""]) => [reason, "other", direction],
  });
  const duration = registry.histogram({
    name: "ambit_connection_duration_seconds",
    help: "Life of a connection (unstable)",
    labelNames: ["direction"],
    buckets: DURATION_BUCKETS,
  });
  const setup = registry.histogram({
    name: "ambit_connection_setup_seconds",
    help: "From accept to the moment bytes may flow (unstable)",
    labelNames: ["direction"],
    buckets: SETUP_BUCKETS,
  });
  const dnsRequests = counter("istio_dns_requests", "DNS questions", DNS_LABELS);
  const dnsUpstream = counter("istio_dns_upstream_requests", "DNS questions sent on", DNS_LABELS);
  const dnsFailures = counter("istio_dns_upstream_failures", "DNS questions sent on that failed", DNS_LABELS);
  const dnsDuration = registry.histogram({
    name: "istio_dns_upstream_request_duration_seconds",
    help: "Time an upstream took to answer (unstable)",
    labelNames: DNS_LABELS,
    buckets: DNS_BUCKETS,
  });
  registry
    .gauge({ name: "istio_build", help: "Build", labelNames: ["component", "tag"] })
    .with("ztunnel", version)
    .set(1);
  registerProcessMetrics(registry);
  return {
    traffic,
    crlRejections: counter("istio_crl_policy_rejections", "Connections refused or cut for a revoked certificate", [
      "reporter",
    ]),
    socketsOpen: gauge("istio_tcp_sockets_open", "Open sockets of proxied connections", ["reporter"]),
    xdsTerminations: counter("istio_xds_connection_terminations", "Ends of the xDS stream", ["reason"]),
    xdsMessages: counter("istio_xds_message", "xDS responses", ["url"]),
    xdsBytes: counter("istio_xds_message_bytes", "Bytes of resources in xDS responses", ["url"]),
    activeProxies: gauge("workload_manager_active_proxy_count", "Pods served"),
    pendingProxies: gauge("workload_manager_pending_proxy_count", "Pods that wait to be served"),
    proxiesStarted: counter("workload_manager_proxies_started", "Pods whose serving began"),
    proxiesStopped: counter("workload_manager_proxies_stopped", "Pods whose serving ended"),
    poolSessions: gauge("ambit_hbone_pool_sessions", "Pooled outbound HBONE sessions"),
    workersUp: gauge("ambit_workers_up", "Data workers that run"),
    workerRestarts: gauge("ambit_worker_restarts", "Replacements of data workers", ["worker"]),
    recordsDropped: counter("ambit_connection_records_dropped", "Access records lost to their bound"),
    logLinesDropped: gauge("ambit_log_lines_dropped", "Log lines lost because nobody read fast enough"),
    labelOverflow: gauge("ambit_metrics_label_overflow", "Uses of traffic label sets beyond the bound"),
    refused: ({ code, policy, direction }: ConnectionRecord) =>
      code && refusals.with(code, policy ?? "-", direction).inc(),
    closed({ durationMs, setupMs, direction }: ConnectionRecord) {
      duration.with(direction).observe(durationMs / 1000);
      if (setupMs !== undefined) setup.with(direction).observe(setupMs / 1000);
    },
    dns(record: DnsRecord) {
      const labels = [
        record.queryType.toLowerCase(),
        record.protocol,
        record.canonicalService || "unknown",
        record.canonicalRevision || "unknown",
      ];
      dnsRequests.with(...labels).inc();
      if (record.upstreamMs === undefined) return;
      dnsUpstream.with(...labels).inc();
      dnsDuration.with(...labels).observe(record.upstreamMs / 1000);
      if (record.responseCode === "SERVFAIL") dnsFailures.with(...labels).inc();
    },
  };
}

export type ZtunnelMetrics = ReturnType<typeof createZtunnelMetrics>;

/** Counts one step of a connection. Byte counters move when the connection ends. */
export function countConnection(metrics: ZtunnelMetrics, record: ConnectionRecord): void {
  const labels = trafficLabels(record);
  if (record.flag === "CERT_REVOKED") metrics.crlRejections.with(labels.reporter ?? "unknown").inc();
  if (isRefusal(record)) metrics.refused(record);
  switch (record.phase) {
    case "opened":
      metrics.traffic.opened(labels);
      return;
    case "closed":
      metrics.closed(record);
      metrics.traffic.bytes(labels, ...clientAndServerBytes(record));
      metrics.traffic.closed(labels);
      return;
    case "refused":
      // Opened was never counted; Istio's counters know nothing of it, ours do.
      return;
    default:
      record.phase satisfies never;
  }
}

/** Refused by a rule, or cut by one later: what `ambit explain` lists. Plain failures of the network are not. */
export function isRefusal(record: ConnectionRecord): boolean {
  return record.phase === "refused" || record.policy !== undefined || record.flag === "DENY";
}

/**
 * Istio's received = client to server, sent = server to client, for both reporters; a record's own counts are from
 * the perspective of its hop (outbound sent = application to remote; inbound sent = application to client).
 */
function clientAndServerBytes({ direction, bytesSent, bytesReceived }: ConnectionRecord): [number, number] {
  return direction === "outbound" ? [bytesSent, bytesReceived] : [bytesReceived, bytesSent];
}
