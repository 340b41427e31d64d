import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node } from "../proto/index.ts";
import { type AdsConnection, AdsLoop, type AdsLoopInit, type AdsProtocol } from "./ads-loop.ts";
import type { Rejection } from "./read-resources.ts";
import { type ResourceUpdate, type SubscribedType, Subscriptions } from "./subscriptions.ts";
import type { TerminationReason } from "./termination.ts";

export interface ResourceClientInit extends AdsLoopInit {
  readonly node: Node;
  /** In the order in which a new stream asks for them. */
  readonly types: readonly SubscribedType[];
}

export interface ResourceHandlers {
  /**
   * Applies what it can. The response is answered when it returned (or its promise resolved), with a NACK that names
   * what it refused; until then no further response is read.
   */
  onResources(update: ResourceUpdate): readonly Rejection[] | Promise<readonly Rejection[]>;
  /** What `onResources` applied counts as received and held from now on. */
  onApplied?(typeUrl: string): void;
  onConnection?(state: AdsConnection): void;
  onReject?(typeUrl: string, name: string, reason: string): void;
  /** @param bytes of the resources */
  onResponse?(typeUrl: string, bytes: number): void;
  onTermination?(reason: TerminationReason): void;
}

/** Follows the control plane over one delta ADS stream, any types, for ever (see `AdsLoop`). Decodes nothing. */
export interface ResourceClient {
  start(): void;
  /** Ends the stream and all retries. Handlers are not called any more. */
  stop(): void;
  /**
   * Replaces the names wanted of a named type; may be called from within `onResources`.
   *
   * @returns names wanted before and not any more: whatever is held of them is stale from now on
   */
  want(typeUrl: string, names: Iterable<string>): readonly string[];
  /** Whether a response of this type was ever applied. */
  isReceived(typeUrl: string): boolean;
  /** Names wanted of which nothing was heard yet. */
  missing(typeUrl: string): readonly string[];
}

export function createResourceClient(init: ResourceClientInit, handlers: ResourceHandlers): ResourceClient {
  return new Client(init, handlers);
}

class Client implements ResourceClient, AdsProtocol {
  readonly #handlers: ResourceHandlers;
  readonly #subscriptions: Subscriptions;
  readonly #loop: AdsLoop;

  constructor(init: ResourceClientInit, handlers: ResourceHandlers) {
    this.#handlers = handlers;
    this.#subscriptions = new Subscriptions(init.node, init.types);
    this.#loop = new AdsLoop(init, this);
  }

  start(): void {
    this.#loop.start();
  }

  stop(): void {
    this.#loop.stop();
  }

  want(typeUrl: string, names: Iterable<string>): readonly string[] {
    const { request, released } = this.#subscriptions.want(typeUrl, names, this.#loop.isOpen);
    if (request !== undefined) this.#loop.send(request);
    return released;
  }

  isReceived(typeUrl: string): boolean {
    return this.#subscriptions.isReceived(typeUrl);
  }

  missing(typeUrl: string): readonly string[] {
    return this.#subscriptions.missing(typeUrl);
  }

  openRequests(): readonly DeltaDiscoveryRequest[] {
    return this.#subscriptions.openRequests();
  }

  async onResponse(response: DeltaDiscoveryResponse): Promise<DeltaDiscoveryRequest> {
    const reception = this.#subscriptions.read(response);
    this.#handlers.onResponse?.(response.typeUrl, reception?.bytes ?? 0);
    if (reception === undefined) return this.#subscriptions.ignore(response);
    const refused = await this.#handlers.onResources(reception.update);
    for (const { name, reason } of [...reception.rejected, ...refused]) {
      this.#handlers.onReject?.(response.typeUrl, name, reason);
    }
    const reply = this.#subscriptions.record(reception, refused);
    if (!this.#loop.stopped) this.#handlers.onApplied?.(response.typeUrl);
    return reply;
  }

  onConnection(state: AdsConnection): void {
    this.#handlers.onConnection?.(state);
  }

  onTermination(reason: TerminationReason): void {
    this.#handlers.onTermination?.(reason);
  }
}
