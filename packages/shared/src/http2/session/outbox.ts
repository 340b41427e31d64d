import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { FRAME_HEADER_BYTES } from "../api.ts";
import { isPooledFrame, POOLED_PAYLOAD_BYTES, recycleFrame, takeBlock } from "../frame-pool.ts";

/** DATA waits while this much is on its way; enough for several TLS records, little enough to stay fair. */
const BLOCK_BYTES = 128 * 1024;
/** A peer that makes us answer without reading the answers is cut off here. */
const MAX_BACKLOG_BYTES = 1024 * 1024;
/** A frame this long is worth a write of its own; shorter ones share one. */
const LONG_BYTES = 32 * 1024;
/** Below it joining costs less than a pooled block. */
const SMALL_BYTES = 4 * 1024;

export interface OutboxEvents {
  /** The transport has room again. */
  onDrain(): void;
  /** Answers pile up behind a peer that does not read. */
  onBacklog(): void;
}

/**
 * The way to the transport: one write at a time, of one buffer. The transport would join what it has waiting into fresh
 * memory, which costs a tenth of the worker's own time in bulk (measured). So frames wait here, short ones are joined in
 * a pooled block, and long ones go out as they are.
 *
 * DATA and HEADERS leave at once when nothing is under way; small control frames wait for the end of the tick or for
 * the next frame, so that they share a TLS record and a system call.
 */
export class Outbox {
  readonly #transport: Duplex;
  readonly #events: OutboxEvents;
  /** Control frames that wait for company. */
  #waiting: Buffer[] = [];
  #queue: Buffer[] = [];
  /** Of the queue and of the write under way. */
  #bytes = 0;
  #underWay: Buffer | undefined;
  #corked = false;
  #blocked = false;
  #open = true;
  readonly #onWritten: (error?: Error | null) => void;
  /** TLS has encrypted a frame into memory of its own when it calls back; other transports may keep a reference. */
  readonly #recycles: boolean;

  constructor(transport: Duplex, events: OutboxEvents) {
    this.#transport = transport;
    this.#recycles = transport instanceof TLSSocket;
    this.#onWritten = (error) => this.#written(error);
    this.#events = events;
  }

  /** No more DATA until `onDrain`. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** A DATA frame, or its header and its payload. `first` is ours from now on; a pooled one is used again. */
  sendData(first: Buffer, rest?: Buffer): void {
    if (!this.#open) return;
    this.#queueWaiting();
    this.#push(first);
    if (rest !== undefined) this.#push(rest);
    this.#next();
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
    this.#queueWaiting();
    this.#next();
    this.#checkBacklog();
  }

  /** Until `uncork`, frames are only queued. */
  cork(): void {
    this.#corked = true;
  }

  uncork(): void {
    this.#corked = false;
    this.#next();
  }

  /** Gives everything to the transport; later frames are dropped. */
  close(): void {
    if (!this.#open) return;
    this.#queueWaiting();
    this.#open = false;
    for (const frame of this.#queue) this.#transport.write(frame);
    this.#queue = [];
  }

  #queueWaiting(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#push(waiting.length === 1 ? (waiting[0] as Buffer) : Buffer.concat(waiting));
  }

  #push(frame: Buffer): void {
    this.#queue.push(frame);
    this.#bytes += frame.length;
    if (this.#bytes >= BLOCK_BYTES) this.#blocked = true;
  }

  #next(): void {
    if (this.#underWay !== undefined || this.#corked || !this.#open || this.#queue.length === 0) return;
    this.#underWay = this.#takeBatch();
    this.#transport.write(this.#underWay, this.#onWritten);
  }

  /** The first frame of the queue when it is long or alone, else as many as fit one block, joined. */
  #takeBatch(): Buffer {
    const queue = this.#queue;
    let count = 0;
    let bytes = 0;
    for (const { length } of queue) {
      if (bytes + length > POOLED_PAYLOAD_BYTES) break;
      bytes += length;
      count++;
    }
    if (count <= 1 || (queue[0] as Buffer).length >= LONG_BYTES) return queue.shift() as Buffer;
    const frames = queue.splice(0, count);
    return bytes <= SMALL_BYTES ? Buffer.concat(frames, bytes) : joinInBlock(frames);
  }

  #written(error?: Error | null): void {
    const done = this.#underWay;
    if (done === undefined) return;
    this.#underWay = undefined;
    this.#bytes -= done.length;
    if (error) {
      this.#open = false;
      this.#queue = [];
      return;
    }
    if (this.#recycles && isPooledFrame(done)) recycleFrame(done);
    if (this.#blocked && this.#bytes < BLOCK_BYTES) {
      this.#blocked = false;
      if (this.#open) this.#events.onDrain();
    }
    this.#next();
  }

  #checkBacklog(): void {
    if (!this.#open || this.#bytes <= MAX_BACKLOG_BYTES) return;
    // Closed before anybody hears of it: the GOAWAY that follows must not come back here.
    this.#open = false;
    this.#queue = [];
    this.#events.onBacklog();
  }
}

function joinInBlock(frames: readonly Buffer[]): Buffer {
  const block = takeBlock();
  let filled = 0;
  for (const frame of frames) {
    filled += frame.copy(block, filled);
    if (isPooledFrame(frame)) recycleFrame(frame);
  }
  return block.subarray(0, filled);
}

function flushOutbox(outbox: Outbox): void {
  outbox.flush();
}

/** Largest payload we put into one DATA frame: others may speak in between, and the backlog stays small. */
export const MAX_DATA_BYTES = 256 * 1024 - FRAME_HEADER_BYTES;
