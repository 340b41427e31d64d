import type { Random } from "@ambit/shared/time";

/** Weights under it count as it: a deadline must stay finite. */
const LEAST_WEIGHT = 1e-9;

/**
 * Earliest deadline first: a weighted round robin that spreads an endpoint's turns evenly instead of in a row. Each
 * turn moves the endpoint's deadline on by 1 / weight, so over any stretch of turns, for every two endpoints a and b
 * of constant weights, |turns(a) / w(a) - turns(b) / w(b)| <= 1 / w(a) + 1 / w(b).
 *
 * Weights are read again at each turn, so they may depend on load or age. O(log n) a turn, nothing is allocated.
 * First deadlines are random: many proxies that get the same update at once must not all start at the same endpoint.
 */
export class EdfSchedule {
  readonly #weightOf: (index: number) => number;
  readonly #deadlines: Float64Array;
  /** Binary heap of indices, earliest deadline at 0. */
  readonly #heap: Uint32Array;

  constructor(count: number, weightOf: (index: number) => number, random: Random) {
    this.#weightOf = weightOf;
    this.#deadlines = new Float64Array(count);
    this.#heap = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) {
      this.#deadlines[index] = random() * this.#stride(index);
      this.#heap[index] = index;
    }
    for (let slot = (count >>> 1) - 1; slot >= 0; slot -= 1) this.#sink(slot);
  }

  /** Whose turn it is; -1 of none. */
  next(): number {
    if (this.#heap.length === 0) return -1;
    const index = this.#heap[0]!;
    this.#deadlines[index] = this.#deadlines[index]! + this.#stride(index);
    this.#sink(0);
    return index;
  }

  #stride(index: number): number {
    return 1 / Math.max(this.#weightOf(index), LEAST_WEIGHT);
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    let slot = from;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= heap.length) return;
      if (child + 1 < heap.length && deadlines[heap[child + 1]!]! < deadlines[heap[child]!]!) child += 1;
      if (deadlines[heap[slot]!]! <= deadlines[heap[child]!]!) return;
      const held = heap[slot]!;
      heap[slot] = heap[child]!;
      heap[child] = held;
      slot = child;
    }
  }
}
