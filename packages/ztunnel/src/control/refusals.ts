import type { ConnectionRecord } from "../observe/records.ts";

const MAX_REFUSALS = 1_000;

/** One refusal as `GET /debug/refusals` shows it. */
export interface Refusal {
  /** RFC 3339. */
  readonly at: string;
  /** `namespace/name` when known, else the pod's uid. */
  readonly pod: string;
  readonly direction: "inbound" | "outbound";
  readonly source: string;
  readonly destination: string;
  /** A code of docs/errors.md. */
  readonly reason: string;
  readonly policy?: string;
  readonly message: string;
}

/** The last 1 000 refusals, oldest first. */
export class RefusalRing {
  readonly #ring: Refusal[] = [];
  #next = 0;

  /** @param pod  `namespace/name` of the record's pod */
  add(record: ConnectionRecord, pod: string): void {
    this.#ring[this.#next] = {
      at: new Date(record.atMs).toISOString(),
      pod,
      direction: record.direction,
      source: describeEnd(record.source.identity || record.source.workload, record.sourceAddress),
      destination: describeEnd(
        record.destinationService.hostname || record.destination.workload,
        record.hboneAddress || record.destinationAddress,
      ),
      reason: record.code ?? record.flag,
      ...(record.policy === undefined ? {} : { policy: record.policy }),
      message: record.message ?? "",
    };
    this.#next = (this.#next + 1) % MAX_REFUSALS;
  }

  list(): readonly Refusal[] {
    return this.#ring.length < MAX_REFUSALS
      ? [...this.#ring]
      : [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
  }
}

const describeEnd = (name: string, address: string): string => (name === "" ? address : `${name} (${address})`);
