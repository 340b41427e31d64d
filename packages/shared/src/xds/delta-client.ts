import { setImmediate } from "node:timers/promises";
import type { PolicyDelta } from "../policy/index.ts";
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "../proto/index.ts";
import type { AddressDelta } from "../workload/index.ts";
import { type AdsConnection, AdsLoop, type AdsLoopInit, type AdsProtocol } from "./ads-loop.ts";
import { DeltaState } from "./delta-state.ts";
import { nodeToProto, type XdsNode } from "./node.ts";
import { addressPieces, policyPieces } from "./pieces.ts";
import type { ResourceReading } from "./read-resources.ts";
import type { TerminationReason } from "./termination.ts";
import { ADDRESS_TYPE_URL } from "./type-urls.ts";

export interface XdsClientInit extends AdsLoopInit {
  readonly node: XdsNode;
}

/** How the subscription stands. `complete`: every type was received at least once; it never goes back. */
export interface XdsState extends AdsConnection {
  readonly complete: boolean;
}

/**
 * A large response comes as several deltas. It is acknowledged once the handler of the last returned (or its promise
 * resolved); until then no further response is read.
 */
export interface XdsHandlers {
  onAddresses(delta: AddressDelta): void | Promise<void>;
  onPolicies(delta: PolicyDelta): void | Promise<void>;
  onState?(state: XdsState): void;
  onReject?(typeUrl: string, name: string, reason: string): void;
  /** @param bytes of the resources */
  onResponse?(typeUrl: string, bytes: number): void;
  onTermination?(reason: TerminationReason): void;
}

export interface XdsClient {
  start(): void;
  /** Ends the stream and all retries. Handlers are not called any more. */
  stop(): void;
}

/**
 * Follows the control plane over one delta ADS stream for both types of a node proxy, for ever (see `AdsLoop`). Losing
 * the stream changes nothing for the handlers.
 *
 * Parity: ztunnel src/xds/client.rs. Differs: a bad resource cannot keep `complete` from coming.
 */
export function createXdsClient(init: XdsClientInit, handlers: XdsHandlers): XdsClient {
  return new DeltaClient(init, handlers);
}

class DeltaClient implements XdsClient, AdsProtocol {
  readonly #handlers: XdsHandlers;
  readonly #state: DeltaState;
  readonly #loop: AdsLoop;

  constructor(init: XdsClientInit, handlers: XdsHandlers) {
    this.#handlers = handlers;
    this.#state = new DeltaState(nodeToProto(init.node));
    this.#loop = new AdsLoop(init, this);
  }

  start(): void {
    this.#loop.start();
  }

  stop(): void {
    this.#loop.stop();
  }

  openRequests(): readonly DeltaDiscoveryRequest[] {
    return this.#state.openRequests();
  }

  async onResponse(response: DeltaDiscoveryResponse): Promise<DeltaDiscoveryRequest> {
    const reception = this.#state.read(response);
    this.#handlers.onResponse?.(reception.typeUrl, reception.bytes);
    if (reception.reading) await this.#apply(reception.reading);
    if (this.#loop.stopped) return reception.reply;
    const wasComplete = this.#state.complete;
    this.#state.record(reception);
    if (this.#state.complete && !wasComplete) this.onConnection({ connection: "connected" });
    return reception.reply;
  }

  onConnection(state: AdsConnection): void {
    this.#handlers.onState?.({ ...state, complete: this.#state.complete });
  }

  onTermination(reason: TerminationReason): void {
    this.#handlers.onTermination?.(reason);
  }

  async #apply({ update, rejected }: ResourceReading): Promise<void> {
    for (const { name, reason } of rejected) this.#handlers.onReject?.(update.typeUrl, name, reason);
    if (update.typeUrl === ADDRESS_TYPE_URL) {
      const { workloads, services, removed } = update.delta;
      if (workloads.length + services.length + removed.length === 0) return;
      await this.#deliver(addressPieces(update.delta), (piece) => this.#handlers.onAddresses(piece));
    } else if (update.delta.policies.length + update.delta.removed.length > 0) {
      await this.#deliver(policyPieces(update.delta), (piece) => this.#handlers.onPolicies(piece));
    }
  }

  /** Other work of this thread gets its turn between two pieces. */
  async #deliver<Piece>(pieces: Iterable<Piece>, handle: (piece: Piece) => void | Promise<void>): Promise<void> {
    let first = true;
    for (const piece of pieces) {
      if (!first) await setImmediate();
      if (this.#loop.stopped) return;
      first = false;
      await handle(piece);
    }
  }
}
