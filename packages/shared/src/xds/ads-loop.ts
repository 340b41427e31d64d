import type { ControlPlaneAccess } from "../ca/index.ts";
import type { MeshError } from "../errors/index.ts";
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "../proto/index.ts";
import { type BackoffInit, backoffDelayMs, type Clock, type Random } from "../time/index.ts";
import { type AdsStream, openAdsStream } from "./ads-stream.ts";
import { streamError, type TerminationReason, terminationReason } from "./termination.ts";

export interface AdsLoopInit {
  readonly access: ControlPlaneAccess;
  readonly clock: Clock;
  readonly random: Random;
}

/** How the connection to the control plane stands. */
export interface AdsConnection {
  readonly connection: "connecting" | "connected" | "waiting" | "stopped";
  /** While waiting: time until the next attempt. */
  readonly retryInMs?: number;
  /** While waiting: why, unless the control plane closed the stream in good order. */
  readonly error?: MeshError;
}

/** What a client says and hears on a stream; the loop knows streams only. */
export interface AdsProtocol {
  /** The first messages of a new stream. */
  openRequests(): readonly DeltaDiscoveryRequest[];
  /** Applies a response. @returns the ACK or NACK; until it resolves no further response is read */
  onResponse(response: DeltaDiscoveryResponse): Promise<DeltaDiscoveryRequest>;
  onConnection(state: AdsConnection): void;
  onTermination(reason: TerminationReason): void;
}

/** 15 s at most, with the jitter. */
const BACKOFF: BackoffInit = { baseMs: 50, capMs: 10_000, jitter: 0.5 };

/**
 * Keeps one delta ADS stream open for ever: a lost one is opened again after a jittered back-off that starts over once
 * a stream delivered something.
 *
 * Parity: ztunnel src/xds/client.rs. Differs: every end of a stream waits before the next attempt, also a clean one
 * and one for lack of roots; the wait has jitter.
 */
export class AdsLoop {
  readonly #init: AdsLoopInit;
  readonly #protocol: AdsProtocol;
  #started = false;
  #stopped = false;
  #failures = 0;
  #stream: AdsStream | undefined;
  /** The first messages went out on `#stream`. */
  #isOpen = false;
  #wake = (): void => {};

  constructor(init: AdsLoopInit, protocol: AdsProtocol) {
    this.#init = init;
    this.#protocol = protocol;
  }

  /** Whether the first messages went out on a stream that has not ended. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#stopped;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#run();
  }

  /** Ends the stream and all retries. The protocol is not called any more, but for the last `onConnection`. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stream?.close();
    this.#wake();
    this.#protocol.onConnection({ connection: "stopped" });
  }

  /** Sends a message of its own accord. @returns false when no stream is open: the next one's first messages must say it */
  send(request: DeltaDiscoveryRequest): boolean {
    if (!this.#isOpen || this.#stopped) return false;
    this.#stream?.call.write(request);
    return true;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#protocol.onConnection({ connection: "connecting" });
      const error = await this.#follow();
      if (this.#stopped) return;
      const retryInMs = backoffDelayMs(BACKOFF, this.#failures++, this.#init.random);
      this.#protocol.onConnection({ connection: "waiting", retryInMs, ...(error && { error }) });
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
      this.#isOpen = false;
    }
    const error = stream?.timeout() ?? streamError(failure);
    if (!this.#stopped) this.#protocol.onTermination(terminationReason(stream?.connected() ?? false, failure));
    return error;
  }

  async #consume({ call }: AdsStream): Promise<void> {
    for (const request of this.#protocol.openRequests()) call.write(request);
    this.#isOpen = true;
    // The iterator reads on only when the loop body is done: a slow handler stops the stream, not our memory.
    for await (const response of call) {
      this.#failures = 0;
      const reply = await this.#protocol.onResponse(response);
      if (this.#stopped) return;
      call.write(reply);
    }
  }

  #noteConnected(): void {
    if (!this.#stopped) this.#protocol.onConnection({ connection: "connected" });
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
