import { invariant } from "../errors/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import { type Counter, Family, type FamilyInit, type Gauge, type Histogram } from "./family.ts";

type Describe = Omit<FamilyInit, "type">;

/** What one series holds; `render` yields its sample lines. */
interface Cell {
  render(name: string, labels: string): string;
}

export type CounterFamily = Family<Counter & Cell>;
export type GaugeFamily = Family<Gauge & Cell>;
export type HistogramFamily = Family<Histogram & Cell>;

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

export function createRegistry(clock: Clock = systemClock): MetricsRegistry {
  const families = new Map<string, Family<Cell>>();
  const tasks: (() => void | Promise<void>)[] = [];
  const now = (): number => clock.monotonic();
  function add<T extends Cell>(init: FamilyInit, makeCell: () => T): Family<T> {
    invariant(
      /^[a-z_][a-z0-9_]*$/.test(init.name) && !families.has(init.name),
      `metric ${init.name} is registered once`,
    );
    const family = new Family(init, makeCell, now);
    families.set(init.name, family);
    return family;
  }
  return {
    counter: (describe) => add({ ...describe, type: "counter" }, counterCell),
    gauge: (describe) => add({ ...describe, type: "gauge" }, gaugeCell),
    histogram: ({ buckets, ...describe }) => add({ ...describe, type: "histogram" }, () => histogramCell(buckets)),
    beforeScrape: (task) => tasks.push(task),
    describe: () =>
      [...families.values()].map(({ name, type, labelNames }) => ({
        name: type === "counter" ? `${name}_total` : name,
        type,
        labels: labelNames,
      })),
    async scrape() {
      for (const task of tasks) await task();
      return `${[...families.values()].map(renderFamily).join("")}# EOF\n`;
    },
  };
}

function renderFamily(family: Family<Cell>): string {
  if (family.size === 0) return "";
  let text = `# HELP ${family.name} ${family.help.replace(/\n/g, " ")}\n# TYPE ${family.name} ${family.type}\n`;
  for (const { labels, cell } of family.entries()) text += cell.render(family.name, labels);
  return text;
}

const sample = (name: string, labels: string, value: number): string =>
  `${name}${labels === "" ? "" : `{${labels}}`} ${value}\n`;

function counterCell(): Counter & Cell {
  let value = 0;
  return {
    inc(by = 1) {
      if (by > 0) value += by;
    },
    render: (name, labels) => sample(`${name}_total`, labels, value),
  };
}

function gaugeCell(): Gauge & Cell {
  let value = 0;
  return {
    set(next) {
      value = next;
    },
    add(by) {
      value += by;
    },
    render: (name, labels) => sample(name, labels, value),
  };
}

function histogramCell(buckets: readonly number[]): Histogram & Cell {
  const counts = buckets.map(() => 0);
  let count = 0;
  let sum = 0;
  return {
    observe(value) {
      count++;
      sum += value;
      const index = buckets.findIndex((bound) => value <= bound);
      if (index >= 0) counts[index] = (counts[index] ?? 0) + 1;
    },
    render(name, labels) {
      let cumulative = 0;
      const prefix = labels === "" ? "" : `${labels},`;
      const lines = buckets.map((bound, i) => {
        cumulative += counts[i] ?? 0;
        return sample(`${name}_bucket`, `${prefix}le="${formatBound(bound)}"`, cumulative);
      });
      const total = sample(`${name}_bucket`, `${prefix}le="+Inf"`, count);
      return `${lines.join("")}${total}${sample(`${name}_sum`, labels, sum)}${sample(`${name}_count`, labels, count)}`;
    },
  };
}

/** OpenMetrics wants a canonical float: `1` is printed `1.0`. */
const formatBound = (bound: number): string => (Number.isInteger(bound) ? `${bound}.0` : String(bound));
