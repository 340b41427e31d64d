import { setImmediate } from "node:timers/promises";
import type { ControlPlaneAccess } from "../ca/index.ts";
import type { MeshError } from "../errors/index.ts";
import type { PolicyDelta } from "../policy/index.ts";
import { type BackoffInit, backoffDelayMs, type Clock, type Random } from "../time/index.ts";
import type { AddressDelta } from "../workload/index.ts";
import { type AdsStream, openAdsStream } from "./ads-stream.ts";
import { DeltaState } from "./delta-state.ts";
import { nodeToProto, type XdsNode } from "./node.ts";
import { addressPieces, policyPieces } from "./pieces.ts";
import type { ResourceReading } from "./read-resources.ts";
import { streamError, type TerminationReason, terminationReason } from "./termination.ts";
import { ADDRESS_TYPE_URL } from "./type-urls.ts";

export interface XdsClientInit {
  readonly access: ControlPlaneAccess;
  readonly node: XdsNode;
  readonly clock: Clock;
  readonly random: Random;
}

/** How the subscription stands. `complete`: every type was received at least once; it never goes back. */
export interface XdsState {
  readonly connection: "connecting" | "connected" | "waiting" | "stopped";
  readonly complete: boolean;
  /** While waiting: time until the next attempt. */
  readonly retryInMs?: number;
  /** While waiting: why, unless the control plane closed the stream in good order. */
  readonly error?: MeshError;
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

/** 15 s at most, with the jitter. */
const BACKOFF: BackoffInit = { baseMs: 50, capMs: 10_000, jitter: 0.5 };

/**
 * Follows the control plane over one delta ADS stream for both types, for ever: a lost stream is opened again after a
 * jittered back-off that starts over once a stream delivered something. Losing it changes nothing for the handlers.
 *
 * Parity: ztunnel src/xds/client.rs. Differs: every end of a stream waits before the next attempt, also a clean one
 * and one for lack of roots; the wait has jitter; a bad resource cannot keep `complete` from coming.
 */
export function createXdsClient(init: XdsClientInit, handlers: XdsHandlers): XdsClient {
  return new DeltaClient(init, handlers);
}

class DeltaClient implements XdsClient {
  readonly #init: XdsClientInit;
  readonly #handlers: XdsHandlers;
  readonly #state: DeltaState;
  #started = false;
  #stopped = false;
  #failures = 0;
  #stream: AdsStream | undefined;
  #wake = (): void => {};

  constructor(init: XdsClientInit, handlers: XdsHandlers) {
    this.#init = init;
    this.#handlers = handlers;
    this.#state = new DeltaState(nodeToProto(init.node));
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#run();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stream?.close();
    this.#wake();
    this.#publish({ connection: "stopped" });
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#publish({ connection: "connecting" });
      const error = await this.#follow();
      if (this.#stopped) return;
      const retryInMs = backoffDelayMs(BACKOFF, this.#failures++, this.#init.random);
      this.#publish({ connection: "waiting", retryInMs, ...(error && { error }) });
      await this.#sleep(retryInMs);
    }
  }

  /** One stream from beginning to end. @returns why it ended; undefined for a clean end */
  async #follow(): Promise<MeshError | undefined> {
    let stream: AdsStream | undefined;
    let failure: unknown;
    try {
      const { access, clock } = this.#init;
      stream = await openAdsStream({ access, clock, onConnected: () => this.#noteConnected() });
      this.#stream = stream;
      if (!this.#stopped) await this.#consume(stream);
    } catch (error) {
      failure = error;
    } finally {
      stream?.close();
      this.#stream = undefined;
    }
    const error = stream?.timeout() ?? streamError(failure);
    if (!this.#stopped) this.#handlers.onTermination?.(terminationReason(stream?.connected() ?? false, failure));
    return error;
  }

  async #consume({ call }: AdsStream): Promise<void> {
    for (const request of this.#state.openRequests()) call.write(request);
    // The iterator reads on only when the loop body is done: a slow handler stops the stream, not our memory.
    for await (const response of call) {
      const reception = this.#state.read(response);
      this.#failures = 0;
      this.#handlers.onResponse?.(reception.typeUrl, reception.bytes);
      if (reception.reading) await this.#apply(reception.reading);
      if (this.#stopped) return;
      const wasComplete = this.#state.complete;
      this.#state.record(reception);
      call.write(reception.reply);
      if (this.#state.complete && !wasComplete) this.#publish({ connection: "connected" });
    }
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
      if (this.#stopped) return;
      first = false;
      await handle(piece);
    }
  }

  #noteConnected(): void {
    if (!this.#stopped) this.#publish({ connection: "connected" });
  }

  #publish(state: Omit<XdsState, "complete">): void {
    this.#handlers.onState?.({ ...state, complete: this.#state.complete });
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#init.clock.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
