/**
 * A copy of a request's body while it may have to be sent again. Bytes always stream on; the copy ends, and with it the
 * chance of a retry, when it would grow over its limit or all copies together over theirs.
 *
 * Parity: Linkerd's replay limit of 64 KiB. Differs: Envoy buffers up to 1 MiB for every request with a retry policy.
 */
import type { HeaderList } from "@ambit/shared/http2";
import type { BodyLength } from "../http/message.ts";

export const DEFAULT_REPLAY_BYTES = 64 * 1024;
export const MAXIMUM_REPLAY_BYTES = 1024 * 1024;

/** What all copies of a process may hold together. */
export class ReplayMemory {
  readonly #limitBytes: number;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  tryTake(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#limitBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#usedBytes = Math.max(0, this.#usedBytes - bytes);
  }
}

export interface ReplayBufferInit {
  readonly memory: ReplayMemory;
  /** As the request's head has it; a body that says it is too long is never copied. */
  readonly bodyLength: BodyLength;
  /** Default 64 KiB, at most 1 MiB. */
  readonly limitBytes?: number;
}

/** Whoever makes one calls `drop` in the end. */
export class ReplayBuffer {
  readonly #memory: ReplayMemory;
  readonly #limitBytes: number;
  #chunks: Buffer[] | undefined = [];
  #bytes = 0;
  #trailers: HeaderList | undefined;

  constructor({ memory, bodyLength, limitBytes = DEFAULT_REPLAY_BYTES }: ReplayBufferInit) {
    this.#memory = memory;
    this.#limitBytes = Math.min(limitBytes, MAXIMUM_REPLAY_BYTES);
    if (bodyLength !== undefined && bodyLength > this.#limitBytes) this.drop();
  }

  /** Whether everything that came so far can be sent again. */
  get isReplayable(): boolean {
    return this.#chunks !== undefined;
  }

  /** Trailers, once the body is complete. */
  get trailers(): HeaderList | undefined {
    return this.#trailers;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Copies a chunk that streams by. */
  append(chunk: Buffer): void {
    if (this.#chunks === undefined) return;
    if (this.#bytes + chunk.length > this.#limitBytes || !this.#memory.tryTake(chunk.length)) {
      this.drop();
      return;
    }
    this.#chunks.push(Buffer.from(chunk));
    this.#bytes += chunk.length;
  }

  complete(trailers: HeaderList): void {
    this.#trailers = trailers;
  }

  /** What came so far, in order; empty when it is not replayable. The chunks stay ours. */
  chunks(): readonly Buffer[] {
    return this.#chunks ?? [];
  }

  /** No further attempt: frees the copy. Any number of times. */
  drop(): void {
    this.#chunks = undefined;
    this.#memory.giveBack(this.#bytes);
    this.#bytes = 0;
  }
}
