import { create } from "@bufbuild/protobuf";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type Node,
  type Resource,
} from "../proto/index.ts";
import { replyTo } from "./delta-state.ts";
import type { Rejection } from "./read-resources.ts";

/** A type of resource, and whether all of it is wanted or names are. */
export interface SubscribedType {
  readonly typeUrl: string;
  readonly style: "wildcard" | "named";
}

export interface ReceivedResource {
  readonly name: string;
  readonly version: string;
  /** The message of the type, encoded. */
  readonly bytes: Uint8Array;
}

/** What one response changes. Removals come after upserts; an unknown name among them has no effect. */
export interface ResourceUpdate {
  readonly typeUrl: string;
  readonly upserted: readonly ReceivedResource[];
  readonly removed: readonly string[];
}

/** A response, read but not yet answered. */
export interface ResourceReception {
  readonly nonce: string;
  /** Of all resources together. */
  readonly bytes: number;
  /** Without what nobody asked for. */
  readonly update: ResourceUpdate;
  /** What is no resource of the type. */
  readonly rejected: readonly Rejection[];
}

interface TypeState {
  readonly style: SubscribedType["style"];
  /** Of named types. */
  wanted: ReadonlySet<string>;
  /** Version in force, by name. */
  readonly held: Map<string, string>;
  /** Names about which the control plane has said something, good or bad. */
  readonly answered: Set<string>;
  /** The first message of this type went out on the stream. */
  isOpen: boolean;
  isReceived: boolean;
}

/** Asking for it would ask for everything. */
const WILDCARD = "*";

/**
 * The client's side of the delta protocol for subscriptions that change, without the transport. Survives streams.
 *
 * A change of names is a message of its own, never part of an ACK. A type of which no name is wanted yet is not
 * mentioned at all: the first message without names would ask for all of it.
 *
 * Spec: xDS transport protocol, incremental variant.
 */
export class Subscriptions {
  readonly #node: Node;
  readonly #types: ReadonlyMap<string, TypeState>;

  /** @param types  in the order in which a new stream asks for them */
  constructor(node: Node, types: readonly SubscribedType[]) {
    this.#node = node;
    this.#types = new Map(types.map(({ typeUrl, style }) => [typeUrl, newState(style)]));
  }

  /** The first messages of a new stream, claiming what is still held. */
  openRequests(): DeltaDiscoveryRequest[] {
    const requests: DeltaDiscoveryRequest[] = [];
    for (const [typeUrl, state] of this.#types) {
      state.isOpen = state.style === "wildcard" || state.wanted.size > 0;
      if (state.isOpen) requests.push(this.#firstRequest(typeUrl, state));
    }
    return requests;
  }

  /**
   * Replaces the names wanted of a named type. What is held of others is forgotten.
   *
   * @param onStream  whether a stream is open that has to hear of it
   * @returns the message to send, if any, and the names no longer wanted
   */
  want(
    typeUrl: string,
    names: Iterable<string>,
    onStream: boolean,
  ): { readonly request: DeltaDiscoveryRequest | undefined; readonly released: readonly string[] } {
    const state = this.#types.get(typeUrl);
    if (state === undefined || state.style !== "named") return { request: undefined, released: [] };
    const before = state.wanted;
    const wanted = new Set(names);
    wanted.delete(WILDCARD);
    state.wanted = wanted;
    const released = [...before].filter((name) => !wanted.has(name));
    for (const name of released) {
      state.held.delete(name);
      state.answered.delete(name);
    }
    return { request: onStream ? this.#change(typeUrl, state, before, released) : undefined, released };
  }

  /** Reads a response; nothing changes until `record`. Undefined for a type nobody asked for: ACK it with `ignore`. */
  read(response: DeltaDiscoveryResponse): ResourceReception | undefined {
    const { typeUrl, nonce } = response;
    const state = this.#types.get(typeUrl);
    if (state === undefined) return undefined;
    const upserted = new Map<string, ReceivedResource>();
    const rejected: Rejection[] = [];
    for (const resource of response.resources) {
      if (!isWanted(state, resource.name)) continue;
      const fault = faultOf(resource, typeUrl);
      if (fault !== undefined) rejected.push({ name: resource.name, reason: fault });
      else upserted.set(resource.name, receivedOf(resource));
    }
    const bytes = response.resources.reduce((sum, { resource }) => sum + (resource?.value.length ?? 0), 0);
    const removed = response.removedResources.filter((name) => isWanted(state, name));
    return { nonce, bytes, rejected, update: { typeUrl, upserted: [...upserted.values()], removed } };
  }

  /**
   * To be called once the update has been applied, so that only what is in force is claimed later.
   *
   * @param refused  by whoever applied it; the last good version of each stays held
   * @returns the ACK or NACK
   */
  record({ nonce, update, rejected }: ResourceReception, refused: readonly Rejection[]): DeltaDiscoveryRequest {
    const { typeUrl, upserted, removed } = update;
    const all = [...rejected, ...refused];
    const state = this.#types.get(typeUrl);
    if (state === undefined) return replyTo(typeUrl, nonce, all);
    const bad = new Set(all.map(({ name }) => name));
    state.isReceived = true;
    for (const name of [...bad, ...removed]) state.answered.add(name);
    for (const { name, version } of upserted) {
      if (!isWanted(state, name)) continue;
      state.answered.add(name);
      if (!bad.has(name)) state.held.set(name, version);
    }
    for (const name of removed) state.held.delete(name);
    return replyTo(typeUrl, nonce, all);
  }

  ignore({ typeUrl, nonce }: DeltaDiscoveryResponse): DeltaDiscoveryRequest {
    return replyTo(typeUrl, nonce, []);
  }

  /** Whether a response of this type was ever applied. */
  isReceived(typeUrl: string): boolean {
    return this.#types.get(typeUrl)?.isReceived ?? false;
  }

  /** Names wanted of which nothing was heard yet. */
  missing(typeUrl: string): readonly string[] {
    const state = this.#types.get(typeUrl);
    return state === undefined ? [] : [...state.wanted].filter((name) => !state.answered.has(name));
  }

  #change(
    typeUrl: string,
    state: TypeState,
    before: ReadonlySet<string>,
    released: readonly string[],
  ): DeltaDiscoveryRequest | undefined {
    if (!state.isOpen) {
      state.isOpen = state.wanted.size > 0;
      return state.isOpen ? this.#firstRequest(typeUrl, state) : undefined;
    }
    const resourceNamesSubscribe = [...state.wanted].filter((name) => !before.has(name));
    if (resourceNamesSubscribe.length + released.length === 0) return undefined;
    const resourceNamesUnsubscribe = [...released];
    return create(DeltaDiscoveryRequestSchema, { typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe });
  }

  #firstRequest(typeUrl: string, state: TypeState): DeltaDiscoveryRequest {
    return create(DeltaDiscoveryRequestSchema, {
      node: this.#node,
      typeUrl,
      resourceNamesSubscribe: [...state.wanted],
      initialResourceVersions: Object.fromEntries(state.held),
    });
  }
}

const newState = (style: SubscribedType["style"]): TypeState => ({
  style,
  wanted: new Set(),
  held: new Map(),
  answered: new Set(),
  isOpen: false,
  isReceived: false,
});

const isWanted = ({ style, wanted }: TypeState, name: string): boolean => style === "wildcard" || wanted.has(name);

function faultOf({ name, resource }: Resource, typeUrl: string): string | undefined {
  if (name === "") return "expected a name";
  if (resource === undefined) return "expected a resource, got none";
  return resource.typeUrl === typeUrl ? undefined : `expected ${typeUrl}, got ${resource.typeUrl.slice(0, 200)}`;
}

const receivedOf = ({ name, version, resource }: Resource): ReceivedResource => ({
  name,
  version,
  bytes: resource?.value ?? new Uint8Array(),
});
