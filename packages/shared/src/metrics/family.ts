/** Values of a family's labels, in the order of its label names. */
export type LabelValues = readonly string[];

export interface Counter {
  /** Adds a non-negative amount, default 1. */
  inc(by?: number): void;
}

export interface Gauge {
  set(value: number): void;
  add(by: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

/** One time series: its label values and its numbers. */
interface Series<T> {
  readonly values: LabelValues;
  readonly cell: T;
  lastUsed: number;
}

/** Most series one family holds; further label sets share one overflow series. */
export const DEFAULT_MAX_SERIES = 10_000;

const MAX_LABEL_LENGTH = 512;
const MAX_LABELS = 64;

export interface FamilyInit {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly labelNames: readonly string[];
  readonly maxSeries?: number;
  /** Label values of the overflow series; default: `other` for each. */
  readonly overflow?: (values: LabelValues) => LabelValues;
}

/**
 * All series of one name. Label sets beyond the bound are counted in one overflow series, so that what peers send can
 * never grow memory (Linkerd GHSA-42mr-jpwh-m9rv is what happens without).
 */
export class Family<T> {
  readonly name: string;
  readonly help: string;
  readonly type: FamilyInit["type"];
  readonly #labelNames: string[];
  readonly #maxSeries: number;
  readonly #overflow: (values: LabelValues) => LabelValues;
  readonly #makeCell: (values: LabelValues) => T;
  readonly #now: () => number;
  readonly #series = new Map<string, Series<T>>();
  #overflowed = 0;

  constructor(init: FamilyInit, makeCell: (values: LabelValues) => T, now: () => number) {
    this.name = init.name;
    this.help = init.help;
    this.type = init.type;
    this.#labelNames = [...init.labelNames];
    this.#maxSeries = init.maxSeries ?? DEFAULT_MAX_SERIES;
    this.#overflow = init.overflow ?? ((values) => values.map(() => "other"));
    this.#makeCell = makeCell;
    this.#now = now;
  }

  get labelNames(): readonly string[] {
    return this.#labelNames;
  }

  /** One label more; series made before have no value for it. @returns its place, undefined when there is no room */
  addLabel(name: string): number | undefined {
    const found = this.#labelNames.indexOf(name);
    if (found >= 0) return found;
    return this.#labelNames.length < MAX_LABELS ? this.#labelNames.push(name) - 1 : undefined;
  }

  /** The series of these label values. Keep the result where the label set is known beforehand. */
  with(...values: LabelValues): T {
    const found = this.#series.get(values.join("\u001f"));
    if (found) {
      found.lastUsed = this.#now();
      return found.cell;
    }
    if (this.#series.size < this.#maxSeries) return this.#add(values);
    this.#overflowed++;
    const shared = this.#overflow(values);
    return this.#series.get(shared.join("\u001f"))?.cell ?? this.#add(shared);
  }

  /** Uses of label sets that found no room. */
  get overflowed(): number {
    return this.#overflowed;
  }

  get size(): number {
    return this.#series.size;
  }

  /** Forgets series that nobody used since `before` (ms, the registry's clock). Only for families nobody keeps handles of. */
  expire(before: number): void {
    for (const [key, series] of this.#series) if (series.lastUsed < before) this.#series.delete(key);
  }

  entries(): Iterable<{ readonly values: LabelValues; readonly cell: T }> {
    return this.#series.values();
  }

  #add(values: LabelValues): T {
    const bounded = values.map((value) => value.slice(0, MAX_LABEL_LENGTH));
    const series = { values: bounded, cell: this.#makeCell(bounded), lastUsed: this.#now() };
    this.#series.set(values.join("\u001f"), series);
    return series.cell;
  }
}
