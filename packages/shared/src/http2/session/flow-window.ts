import { MAX_WINDOW_BYTES } from "../frames/frame-type.ts";

/** What we may still send; may be negative after the peer lowered its initial window (RFC 9113 section 6.9.2). */
export class SendWindow {
  available: number;

  constructor(initialBytes: number) {
    this.available = initialBytes;
  }

  /** @returns false when the window would pass 2^31-1; it is then unchanged */
  grow(bytes: number): boolean {
    if (this.available + bytes > MAX_WINDOW_BYTES) return false;
    this.available += bytes;
    return true;
  }
}

/** Credit is returned to the peer when this share of the window waits: few frames, and the window never looks shut. */
const RETURN_SHARE = 0.5;

/**
 * What the peer may still send, and what we owe it. Invariant: available + owed + bytes held by owners = size.
 * Spec: RFC 9113 section 6.9.
 */
export class ReceiveWindow {
  #available: number;
  #owed = 0;
  #threshold: number;

  constructor(sizeBytes: number) {
    this.#available = sizeBytes;
    this.#threshold = Math.max(1, Math.floor(sizeBytes * RETURN_SHARE));
  }

  get available(): number {
    return this.#available;
  }

  /** Bytes passed on but not yet returned to the peer. */
  get owed(): number {
    return this.#owed;
  }

  /** @returns false when the peer sent more than it was allowed to */
  take(bytes: number): boolean {
    if (bytes > this.#available) return false;
    this.#available -= bytes;
    return true;
  }

  /** @returns the increment to announce now, 0 = later */
  give(bytes: number): number {
    this.#owed += bytes;
    if (this.#owed < this.#threshold) return 0;
    const increment = this.#owed;
    this.#owed = 0;
    this.#available += increment;
    return increment;
  }

  /** Our own SETTINGS_INITIAL_WINDOW_SIZE took effect. */
  resize(deltaBytes: number, sizeBytes: number): void {
    this.#available += deltaBytes;
    this.#threshold = Math.max(1, Math.floor(sizeBytes * RETURN_SHARE));
  }
}
