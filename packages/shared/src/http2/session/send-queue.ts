import { FRAME_HEADER_BYTES } from "../api.ts";

/** HEADERS (trailers) that wait behind DATA, already encoded. */
export class QueuedHeaders {
  readonly frames: Buffer;
  readonly endStream: boolean;

  constructor(frames: Buffer, endStream: boolean) {
    this.frames = frames;
    this.endStream = endStream;
  }
}

/** What one stream still has to send, in order. A DATA item has nine free bytes before its payload. */
export class SendQueue {
  #items: (Buffer | QueuedHeaders)[] = [];
  #head = 0;
  #headSent = 0;
  #bytes = 0;

  /** Payload bytes of DATA not yet given to the transport. */
  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Payload bytes of the first item already sent. */
  get headSent(): number {
    return this.#headSent;
  }

  peek(): Buffer | QueuedHeaders | undefined {
    return this.#items[this.#head];
  }

  push(item: Buffer | QueuedHeaders): void {
    this.#items.push(item);
    if (item instanceof Buffer) this.#bytes += item.length - FRAME_HEADER_BYTES;
  }

  /** Payload bytes of the first item were sent; a finished item leaves the queue. */
  advance(payloadBytes: number): void {
    const item = this.peek();
    this.#headSent += payloadBytes;
    this.#bytes -= payloadBytes;
    if (!(item instanceof Buffer) || this.#headSent === item.length - FRAME_HEADER_BYTES) this.#shift();
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#headSent = 0;
    this.#bytes = 0;
  }

  #shift(): void {
    this.#headSent = 0;
    this.#items[this.#head++] = EMPTY;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 64) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }
}

const EMPTY = Buffer.alloc(0);
