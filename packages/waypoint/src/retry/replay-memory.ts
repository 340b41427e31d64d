/** Bounds of what is kept of request bodies while they may have to be sent again (`forward/request-body.ts` keeps it). */

/** Of one request. Parity: Linkerd. Over it the body still streams, but is not sent again. */
export const DEFAULT_REPLAY_BYTES = 64 * 1024;

/** What all kept bodies of a process may hold together. */
export class ReplayMemory {
  readonly #limitBytes: number;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** False: there is no room, and nothing was taken. */
  tryTake(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#limitBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#usedBytes = Math.max(0, this.#usedBytes - bytes);
  }
}
