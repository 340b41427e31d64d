import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { FRAME_HEADER_BYTES } from "../api.ts";
import { isPooledFrame, recycleFrame } from "../frame-pool.ts";

/** DATA waits while the transport holds this much; enough for several TLS records, little enough to stay fair. */
const BLOCK_BYTES = 128 * 1024;
/** A peer that makes us answer without reading the answers is cut off here. */
const MAX_BACKLOG_BYTES = 1024 * 1024;

export interface OutboxEvents {
  /** The transport has room again. */
  onDrain(): void;
  /** Answers pile up behind a peer that does not read. */
  onBacklog(): void;
}

/**
 * The way to the transport. DATA and HEADERS leave at once; small control frames wait for the end of the tick or for
 * the next frame, so that they share a TLS record and a system call. What is written while a TLS write is under way is
 * joined by the stream itself: it finishes at the end of the event-loop turn at the earliest.
 */
export class Outbox {
  readonly #transport: Duplex;
  readonly #events: OutboxEvents;
  #waiting: Buffer[] = [];
  #blocked = false;
  #open = true;
  /** Pooled frames in the transport's hands, in the order of its write callbacks. */
  readonly #inFlight: Buffer[] = [];
  readonly #onWritten: (error?: Error | null) => void;
  /** TLS has encrypted a frame into memory of its own when it calls back; other transports may keep a reference. */
  readonly #recycles: boolean;

  constructor(transport: Duplex, events: OutboxEvents) {
    this.#transport = transport;
    this.#recycles = transport instanceof TLSSocket;
    this.#onWritten = (error) => {
      const frame = this.#inFlight.shift();
      if (frame !== undefined && !error) recycleFrame(frame);
    };
    this.#events = events;
    transport.on("drain", () => {
      this.#blocked = false;
      if (this.#open) events.onDrain();
    });
  }

  /** No more DATA until `onDrain`. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** A DATA frame of `header` and `payload`, or one buffer with both. */
  sendData(first: Buffer, rest?: Buffer): void {
    if (!this.#open) return;
    const joined = rest !== undefined || this.#waiting.length > 0;
    if (joined) this.#transport.cork();
    if (this.#waiting.length > 0) this.#writeWaiting();
    this.#write(first);
    if (rest !== undefined) this.#write(rest);
    if (joined) this.#transport.uncork();
  }

  /** A DATA frame that goes out whole; a pooled one is used again. */
  sendWhole(frame: Buffer): void {
    if (!this.#open) return;
    const joined = this.#waiting.length > 0;
    if (joined) {
      this.#transport.cork();
      this.#writeWaiting();
    }
    this.#writeLast(frame);
    if (joined) this.#transport.uncork();
  }

  /** HEADERS, or a control frame that must not wait. */
  sendNow(frame: Buffer): void {
    this.sendData(frame);
    this.#checkBacklog();
  }

  /** A control frame; it leaves with the next frame or at the end of the tick. */
  sendSoon(frame: Buffer): void {
    if (!this.#open) return;
    if (this.#waiting.push(frame) === 1) process.nextTick(flushOutbox, this);
  }

  flush(): void {
    if (this.#waiting.length === 0 || !this.#open) return;
    this.#writeWaiting();
    this.#checkBacklog();
  }

  /** Until `uncork`, frames are gathered into one write. */
  cork(): void {
    this.#transport.cork();
  }

  uncork(): void {
    this.#transport.uncork();
  }

  /** Flushes; later frames are dropped. */
  close(): void {
    this.flush();
    this.#open = false;
  }

  #writeWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#write(waiting.length === 1 ? (waiting[0] as Buffer) : Buffer.concat(waiting));
  }

  #write(bytes: Buffer): void {
    this.#note(this.#transport.write(bytes));
  }

  /** Like `#write`, for a frame that nobody needs afterwards. */
  #writeLast(frame: Buffer): void {
    if (!this.#recycles || !isPooledFrame(frame)) {
      this.#write(frame);
      return;
    }
    this.#inFlight.push(frame);
    this.#note(this.#transport.write(frame, this.#onWritten));
  }

  #note(roomLeft: boolean): void {
    if (!roomLeft && this.#transport.writableLength >= BLOCK_BYTES) this.#blocked = true;
  }

  #checkBacklog(): void {
    if (!this.#open || !this.#blocked || this.#transport.writableLength <= MAX_BACKLOG_BYTES) return;
    // Closed before anybody hears of it: the GOAWAY that follows must not come back here.
    this.#open = false;
    this.#events.onBacklog();
  }
}

function flushOutbox(outbox: Outbox): void {
  outbox.flush();
}

/** Largest payload we put into one DATA frame: others may speak in between, and the backlog stays small. */
export const MAX_DATA_BYTES = 256 * 1024 - FRAME_HEADER_BYTES;
