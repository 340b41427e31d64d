import type { Clock } from "@ambit/shared/time";

/**
 * One moment by which something must have happened, moved often and reached rarely: moving it later costs a comparison,
 * not a timer.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #onReached: () => void;
  #at = Number.POSITIVE_INFINITY;
  #timerAt = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, onReached: () => void) {
    this.#clock = clock;
    this.#onReached = onReached;
  }

  /** @param delayMs from now; 0 = never */
  set(delayMs: number): void {
    if (delayMs <= 0) {
      this.clear();
      return;
    }
    this.#at = this.#clock.monotonic() + delayMs;
    if (this.#timerAt > this.#at) this.#arm(delayMs);
  }

  /** The timer, if any, runs on; it will find nothing to do. */
  clear(): void {
    this.#at = Number.POSITIVE_INFINITY;
  }

  stop(): void {
    this.clear();
    this.#cancel?.();
    this.#cancel = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #arm(delayMs: number): void {
    this.#cancel?.();
    this.#timerAt = this.#clock.monotonic() + delayMs;
    this.#cancel = this.#clock.after(delayMs, () => this.#onTimer());
  }

  #onTimer(): void {
    this.#cancel = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.#at === Number.POSITIVE_INFINITY) return;
    const left = this.#at - this.#clock.monotonic();
    if (left > 0.5) {
      this.#arm(left);
      return;
    }
    this.clear();
    this.#onReached();
  }
}
