import type { Clock } from "../../time/index.ts";

/** A file written to this recently may not be complete: it is read once it has been left alone for so long. */
export const SETTLE_MS = 40;
/** A file that lost objects gets longer, because truncating and writing again is not one step. */
export const SHRUNK_SETTLE_MS = 200;
/** A file that vanished may come back at once: many editors replace by removing. */
export const MISSING_SETTLE_MS = 100;
/** A file that is written to without end is read anyway. */
const MAX_SETTLE_MS = 2_000;

/** Remembers which files are being waited for, and for how long. */
export class Settling {
  readonly #clock: Clock;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long to wait before a file modified at `mtimeMs` counts as left alone for `settleMs`; 0: it does. */
  waitMs(path: string, mtimeMs: number, settleMs: number): number {
    const now = this.#clock.monotonic();
    const since = this.#since.get(path) ?? now;
    const ageMs = this.#clock.now() - mtimeMs;
    // A time from the future is a clock that jumped, not a file still being written.
    if (ageMs < 0 || ageMs >= settleMs || now - since > MAX_SETTLE_MS) return 0;
    this.#since.set(path, since);
    return settleMs - ageMs;
  }

  /** For a file that is gone: true on the second look, after which it counts as removed. */
  isGone(path: string): boolean {
    if (this.#since.has(path)) return true;
    this.#since.set(path, this.#clock.monotonic());
    return false;
  }

  done(path: string): void {
    this.#since.delete(path);
  }
}
