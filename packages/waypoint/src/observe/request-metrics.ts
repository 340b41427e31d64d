/**
 * Istio's standard metrics as a waypoint reports them. docs/metrics.md has the list.
 *
 * Label sets are bounded: what peers and names can multiply ends in a few overflow series (hardening case 41).
 */
import type { Counter, CounterFamily, Histogram, HistogramFamily, MetricsRegistry } from "@ambit/shared/metrics";
import {
  boundedGrpcStatus,
  overflowLabels,
  REQUEST_LABELS,
  requestLabels,
  TCP_LABELS,
  type TcpFacts,
  tcpLabels,
} from "./metric-labels.ts";
import type { MetricOverrides } from "./metric-overrides.ts";
import type { RequestRecord, TcpRecord } from "./model.ts";
import { MAX_OVERRIDDEN_SERIES, OverriddenMetrics } from "./overridden-metrics.ts";
import { flagBits } from "./response-flags.ts";
import { SeriesTable } from "./series-table.ts";

/** Envoy's default buckets, for milliseconds and bytes alike. */
export const ISTIO_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

const DEFAULT_MAX_SERIES = 5_000;
/** Room in the families for the overflow's own series. */
const OVERFLOW_ROOM = 1_000;
const roomFor = (maxSeries: number): number => maxSeries + MAX_OVERRIDDEN_SERIES + OVERFLOW_ROOM;
const IDLE_SERIES_MS = 3_600_000;

interface RequestSeries {
  readonly requests: Counter;
  readonly duration: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
  readonly requestMessages: Counter | undefined;
  readonly responseMessages: Counter | undefined;
}

interface TcpSeries {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly sent: Counter;
  readonly received: Counter;
}

/** Bytes of one connection that were counted already. */
export interface TcpMeter {
  /** Counts what came since the last call; every few seconds for long connections. */
  flush(record: TcpRecord): void;
  /** The rest of the bytes, and the end with its flags. */
  close(record: TcpRecord): void;
}

/** `overrides`: what the configuration of the chain says otherwise. */
export interface RequestMetrics {
  /** Once, at the end of an exchange. */
  request(record: RequestRecord, overrides?: MetricOverrides): void;
  /** Messages of a gRPC exchange that runs on; every few seconds, with `RequestRecorder.progress()`. */
  progress(record: RequestRecord, overrides?: MetricOverrides): void;
  /** Once, when the destination of a connection is decided. */
  tcpOpened(record: TcpRecord, overrides?: MetricOverrides): TcpMeter;
  /** Uses of label sets that found no room. */
  overflowed(): number;
  /** Forgets series without traffic for an hour; `nowMs` is the registry's monotonic clock. Call every few minutes. */
  expire(nowMs: number): void;
}

/** @param maxSeries  label sets per family */
export function createRequestMetrics(
  registry: MetricsRegistry,
  maxSeries: number = DEFAULT_MAX_SERIES,
): RequestMetrics {
  const { requests, families: requestFamilies } = requestTable(registry, maxSeries);
  const { connections, families: tcpFamilies } = tcpTable(registry, maxSeries);
  const families = { ...requestFamilies, ...tcpFamilies };
  const overridden = new OverriddenMetrics(families);
  const open = (facts: TcpFacts): TcpSeries =>
    connections.find(facts, securityBit(facts), () => tcpLabels(facts, true));
  const seriesOf = (record: RequestRecord): RequestSeries =>
    requests.find(record, requestKey(record), () => requestLabels(record));
  return {
    request(record, overrides) {
      if (overrides) return overridden.request(record, overrides);
      const series = seriesOf(record);
      series.requests.inc();
      series.duration.observe(record.durationMs);
      series.requestBytes.observe(record.requestHeadBytes + record.requestBytes);
      series.responseBytes.observe(record.responseHeadBytes + record.responseBytes);
      countMessages(series, record);
    },
    progress: (record, overrides) =>
      overrides ? overridden.messages(record, overrides) : countMessages(seriesOf(record), record),
    tcpOpened(record, overrides) {
      if (overrides) {
        overridden.opened(record, overrides);
        return createTcpMeter(
          (last, more) => overridden.bytes(last, overrides, more),
          (last) => overridden.closed(last, overrides),
        );
      }
      open(record).opened.inc();
      const closed = (last: TcpRecord): TcpSeries =>
        connections.find(last, tcpEndKey(last), () => tcpLabels(last, false));
      return createTcpMeter(
        (last, { received, sent }) => {
          const series = open(last);
          series.received.inc(received);
          series.sent.inc(sent);
        },
        (last) => closed(last).closed.inc(),
      );
    },
    overflowed: () => requests.overflowed + connections.overflowed + overridden.overflowed,
    expire(nowMs) {
      requests.expire(nowMs, IDLE_SERIES_MS);
      connections.expire(nowMs, IDLE_SERIES_MS);
      overridden.expire(nowMs, IDLE_SERIES_MS);
      // Whatever is alive was touched just now.
      for (const family of Object.values(families)) family.expire(nowMs);
    },
  };
}

/** Each message once, in the series of the moment it is counted. Parity: Istio's report of long streams. */
function countMessages(series: RequestSeries, record: RequestRecord): void {
  const { messagesCounted } = record;
  series.requestMessages?.inc(record.requestMessages - (messagesCounted?.request ?? 0));
  series.responseMessages?.inc(record.responseMessages - (messagesCounted?.response ?? 0));
}

function createTcpMeter(
  count: (record: TcpRecord, more: { readonly received: number; readonly sent: number }) => void,
  closed: (record: TcpRecord) => void,
): TcpMeter {
  let received = 0;
  let sent = 0;
  let over = false;
  const flush: TcpMeter["flush"] = (record) => {
    const { bytesFromDownstream, bytesFromUpstream } = record;
    // Parity: Istio's received = client to server, for every reporter.
    count(record, { received: bytesFromDownstream - received, sent: bytesFromUpstream - sent });
    received = bytesFromDownstream;
    sent = bytesFromUpstream;
  };
  return {
    flush: (record) => {
      if (!over) flush(record);
    },
    close(record) {
      if (over) return;
      over = true;
      flush(record);
      closed(record);
    },
  };
}

function requestTable(registry: MetricsRegistry, maxSeries: number) {
  const labelNames = REQUEST_LABELS;
  const describe = (name: string, help: string) => ({ name, help, labelNames, maxSeries: roomFor(maxSeries) });
  const counter = (name: string, help: string): CounterFamily => registry.counter(describe(name, help));
  const histogram = (name: string, help: string): HistogramFamily =>
    registry.histogram({ ...describe(name, help), buckets: ISTIO_BUCKETS });
  const total = counter("istio_requests", "Requests");
  const duration = histogram("istio_request_duration_milliseconds", "From a request's head to the end of its response");
  const requestBytes = histogram("istio_request_bytes", "Head and body of requests");
  const responseBytes = histogram("istio_response_bytes", "Head and body of responses");
  const requestMessages = counter("istio_request_messages", "gRPC messages from clients");
  const responseMessages = counter("istio_response_messages", "gRPC messages from servers");
  const families = {
    requests_total: total,
    request_duration_milliseconds: duration,
    request_bytes: requestBytes,
    response_bytes: responseBytes,
    request_messages_total: requestMessages,
    response_messages_total: responseMessages,
  };
  const create = (values: readonly string[]): RequestSeries => {
    const isGrpc = values[PROTOCOL_INDEX] === "grpc";
    return {
      requests: total.with(...values),
      duration: duration.with(...values),
      requestBytes: requestBytes.with(...values),
      responseBytes: responseBytes.with(...values),
      requestMessages: isGrpc ? requestMessages.with(...values) : undefined,
      responseMessages: isGrpc ? responseMessages.with(...values) : undefined,
    };
  };
  const overflow = (values: readonly string[]) => overflowLabels(labelNames, values);
  return { requests: new SeriesTable({ maxSeries, overflow, create, touch: create }), families };
}

const PROTOCOL_INDEX = REQUEST_LABELS.indexOf("request_protocol");

function tcpTable(registry: MetricsRegistry, maxSeries: number) {
  const labelNames = TCP_LABELS;
  const counter = (name: string, help: string): CounterFamily =>
    registry.counter({ name, help, labelNames, maxSeries: roomFor(maxSeries) });
  const opened = counter("istio_tcp_connections_opened", "Connections opened");
  const closed = counter("istio_tcp_connections_closed", "Connections closed");
  const sent = counter("istio_tcp_sent_bytes", "Bytes that servers sent to clients");
  const received = counter("istio_tcp_received_bytes", "Bytes that clients sent to servers");
  const create = (values: readonly string[]): TcpSeries => ({
    opened: opened.with(...values),
    closed: closed.with(...values),
    sent: sent.with(...values),
    received: received.with(...values),
  });
  const overflow = (values: readonly string[]) => overflowLabels(labelNames, values);
  const connections = new SeriesTable({ maxSeries, overflow, create, touch: create });
  const families = {
    tcp_connections_opened_total: opened,
    tcp_connections_closed_total: closed,
    tcp_sent_bytes_total: sent,
    tcp_received_bytes_total: received,
  };
  return { connections, families };
}

/** One number for what the parties do not say: flags, status, gRPC status, protocol, security; below 2^53. */
function requestKey(record: RequestRecord): number {
  const grpcStatus = boundedGrpcStatus(record.grpcStatus) ?? NO_GRPC_STATUS;
  const upper = flagBits(record.flags) * 1024 + record.status;
  return (upper * 32 + grpcStatus) * 4 + (record.isGrpc ? 2 : 0) + securityBit(record);
}

/** Beyond the statuses that gRPC has. */
const NO_GRPC_STATUS = 31;

/** Apart from the keys of open connections, which are 0 and 1. */
const tcpEndKey = (record: TcpRecord): number => (flagBits(record.flags) + 1) * 2 + securityBit(record);
const securityBit = ({ source }: TcpFacts): number => (source.principal === "" ? 0 : 1);
