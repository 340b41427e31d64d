/** Hands records to the collectors of access logs that chains name: one bounded queue for each. */
import type { Duplex } from "node:stream";
import { type Clock, type Random, systemClock } from "@ambit/shared/time";
import { ALS_METHOD, encodeAlsBatch, encodeAlsEntry } from "./als-encode.ts";
import { type BatchExporter, createBatchExporter, type ExportLimits } from "./batch-exporter.ts";
import type { AlsSink, LoggedRecord, OtlpSink } from "./model.ts";
import type { Resource } from "./otlp-encode.ts";
import { compileLogRecord, type EncodeLogRecord, encodeLogs, LOGS_METHOD } from "./otlp-logs.ts";
import { createGrpcTransport } from "./otlp-transport.ts";
import { authorityOf } from "./trace-export.ts";

export interface LogExportInit {
  /** A connected stream to an endpoint of the cluster, through the mesh like any request. */
  readonly dial: (cluster: string) => Promise<Duplex>;
  /** What is the same for all records: name of the service, namespace. */
  readonly resource: Resource;
  /** Who we are to an access log service. */
  readonly node: { readonly id: string; readonly cluster: string };
  readonly onExported: (records: number) => void;
  readonly onDropped: (records: number, reason: string) => void;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly limits?: Partial<ExportLimits>;
}

export interface LogExport {
  /** Never waits, never throws. */
  record(sink: OtlpSink | AlsSink, record: LoggedRecord): void;
  stop(timeoutMs: number): Promise<void>;
}

/** Collectors at a time; configurations name one or two. */
const MAX_EXPORTERS = 16;
const EVICTION_MS = 5_000;
const DEFAULT_DELAY_MS = 1_000;

/** One collector, and how records are put into its words. Queued as bytes: headers of requests are not kept alive. */
interface Collector {
  readonly exporter: BatchExporter<Uint8Array>;
  readonly encode: EncodeLogRecord;
}

export function createLogExport(init: LogExportInit): LogExport {
  const collectors = new Map<string, Collector>();
  const bySink = new WeakMap<object, { key: string; encode: EncodeLogRecord }>();
  const known = (sink: OtlpSink | AlsSink) => {
    let found = bySink.get(sink);
    if (found === undefined) {
      const { filter: _filter, ...shown } = sink as OtlpSink & { filter?: unknown };
      found = { key: JSON.stringify(shown), encode: encoderOf(sink) };
      bySink.set(sink, found);
    }
    return found;
  };
  const collectorOf = (sink: OtlpSink | AlsSink, key: string): Collector => {
    const found = collectors.get(key);
    if (found) return found;
    evictOldest(collectors);
    const made = { exporter: createCollector(init, sink), encode: known(sink).encode };
    collectors.set(key, made);
    return made;
  };
  return {
    record(sink, record) {
      const { key, encode } = known(sink);
      collectorOf(sink, `${"requestId" in record} ${key}`).exporter.export([encode(record)]);
    },
    async stop(timeoutMs) {
      await Promise.all([...collectors.values()].map(({ exporter }) => exporter.stop(timeoutMs)));
      collectors.clear();
    },
  };
}

function evictOldest(collectors: Map<string, Collector>): void {
  if (collectors.size < MAX_EXPORTERS) return;
  const [key, oldest] = collectors.entries().next().value ?? [];
  if (key === undefined || oldest === undefined) return;
  collectors.delete(key);
  void oldest.exporter.stop(EVICTION_MS);
}

const encoderOf = (sink: OtlpSink | AlsSink): EncodeLogRecord =>
  sink.kind === "otlp" ? compileLogRecord(sink) : (record) => encodeAlsEntry(sink, record);

function createCollector(init: LogExportInit, sink: OtlpSink | AlsSink): BatchExporter<Uint8Array> {
  const { cluster, collectorHeaders: headers, logName } = sink;
  const clock = init.clock ?? systemClock;
  const transportInit = { dial: () => init.dial(cluster), authority: authorityOf(cluster), clock, headers };
  const transport =
    sink.kind === "otlp"
      ? createGrpcTransport<Uint8Array>(transportInit, LOGS_METHOD, encodeLogs)
      : createGrpcTransport<Uint8Array>(transportInit, ALS_METHOD, (entries) =>
          encodeAlsBatch(entries, { ...init.node, logName }),
        );
  const own: Resource = sink.kind === "otlp" ? sink.resource : [];
  return createBatchExporter({
    ...init,
    limits: { delayMs: DEFAULT_DELAY_MS, ...init.limits },
    transport,
    resource: [...init.resource, ["log_name", logName], ...own],
    sizeOf: (entry) => entry.length,
  });
}
