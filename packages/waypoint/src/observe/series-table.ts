/**
 * Finds the time series of a label set without building its text: by the identity of the three parties and one number for
 * the rest. The text is built when a combination is seen for the first time.
 */
import type { Parties } from "./metric-labels.ts";

interface Entry<S> {
  readonly series: S;
  readonly values: readonly string[];
  used: boolean;
  /** Since when no expiry found it used; ms. */
  idleSince: number;
  /** Forgotten: whoever still holds the entry must look again. */
  dead: boolean;
  /** Of the overflow. */
  readonly isShared: boolean;
}

type ByNumber<S> = Map<number, Entry<S>>;
type ByService<S> = WeakMap<object, ByNumber<S>>;
type ByDestination<S> = WeakMap<object, ByService<S>>;

export interface SeriesTableInit<S> {
  readonly maxSeries: number;
  /** Label values of the series that all others share. Must have few distinct results. */
  readonly overflow: (values: readonly string[]) => readonly string[];
  readonly create: (values: readonly string[]) => S;
  /** Tells the metrics registry that a series is still in use. */
  readonly touch: (values: readonly string[]) => void;
}

/** Handles kept per series before all of them are forgotten and found again: parties may come and go. */
const HANDLES_PER_SERIES = 4;
const NO_SERVICE = {};

export class SeriesTable<S> {
  readonly #init: SeriesTableInit<S>;
  readonly #byText = new Map<string, Entry<S>>();
  readonly #shared = new Map<string, Entry<S>>();
  #bySource = new WeakMap<object, ByDestination<S>>();
  #handles = 0;
  #overflowed = 0;

  constructor(init: SeriesTableInit<S>) {
    this.#init = init;
  }

  get size(): number {
    return this.#byText.size;
  }

  /** Uses of label sets that found no room. */
  get overflowed(): number {
    return this.#overflowed;
  }

  /** @param key  tells apart what the parties do not; equal keys must mean equal `values` for the same parties */
  find(parties: Parties, key: number, values: () => readonly string[]): S {
    const byNumber = this.#numbersOf(parties);
    let entry = byNumber.get(key);
    if (entry === undefined || entry.dead) {
      entry = this.#entryOf(values());
      if (++this.#handles > this.#init.maxSeries * HANDLES_PER_SERIES) this.#forgetHandles();
      byNumber.set(key, entry);
    }
    return this.#use(entry);
  }

  /** For label sets that parties and a number do not tell apart. */
  findByValues(values: readonly string[]): S {
    return this.#use(this.#entryOf(values));
  }

  #use(entry: Entry<S>): S {
    entry.used = true;
    if (entry.isShared) this.#overflowed++;
    return entry.series;
  }

  #numbersOf({ source, destination, destinationService }: Parties): ByNumber<S> {
    const byDestination = getOrAdd(this.#bySource, source, newWeakMap<ByService<S>>);
    const byService = getOrAdd(byDestination, destination, newWeakMap<ByNumber<S>>);
    return getOrAdd(byService, destinationService ?? NO_SERVICE, () => new Map());
  }

  #entryOf(values: readonly string[]): Entry<S> {
    const text = textOf(values);
    const found = this.#byText.get(text);
    if (found) return found;
    if (this.#byText.size < this.#init.maxSeries) return this.#add(this.#byText, text, values);
    const shared = this.#init.overflow(values);
    const sharedText = textOf(shared);
    return this.#shared.get(sharedText) ?? this.#add(this.#shared, sharedText, shared);
  }

  #add(map: Map<string, Entry<S>>, text: string, values: readonly string[]): Entry<S> {
    const isShared = map === this.#shared;
    const entry = { series: this.#init.create(values), values, used: true, idleSince: 0, dead: false, isShared };
    map.set(text, entry);
    return entry;
  }

  #forgetHandles(): void {
    this.#bySource = new WeakMap();
    this.#handles = 0;
  }

  /** Forgets series that nobody used for `idleMs`. Called now and then, with a monotonic clock. */
  expire(nowMs: number, idleMs: number): void {
    let freed = false;
    for (const [text, entry] of this.#byText) {
      if (this.#isIdle(entry, nowMs, idleMs)) {
        this.#byText.delete(text);
        freed = true;
      }
    }
    for (const entry of this.#shared.values()) this.#init.touch(entry.values);
    // There is room again: those that shared a series may get their own.
    if (freed && this.#shared.size > 0) this.#forgetHandles();
  }

  #isIdle(entry: Entry<S>, nowMs: number, idleMs: number): boolean {
    if (entry.used) {
      entry.used = false;
      entry.idleSince = nowMs;
      this.#init.touch(entry.values);
      return false;
    }
    if (nowMs - entry.idleSince < idleMs) {
      this.#init.touch(entry.values);
      return false;
    }
    entry.dead = true;
    return true;
  }
}

const textOf = (values: readonly string[]): string => values.join("\u001f");
const newWeakMap = <V>(): WeakMap<object, V> => new WeakMap();

function getOrAdd<V>(map: WeakMap<object, V>, key: object, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
