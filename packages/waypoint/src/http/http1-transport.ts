/**
 * The byte stream under an HTTP/1 connection: bytes are offered to the codec in order, wait while it cannot take them,
 * and reading pauses while too many wait or too much was handed on and not consumed.
 */
import type { Duplex } from "node:stream";
import { Http1Writer } from "./http1-writer.ts";

/** Bytes (pipelined requests, an early body) that may wait before reading pauses. */
const MAX_WAITING_BYTES = 64 * 1024;
/** And pieces, because each costs memory of its own. */
const MAX_WAITING_PIECES = 64;

export interface TransportOwner {
  /** Takes bytes from `at` on. @returns where it stopped; `at` itself: nothing now, `pump` is called later */
  onBytes(chunk: Buffer, at: number): number;
  /** FIN came; bytes may still wait. */
  onFin(): void;
  /** FIN came and every byte was taken. */
  onEnd(): void;
  onDrain(): void;
  /** The stream is closed, by whomever. Once, and the last call. */
  onGone(cause: Error | undefined): void;
  /** Something above threw: a bug, which must cost no more than this connection. */
  onThrow(thrown: unknown): void;
}

export class Http1Transport {
  readonly duplex: Duplex;
  readonly writer: Http1Writer;
  readonly #owner: TransportOwner;
  readonly #windowBytes: number;
  #waiting: Buffer[] = [];
  #at = 0;
  #waitingBytes = 0;
  #unconsumed = 0;
  #paused = false;
  #pumping = false;
  #fin = false;
  #endTold = false;
  #stopped = false;
  #gone = false;
  #cause: Error | undefined;

  constructor(duplex: Duplex, owner: TransportOwner, windowBytes: number) {
    this.duplex = duplex;
    this.writer = new Http1Writer(duplex);
    this.#owner = owner;
    this.#windowBytes = windowBytes;
    // Whether a direction ends is decided by the codec.
    duplex.allowHalfOpen = true;
  }

  /** Begins to read; events may come before it returns only if the stream was destroyed already. */
  start(): void {
    const { duplex } = this;
    duplex.on("error", (error) => {
      this.#cause = error;
    });
    duplex.on("close", () => this.#onClose());
    duplex.on("end", () => this.#onFin());
    duplex.on("drain", () => this.#onDrain());
    duplex.on("data", (chunk: Buffer) => this.#onData(chunk));
    if (duplex.destroyed) process.nextTick(() => this.#onClose());
  }

  /** Bytes that nobody has taken yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Offers what waits. */
  pump(): void {
    if (this.#pumping || this.#stopped) return;
    this.#pumping = true;
    try {
      this.#offer();
    } catch (thrown) {
      this.#owner.onThrow(thrown);
    }
    this.#pumping = false;
    this.#tellEnd();
    this.#regulate();
  }

  /** Body bytes were handed on. */
  handedOn(bytes: number): void {
    this.#unconsumed += bytes;
  }

  consumed(bytes: number): void {
    this.#unconsumed -= bytes;
    if (this.#paused) this.#regulate();
  }

  /** Nothing more is offered; what comes is thrown away. */
  stop(): void {
    this.#stopped = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#at = 0;
  }

  #onData(chunk: Buffer): void {
    if (this.#stopped) return;
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    this.pump();
  }

  #offer(): void {
    while (this.#waiting.length > 0) {
      const chunk = this.#waiting[0] as Buffer;
      const from = this.#at;
      const to = this.#owner.onBytes(chunk, from);
      if (this.#stopped || to === from) return;
      this.#waitingBytes -= to - from;
      if (to < chunk.length) this.#at = to;
      else {
        this.#waiting.shift();
        this.#at = 0;
      }
    }
  }

  #tellEnd(): void {
    if (!this.#fin || this.#endTold || this.#stopped || this.#waiting.length > 0) return;
    this.#endTold = true;
    this.#guard(() => this.#owner.onEnd());
  }

  #regulate(): void {
    if (this.#stopped) return;
    const full =
      this.#unconsumed >= this.#windowBytes ||
      this.#waitingBytes >= MAX_WAITING_BYTES ||
      this.#waiting.length >= MAX_WAITING_PIECES;
    if (full === this.#paused) return;
    this.#paused = full;
    if (full) this.duplex.pause();
    else this.duplex.resume();
  }

  #onFin(): void {
    this.#fin = true;
    this.#guard(() => this.#owner.onFin());
    this.#tellEnd();
  }

  #onDrain(): void {
    this.writer.onTransportDrain();
    this.#guard(() => this.#owner.onDrain());
  }

  #onClose(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.stop();
    this.writer.close();
    this.#guard(() => this.#owner.onGone(this.#cause));
  }

  #guard(tell: () => void): void {
    try {
      tell();
    } catch (thrown) {
      this.#owner.onThrow(thrown);
    }
  }
}
