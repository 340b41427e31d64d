/** The clocks of one forwarded request. Each runs at most once at a time; all of them end with the request. */
import type { Clock } from "@ambit/shared/time";

const NEVER_CANCEL = (): void => {};

export class RequestTimers {
  readonly #clock: Clock;
  #deadlineMs: number | undefined;
  #lastActivityMs = 0;
  #cancelDeadline = NEVER_CANCEL;
  #cancelTry = NEVER_CANCEL;
  #cancelLater = NEVER_CANCEL;
  #cancelIdle = NEVER_CANCEL;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Until the deadline; undefined = none runs. */
  get remainingMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - this.#clock.monotonic();
  }

  /** Of the whole request, all tries and waits included; the first call counts. 0 = none. */
  startDeadline(ms: number, onOver: () => void): void {
    if (ms <= 0 || this.#deadlineMs !== undefined) return;
    this.#deadlineMs = this.#clock.monotonic() + ms;
    this.#cancelDeadline = this.#clock.after(ms, onOver);
  }

  /** Of one try. 0 = none. */
  startTry(ms: number, onOver: () => void): void {
    this.#cancelTry();
    if (ms > 0) this.#cancelTry = this.#clock.after(ms, onOver);
  }

  cancelTry(): void {
    this.#cancelTry();
  }

  /** The one thing that waits for its time: the next try, or the end of what is left. */
  later(ms: number, task: () => void): void {
    this.#cancelLater();
    this.#cancelLater = this.#clock.after(ms, task);
  }

  /** Something moved. */
  touch(): void {
    this.#lastActivityMs = this.#clock.monotonic();
  }

  /** Nothing moved for so long. Activity only notes the time: no timer is touched per chunk. 0 = no limit. */
  watchIdle(limitMs: number, onOver: () => void): void {
    if (limitMs <= 0) return;
    this.touch();
    const check = (): void => {
      const leftMs = limitMs - (this.#clock.monotonic() - this.#lastActivityMs);
      if (leftMs > 0) this.#cancelIdle = this.#clock.after(leftMs, check);
      else onOver();
    };
    this.#cancelIdle = this.#clock.after(limitMs, check);
  }

  cancel(): void {
    this.#cancelDeadline();
    this.#cancelTry();
    this.#cancelLater();
    this.#cancelIdle();
  }
}
