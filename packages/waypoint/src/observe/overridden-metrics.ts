/**
 * Counts for chains whose configuration overrides metrics. Label sets are found by their text, since an expression may tell
 * any two exchanges apart; they have a bound of their own, so that one chain's labels cannot crowd out the others.
 */
import type { CounterFamily, HistogramFamily } from "@ambit/shared/metrics";
import { overflowLabels, requestLabels, tcpLabels } from "./metric-labels.ts";
import { type IstioMetric, type MetricOverride, type MetricOverrides, overriddenLabels } from "./metric-overrides.ts";
import type { LoggedRecord, RequestRecord, TcpRecord } from "./model.ts";
import { SeriesTable } from "./series-table.ts";

/** Label sets of one family that overrides may make. */
export const MAX_OVERRIDDEN_SERIES = 2_000;

export interface IstioFamilies {
  readonly requests_total: CounterFamily;
  readonly request_duration_milliseconds: HistogramFamily;
  readonly request_bytes: HistogramFamily;
  readonly response_bytes: HistogramFamily;
  readonly request_messages_total: CounterFamily;
  readonly response_messages_total: CounterFamily;
  readonly tcp_connections_opened_total: CounterFamily;
  readonly tcp_connections_closed_total: CounterFamily;
  readonly tcp_sent_bytes_total: CounterFamily;
  readonly tcp_received_bytes_total: CounterFamily;
}

type CellOf<M extends IstioMetric> = ReturnType<IstioFamilies[M]["with"]>;

const NO_OVERRIDE: MetricOverride = { drop: false, remove: [], dimensions: [] };

export class OverriddenMetrics {
  readonly #families: IstioFamilies;
  readonly #tables: ReadonlyMap<IstioMetric, SeriesTable<unknown>>;

  constructor(families: IstioFamilies, maxSeries: number = MAX_OVERRIDDEN_SERIES) {
    this.#families = families;
    this.#tables = new Map(
      Object.entries(families).map(([name, family]) => {
        const create = (values: readonly string[]): unknown => family.with(...values);
        const overflow = (values: readonly string[]) => overflowLabels(family.labelNames, values);
        return [name as IstioMetric, new SeriesTable({ maxSeries, overflow, create, touch: create })];
      }),
    );
  }

  request(record: RequestRecord, overrides: MetricOverrides): void {
    const base = requestLabels(record);
    const find = <M extends IstioMetric>(metric: M) => this.#find(metric, base, overrides, record);
    find("requests_total")?.inc();
    find("request_duration_milliseconds")?.observe(record.durationMs);
    find("request_bytes")?.observe(record.requestHeadBytes + record.requestBytes);
    find("response_bytes")?.observe(record.responseHeadBytes + record.responseBytes);
    this.messages(record, overrides);
  }

  messages(record: RequestRecord, overrides: MetricOverrides): void {
    if (!record.isGrpc) return;
    const base = requestLabels(record);
    const { messagesCounted } = record;
    this.#find("request_messages_total", base, overrides, record)?.inc(
      record.requestMessages - (messagesCounted?.request ?? 0),
    );
    this.#find("response_messages_total", base, overrides, record)?.inc(
      record.responseMessages - (messagesCounted?.response ?? 0),
    );
  }

  opened(record: TcpRecord, overrides: MetricOverrides): void {
    this.#find("tcp_connections_opened_total", tcpLabels(record, true), overrides, record)?.inc();
  }

  bytes(
    record: TcpRecord,
    overrides: MetricOverrides,
    more: { readonly received: number; readonly sent: number },
  ): void {
    const base = tcpLabels(record, true);
    this.#find("tcp_received_bytes_total", base, overrides, record)?.inc(more.received);
    this.#find("tcp_sent_bytes_total", base, overrides, record)?.inc(more.sent);
  }

  closed(record: TcpRecord, overrides: MetricOverrides): void {
    this.#find("tcp_connections_closed_total", tcpLabels(record, false), overrides, record)?.inc();
  }

  get overflowed(): number {
    return [...this.#tables.values()].reduce((total, table) => total + table.overflowed, 0);
  }

  /** See `RequestMetrics.expire`. */
  expire(nowMs: number, idleMs: number): void {
    for (const table of this.#tables.values()) table.expire(nowMs, idleMs);
  }

  /** @returns undefined when the metric is dropped */
  #find<M extends IstioMetric>(
    metric: M,
    base: readonly string[],
    overrides: MetricOverrides,
    record: LoggedRecord,
  ): CellOf<M> | undefined {
    const override = overrides[metric] ?? NO_OVERRIDE;
    if (override.drop) return undefined;
    const values = overriddenLabels(base, override, record, this.#families[metric]);
    return this.#tables.get(metric)?.findByValues(values) as CellOf<M>;
  }
}
