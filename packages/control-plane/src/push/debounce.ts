import type { Clock } from "@ambit/shared/time";

/** Runs `task` once things were quiet for `quietMs`, and at the latest `longestMs` after the first trigger. */
export class Debounce {
  readonly #clock: Clock;
  readonly #quietMs: number;
  readonly #longestMs: number;
  readonly #task: () => void;
  #firstAt: number | undefined;
  #cancel = (): void => {};
  #stopped = false;

  constructor(clock: Clock, quietMs: number, longestMs: number, task: () => void) {
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#longestMs = longestMs;
    this.#task = task;
  }

  trigger(): void {
    if (this.#stopped) return;
    const now = this.#clock.monotonic();
    this.#firstAt ??= now;
    this.#cancel();
    const left = this.#firstAt + this.#longestMs - now;
    this.#cancel = this.#clock.after(Math.max(0, Math.min(this.#quietMs, left)), () => {
      this.#firstAt = undefined;
      this.#task();
    });
  }

  /** For good: what is triggered afterwards does not happen. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }
}
