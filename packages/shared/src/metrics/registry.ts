import { type Metric, Gauge as PromGauge, Registry as PromRegistry } from "prom-client";
import { invariant } from "../errors/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import { type Counter, Family, type FamilyInit, type Gauge, type Histogram } from "./family.ts";
import { createHistogramCell, type HistogramCell, labelsOf, samplesOf } from "./histogram-cell.ts";

type Describe = Omit<FamilyInit, "type">;

export type CounterFamily = Family<Counter>;
export type GaugeFamily = Family<Gauge>;
export type HistogramFamily = Family<Histogram>;

/** The metrics of one process. Names are unique; a counter's name is given without `_total`. */
export interface MetricsRegistry {
  counter(describe: Describe): CounterFamily;
  gauge(describe: Describe): GaugeFamily;
  histogram(describe: Describe & { readonly buckets: readonly number[] }): HistogramFamily;
  /** Runs before every scrape, to set gauges from what is true now. */
  beforeScrape(task: () => void | Promise<void>): void;
  /** Every name as a scrape shows it (`_total` included), sample or not. */
  describe(): readonly { readonly name: string; readonly type: string; readonly labels: readonly string[] }[];
  /** OpenMetrics text; families without samples are left out. */
  scrape(): Promise<string>;
}

/** A family and how its numbers get into prom-client when a scrape wants them. */
interface Entry {
  readonly family: Family<unknown>;
  publish(): void;
}

interface Printed {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "histogram";
  readonly values: () => readonly object[];
}

/**
 * prom-client holds the names and writes the text. Counting itself is adding to a plain number: prom-client looks a label
 * set up by its text at every call, which a scrape can afford and a connection cannot.
 */
export function createRegistry(clock: Clock = systemClock): MetricsRegistry {
  const prom = new PromRegistry();
  prom.setContentType(PromRegistry.OPENMETRICS_CONTENT_TYPE as never);
  const entries = new Map<string, Entry>();
  const tasks: (() => void | Promise<void>)[] = [];
  const now = (): number => clock.monotonic();
  const add = <T>(family: Family<T>, publish: (family: Family<T>) => void): Family<T> => {
    entries.set(family.name, { family: family as Family<unknown>, publish: () => publish(family) });
    return family;
  };
  const promInit = ({ name, help, labelNames }: Describe) => {
    invariant(/^[a-z_][a-z0-9_]*$/.test(name) && !entries.has(name), `metric ${name} is registered once`);
    return { name, help: help.replace(/\n/g, " "), labelNames: [...labelNames], registers: [prom] };
  };
  /** prom-client's own metrics hash the label set at every use; it only needs to print ours. */
  const print = <T>({ values, ...shown }: Printed, family: Family<T>): Family<T> => {
    prom.registerMetric({ ...shown, get: async () => ({ ...shown, values: values() }) } as unknown as Metric);
    return add(family, () => {});
  };
  return {
    counter(describe) {
      const { name, help } = promInit(describe);
      const family = new Family<Counter & { value: number }>({ ...describe, type: "counter" }, counterCell, now);
      const values = () =>
        [...family.entries()].map(({ values, cell }) => ({
          labels: labelsOf(family.labelNames, values),
          value: cell.value,
        }));
      return print({ name, help, type: "counter", values }, family);
    },
    gauge(describe) {
      const metric = new PromGauge(promInit(describe));
      return add(new Family<Gauge & { value: number }>({ ...describe, type: "gauge" }, gaugeCell, now), (family) => {
        metric.reset();
        for (const { values, cell } of family.entries()) metric.set(labelsOf(family.labelNames, values), cell.value);
      });
    },
    histogram({ buckets, ...describe }) {
      const { name, help } = promInit(describe);
      const bounds = [...buckets].sort((a, b) => a - b);
      const family = new Family<HistogramCell>(
        { ...describe, type: "histogram" },
        (values) => createHistogramCell(bounds, values),
        now,
      );
      const values = () =>
        [...family.entries()].flatMap(({ cell }) => samplesOf(name, family.labelNames, bounds, cell));
      return print<Histogram>({ name, help, type: "histogram", values }, family);
    },
    beforeScrape: (task) => tasks.push(task),
    describe: () =>
      [...entries.values()].map(({ family: { name, type, labelNames } }) => ({
        name: type === "counter" ? `${name}_total` : name,
        type,
        labels: labelNames,
      })),
    async scrape() {
      for (const task of tasks) await task();
      let text = "";
      for (const [name, { family, publish }] of entries) {
        if (family.size === 0) continue;
        publish();
        text += `${await prom.getSingleMetricAsString(name)}\n`;
      }
      return `${text}# EOF\n`;
    },
  };
}

function counterCell(): Counter & { value: number } {
  const cell = {
    value: 0,
    inc(by = 1) {
      if (by > 0) cell.value += by;
    },
  };
  return cell;
}

function gaugeCell(): Gauge & { value: number } {
  const cell = {
    value: 0,
    set(next: number) {
      cell.value = next;
    },
    add(by: number) {
      cell.value += by;
    },
  };
  return cell;
}
