/** The last refusals with their reasons, for the admin port and the command line. */

/** As `GET /debug/refusals` shows it; the same fields as ztunnel's. */
export interface RecentRefusal {
  /** RFC 3339. */
  readonly at: string;
  readonly source: string;
  readonly destination: string;
  /** A code of docs/errors.md. */
  readonly reason: string;
  /** `namespace/name`. */
  readonly policy?: string;
  readonly message: string;
}

const MAX_REFUSALS = 1_000;

export class RecentRefusals {
  readonly #ring: RecentRefusal[] = [];
  #next = 0;

  add(refusal: RecentRefusal): void {
    this.#ring[this.#next] = refusal;
    this.#next = (this.#next + 1) % MAX_REFUSALS;
  }

  /** Oldest first. */
  list(): readonly RecentRefusal[] {
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
  }
}
