import type { Clock } from "../time/index.ts";

const WINDOW_MS = 1_000;

/**
 * So many lines a second about what anybody may send as often as he likes. The next line that is written says how many
 * were left out before it; metrics count them all.
 */
export class LineLimit {
  readonly #clock: Clock;
  readonly #perSecond: number;
  #windowStart = Number.NEGATIVE_INFINITY;
  #written = 0;
  #leftOut = 0;

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** @returns how many were left out since the last line; undefined = this one is to be left out too */
  next(): number | undefined {
    const now = this.#clock.monotonic();
    if (now - this.#windowStart >= WINDOW_MS) {
      this.#windowStart = now;
      this.#written = 0;
    }
    if (this.#written >= this.#perSecond) {
      this.#leftOut++;
      return undefined;
    }
    this.#written++;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut;
  }
}
