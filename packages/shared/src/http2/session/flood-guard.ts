import type { Clock } from "../../time/index.ts";
import type { FloodLimits } from "../api.ts";

/** Size under which a DATA frame counts as a dribble. */
export const TINY_DATA_BYTES = 64;

/** Frames of a kind within the current time window. */
export class FrameCount {
  #count = 0;
  #windowStart = 0;

  /** @returns false when one more than `limit` came within `windowMs` */
  allow(now: number, limit: number, windowMs: number): boolean {
    if (now - this.#windowStart >= windowMs) {
      this.#windowStart = now;
      this.#count = 0;
    }
    this.#count++;
    return this.#count <= limit;
  }
}

/** Counts, for one session, what costs us work and the peer nothing. Every method returns false at the limit. */
export class FloodGuard {
  readonly #limits: FloodLimits;
  readonly #clock: Clock;
  readonly #control = new FrameCount();
  readonly #resets = new FrameCount();
  /** WINDOW_UPDATEs that our own DATA justifies. */
  #updatesDue = 64;
  /** PINGs that our own DATA justifies: gRPC peers measure the path with one for each burst that they receive. */
  #pingsDue = 0;

  constructor(limits: FloodLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  controlFrame(): boolean {
    return this.#control.allow(this.#clock.monotonic(), this.#limits.controlFrames, this.#limits.windowMs);
  }

  /** A stream that was opened and given up before we answered, by RST_STREAM or by breaking a rule. */
  reset(): boolean {
    return this.#resets.allow(this.#clock.monotonic(), this.#limits.resets, this.#limits.windowMs);
  }

  /** @param count the stream's own */
  tinyData(count: FrameCount): boolean {
    return count.allow(this.#clock.monotonic(), this.#limits.tinyDataFrames, this.#limits.windowMs);
  }

  continuation(framesInBlock: number): boolean {
    return framesInBlock <= this.#limits.continuations;
  }

  /** DATA we send entitles the peer to answer with some WINDOW_UPDATEs and a PING. */
  dataSent(bytes: number): void {
    this.#updatesDue += 4 + (bytes >>> 10);
    if (this.#pingsDue < this.#limits.controlFrames) this.#pingsDue++;
  }

  ping(): boolean {
    if (this.#pingsDue === 0) return this.controlFrame();
    this.#pingsDue--;
    return true;
  }

  windowUpdate(): boolean {
    if (this.#updatesDue <= 0) return this.controlFrame();
    this.#updatesDue--;
    return true;
  }
}
