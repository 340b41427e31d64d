/** Stage "push": what one client has of one type, and what it still needs. No I/O; the whole of the delta protocol's state. */
import type { DeltaDiscoveryRequest, Resource } from "@ambit/shared/proto";
import type { ResourceStore } from "./resource-store.ts";

/** What the client said of a response. */
export type Acknowledgement =
  | { readonly kind: "none" }
  | { readonly kind: "ack" }
  | { readonly kind: "nack"; readonly reason: string }
  /** Of a response that is not the latest, or was answered before; means nothing. */
  | { readonly kind: "stale" };

/** One response to send. A name stands in `removed` when the client has it or asked for it, and it does not exist. */
export interface Push {
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
}

const WILDCARD = "*";
const MAX_NAMES = 100_000;
const MAX_REASON = 2_000;

/**
 * Delta subscription of one type on one stream. At most one response is unacknowledged; what changes meanwhile is
 * remembered by name only, so a slow reader costs a set of names and gets the latest state of each once it catches up.
 *
 * Spec: xDS protocol, "Incremental xDS"
 */
export class Subscription {
  readonly typeUrl: string;
  readonly #store: ResourceStore;
  readonly #keepsAcknowledged: boolean;
  readonly #names = new Set<string>();
  /** Name -> version the client has; undefined version = known not to exist. */
  readonly #sent = new Map<string, string | undefined>();
  readonly #dirty = new Set<string>();
  #wildcard = false;
  #started = false;
  #answered = false;
  #nonce = "";
  #outstanding = false;
  /** What the outstanding response said of each name; undefined version = removed. */
  #inFlight: readonly (readonly [string, string | undefined])[] = [];
  /** Name -> version the client said it has taken. */
  readonly #acknowledged = new Map<string, string>();
  #refusal: string | undefined;

  /** @param keepsAcknowledged  remember which versions the client took, at the cost of one entry a resource */
  constructor(typeUrl: string, store: ResourceStore, keepsAcknowledged = false) {
    this.typeUrl = typeUrl;
    this.#store = store;
    this.#keepsAcknowledged = keepsAcknowledged;
  }

  get outstanding(): boolean {
    return this.#outstanding;
  }

  get dirty(): number {
    return this.#dirty.size;
  }

  /** Why the client refused the last response it answered; undefined when it took it. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** Versions the client has taken, by name. Empty for types of which that is not kept. */
  acknowledged(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#acknowledged);
  }

  /** Whether the client asked for this very name. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Whether anything could be sent now, the empty first answer included. */
  get pending(): boolean {
    return this.#started && !this.#outstanding && (this.#dirty.size > 0 || !this.#answered);
  }

  /** Whether a resource that exists waits to be sent; costs one look-up a due name. */
  hasUpsertsDue(): boolean {
    for (const name of this.#dirty) if (this.#store.resolve(this.typeUrl, name)) return true;
    return false;
  }

  /** Takes one request of this type. Throws nothing; names over the bound are not subscribed. */
  request(request: DeltaDiscoveryRequest): Acknowledgement {
    const acknowledgement = this.#acknowledge(request);
    const first = !this.#started;
    this.#started = true;
    if (first) this.#begin(request);
    for (const name of request.resourceNamesSubscribe) this.#subscribe(name);
    for (const name of request.resourceNamesUnsubscribe) this.#unsubscribe(name);
    return acknowledgement;
  }

  /** Names of this type changed in the store. */
  changed(names: readonly string[]): void {
    if (!this.#started) return;
    for (const name of names)
      if (this.#wildcard || this.#names.has(name) || this.#sent.has(name)) this.#dirty.add(name);
  }

  /** Names the client has to be told again although nothing of them changed; those it did not ask for are passed over. */
  repeat(names: readonly string[]): void {
    for (const name of names) if (this.#names.has(name)) this.#subscribe(name);
  }

  /**
   * Takes the next response out. `only` picks the upserts or the removals of what is due, so that the caller can order
   * types against each other; the rest stays due. Undefined when there is nothing to say.
   */
  take(nonce: string, only: "upserts" | "removals" | "all" = "all"): Push | undefined {
    if (!this.pending) return undefined;
    const { resources, removed } = this.#takeDue(only);
    const empty = resources.length + removed.length === 0;
    // The very first answer is sent even when empty: it tells the client that this is all there is.
    if (empty && (this.#answered || only === "removals")) return undefined;
    this.#answered = true;
    this.#outstanding = true;
    this.#nonce = nonce;
    if (this.#keepsAcknowledged) {
      this.#inFlight = [
        ...resources.map(({ name, version }) => [name, version] as const),
        ...removed.map((name) => [name, undefined] as const),
      ];
    }
    return { resources, removed };
  }

  #takeDue(only: "upserts" | "removals" | "all"): Push {
    const resources: Resource[] = [];
    const removed: string[] = [];
    for (const name of this.#dirty) {
      const resource = this.#store.resolve(this.typeUrl, name);
      if (only === (resource ? "removals" : "upserts")) continue;
      this.#dirty.delete(name);
      if (resource && this.#noteSent(resource)) resources.push(resource);
      if (!resource && this.#noteGone(name)) removed.push(name);
    }
    return { resources, removed };
  }

  /** False when the client has this version already. */
  #noteSent(resource: Resource): boolean {
    if (this.#sent.get(resource.name) === resource.version) return false;
    this.#sent.set(resource.name, resource.version);
    return true;
  }

  /** False when the client neither has it nor waits for an answer about it. */
  #noteGone(name: string): boolean {
    const asked = this.#names.has(name);
    const known = this.#sent.get(name) !== undefined || (asked && !this.#sent.has(name));
    if (asked) this.#sent.set(name, undefined);
    else this.#sent.delete(name);
    return known;
  }

  #acknowledge(request: DeltaDiscoveryRequest): Acknowledgement {
    if (request.responseNonce === "") return { kind: "none" };
    // A second answer to one response says nothing new, and would be counted and logged as often as it is sent.
    if (request.responseNonce !== this.#nonce || !this.#outstanding) return { kind: "stale" };
    this.#outstanding = false;
    this.#refusal = request.errorDetail?.message.slice(0, MAX_REASON);
    if (this.#refusal !== undefined) return { kind: "nack", reason: this.#refusal };
    for (const [name, version] of this.#inFlight) {
      if (version === undefined) this.#acknowledged.delete(name);
      else this.#acknowledged.set(name, version);
    }
    this.#inFlight = [];
    return { kind: "ack" };
  }

  /** A first request without names is a wildcard; versions it brings are what a reconnecting client still holds. */
  #begin(request: DeltaDiscoveryRequest): void {
    for (const [name, version] of Object.entries(request.initialResourceVersions).slice(0, MAX_NAMES)) {
      this.#sent.set(name, version);
      this.#dirty.add(name);
    }
    if (request.resourceNamesSubscribe.length === 0) this.#subscribe(WILDCARD);
  }

  #subscribe(name: string): void {
    if (name === WILDCARD) {
      this.#wildcard = true;
      for (const known of this.#store.names(this.typeUrl)) this.#dirty.add(known);
      return;
    }
    if (this.#names.size >= MAX_NAMES && !this.#names.has(name)) return;
    this.#names.add(name);
    // Asking again means: send it again, whatever was sent before.
    this.#sent.delete(this.#store.resolve(this.typeUrl, name)?.name ?? name);
    this.#dirty.add(name);
  }

  #unsubscribe(name: string): void {
    if (name === WILDCARD) {
      this.#wildcard = false;
      for (const due of this.#dirty) if (!this.#names.has(due) && !this.#sent.has(due)) this.#dirty.delete(due);
      return;
    }
    this.#names.delete(name);
    // Under a wildcard what exists, or existed for the client, is still its business. Other names are forgotten: asking and
    // un-asking must not fill the memory.
    if (this.#wildcard && (this.#sent.get(name) !== undefined || this.#store.resolve(this.typeUrl, name))) return;
    this.#sent.delete(name);
    this.#dirty.delete(name);
  }
}
