/** Counts a body against the Content-Length that announced it. Spec: RFC 9113 section 8.1.1. */
export class DeclaredLength {
  #left: number | undefined;

  /** @param bytes undefined: anything goes */
  constructor(bytes: number | undefined) {
    this.#left = bytes;
  }

  /** @returns false when this is more than was announced */
  take(bytes: number): boolean {
    if (this.#left === undefined) return true;
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /** The body may end here. */
  get complete(): boolean {
    return this.#left === undefined || this.#left === 0;
  }
}
