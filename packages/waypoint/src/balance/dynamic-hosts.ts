/**
 * Addresses of hosts that requests name, for clusters of a wildcard: looked up when somebody asks, kept for a while.
 *
 * Whoever may send a request chooses the name, so what a name leads to is judged each time it is looked up: public addresses only,
 * unless the operator allows more (server-side request forgery; DNS rebinding). What was judged is what is dialled.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { IpAddress } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import { type Lookup, systemLookup } from "./resolve-clusters.ts";

export interface DynamicHostsInit {
  readonly clock: Clock;
  readonly isAllowed: (address: IpAddress) => boolean;
  readonly lookUp?: Lookup | undefined;
}

/** Node tells no time to live. Parity: Envoy's dns_refresh_rate is 60 s; names of the internet change faster than that. */
const KEEP_MS = 30_000;
/** A name that leads nowhere is not asked for again at once. */
const KEEP_FAILURE_MS = 2_000;
const LOOKUP_TIMEOUT_MS = 5_000;
/** Parity: Envoy's max_hosts. */
const MAX_HOSTS = 1_024;
/** Running and waiting. */
const MAX_LOOKUPS = 64;
/** One takes a thread of the process's four for as long as DNS is silent, and strangers choose the names. */
const MAX_RUNNING = 2;

interface Known {
  readonly answer: Promise<IpAddress>;
  /** Undefined while it is looked up. */
  until: number | undefined;
}

export class DynamicHosts {
  readonly #init: DynamicHostsInit;
  /** The ones asked for least recently first. */
  readonly #known = new Map<string, Known>();
  #running = 0;
  readonly #waiting: (() => Promise<void>)[] = [];

  constructor(init: DynamicHostsInit) {
    this.#init = init;
  }

  /** @param hostname  lower case. Rejects with a MeshError NO_HEALTHY_UPSTREAM that says why */
  resolve(hostname: string): Promise<IpAddress> {
    const found = this.#known.get(hostname);
    const isFresh = found && (found.until === undefined || found.until > this.#init.clock.monotonic());
    const known = isFresh ? found : this.#lookUp(hostname);
    if (known === undefined) return Promise.reject(unreachable(hostname, "too many names are being looked up"));
    this.#known.delete(hostname);
    this.#known.set(hostname, known);
    if (this.#known.size > MAX_HOSTS) this.#known.delete(this.#known.keys().next().value ?? "");
    return known.answer;
  }

  #lookUp(hostname: string): Known | undefined {
    if (this.#running + this.#waiting.length >= MAX_LOOKUPS) return undefined;
    const known: Known = { answer: this.#answer(hostname), until: undefined };
    const keep = (forMs: number): void => {
      known.until = this.#init.clock.monotonic() + forMs;
    };
    known.answer.then(
      () => keep(KEEP_MS),
      () => keep(KEEP_FAILURE_MS),
    );
    return known;
  }

  async #answer(hostname: string): Promise<IpAddress> {
    const addresses = await this.#addresses(hostname);
    const allowed = addresses.find((address) => this.#init.isAllowed(address));
    if (allowed !== undefined) return allowed;
    const why = addresses.length === 0 ? "has no address" : "leads to no public address, and to none that is allowed";
    throw unreachable(hostname, why);
  }

  #addresses(hostname: string): Promise<readonly IpAddress[]> {
    const { clock, lookUp = systemLookup } = this.#init;
    return new Promise((resolve, reject) => {
      let isLate = false;
      const cancel = clock.after(LOOKUP_TIMEOUT_MS, () => {
        isLate = true;
        reject(unreachable(hostname, "was not answered in time"));
      });
      this.#waiting.push(async () => {
        if (isLate) return;
        await lookUp(hostname).then(resolve, () => reject(unreachable(hostname, "is not known to DNS")));
        cancel();
      });
      this.#runNext();
    });
  }

  /** A lookup that nobody waits for any more still counts: nothing can end it. */
  #runNext(): void {
    while (this.#running < MAX_RUNNING) {
      const task = this.#waiting.shift();
      if (task === undefined) return;
      this.#running += 1;
      void task().finally(() => {
        this.#running -= 1;
        this.#runNext();
      });
    }
  }
}

const unreachable = (hostname: string, why: string): MeshError =>
  new MeshError(ErrorCode.NO_HEALTHY_UPSTREAM, `the host ${hostname.slice(0, 253)} ${why}`, { origin: "upstream" });
