import type { Clock } from "@ambit/shared/time";

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  readonly #timers = new Map<() => void, number>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(delayMs: number, task: () => void): () => void {
    const entry = (): void => task();
    this.#timers.set(entry, this.#nowMs + delayMs);
    return () => this.#timers.delete(entry);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves on and runs what is due, in order of its time. */
  advance(byMs: number): void {
    this.#nowMs += byMs;
    const due = [...this.#timers].filter(([, at]) => at <= this.#nowMs).sort((a, b) => a[1] - b[1]);
    for (const [task] of due) if (this.#timers.delete(task)) task();
  }
}
