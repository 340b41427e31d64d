/** Hands the spans of finished requests to the collectors that their chains name: one exporter for each. */
import type { Duplex } from "node:stream";
import { type Clock, type Random, systemClock } from "@ambit/shared/time";
import { createSpanExporter, type ExportLimits, type SpanExporter } from "./batch-exporter.ts";
import type { RequestRecord, Tracing } from "./model.ts";
import type { Resource } from "./otlp-encode.ts";
import { createOtlpGrpcTransport, createOtlpHttpTransport } from "./otlp-transport.ts";
import { spansOf } from "./spans.ts";

export interface TraceExportInit {
  /** A connected stream to an endpoint of the cluster, through the mesh like any request. */
  readonly dial: (cluster: string) => Promise<Duplex>;
  /** What is the same for all spans: pod, namespace, cluster. `service.name` comes from the chain. */
  readonly resource: Resource;
  /** For tags that come from the environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly onExported: (spans: number) => void;
  readonly onDropped: (spans: number, reason: string) => void;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly limits?: Partial<ExportLimits>;
}

export interface TraceExport {
  /** Never waits, never throws. */
  record(record: RequestRecord, tracing: Tracing): void;
  stop(timeoutMs: number): Promise<void>;
}

/** Collectors at a time; configurations name one or two. */
const MAX_EXPORTERS = 16;

export function createTraceExport(init: TraceExportInit): TraceExport {
  const clock = init.clock ?? systemClock;
  const exporters = new Map<string, SpanExporter>();
  const exporterOf = (tracing: Tracing, cluster: string): SpanExporter => {
    const key = JSON.stringify([cluster, tracing.collectorHttpPath, tracing.collectorHeaders, tracing.serviceName]);
    const found = exporters.get(key);
    if (found) return found;
    evictOldest(exporters);
    const made = createExporter(init, tracing, cluster, clock);
    exporters.set(key, made);
    return made;
  };
  return {
    record(record, tracing) {
      if (!record.trace?.sampled || tracing.collectorCluster === undefined) return;
      exporterOf(tracing, tracing.collectorCluster).export(spansOf(record, tracing, init.environment));
    },
    async stop(timeoutMs) {
      await Promise.all([...exporters.values()].map((each) => each.stop(timeoutMs)));
      exporters.clear();
    },
  };
}

const EVICTION_MS = 5_000;

function evictOldest(exporters: Map<string, SpanExporter>): void {
  if (exporters.size < MAX_EXPORTERS) return;
  const [key, oldest] = exporters.entries().next().value ?? [];
  if (key === undefined || oldest === undefined) return;
  exporters.delete(key);
  void oldest.stop(EVICTION_MS);
}

function createExporter(init: TraceExportInit, tracing: Tracing, cluster: string, clock: Clock): SpanExporter {
  const { collectorHttpPath, collectorHeaders: headers = [] } = tracing;
  const transportInit = { dial: () => init.dial(cluster), authority: authorityOf(cluster), clock, headers };
  const transport =
    collectorHttpPath === undefined
      ? createOtlpGrpcTransport(transportInit)
      : createOtlpHttpTransport(transportInit, collectorHttpPath);
  return createSpanExporter({
    ...init,
    transport,
    resource: [["service.name", tracing.serviceName], ...init.resource],
  });
}

/** `outbound|4317||otel.obs.svc.cluster.local` is `otel.obs.svc.cluster.local:4317`. */
export function authorityOf(cluster: string): string {
  const [, port, , host] = cluster.split("|");
  return host ? `${host}:${port}` : cluster.replace(/[^\w.:-]/g, "");
}
