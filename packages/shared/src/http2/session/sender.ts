import { FRAME_HEADER_BYTES, type HeaderList } from "../api.ts";
import { POOLED_PAYLOAD_BYTES } from "../frame-pool.ts";
import { encodeHeaderFrames, writeDataHeader } from "../frames/encode-frame.ts";
import { DEFAULT_WINDOW_BYTES } from "../frames/frame-type.ts";
import { checkOutgoing } from "../header-rules.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { SendWindow } from "./flow-window.ts";
import { MAX_DATA_BYTES, type Outbox } from "./outbox.ts";
import { QueuedHeaders } from "./send-queue.ts";
import { initialPeerSettings, type PeerSettings } from "./settings.ts";
import type { Stream } from "./stream.ts";
import type { StreamLife } from "./stream-life.ts";

/** A stream's owner is asked to pause above this many queued bytes. */
export const HIGH_WATER_BYTES = 256 * 1024;
/** What a stream sends before the next one's turn, when several wait: one bulk frame, whole, so that it can be used again. */
const TURN_BYTES = POOLED_PAYLOAD_BYTES;

/** Sends DATA and HEADERS within the peer's windows and the transport's room, streams taking turns when they must wait. */
export class Sender {
  readonly connectionWindow = new SendWindow(DEFAULT_WINDOW_BYTES);
  readonly #outbox: Outbox;
  readonly #life: StreamLife;
  readonly #flood: FloodGuard;
  peer: PeerSettings = initialPeerSettings;
  /** Streams with something to send, in turn order. */
  #ready: Stream[] = [];
  /** Streams that only wait for the connection window. */
  #starved: Stream[] = [];
  #pumping = false;
  #firstBlock = true;

  constructor(outbox: Outbox, life: StreamLife, flood: FloodGuard) {
    this.#outbox = outbox;
    this.#life = life;
    this.#flood = flood;
  }

  write(stream: Stream, frame: Buffer): boolean {
    if (stream.closed || stream.endQueued) return false;
    const bytes = frame.length - FRAME_HEADER_BYTES;
    if (bytes <= 0) return true;
    if (stream.queue.length === 0 && this.#ready.length === 0 && bytes <= this.#room(stream)) {
      this.#sendWhole(stream, frame, bytes);
      return true;
    }
    stream.queue.push(frame);
    this.#schedule(stream);
    this.pump();
    // Once told to wait, an owner hears `onDrain`, also one that wrote again meanwhile.
    if (stream.queue.bytes >= HIGH_WATER_BYTES) stream.wantsDrain = true;
    return !stream.wantsDrain;
  }

  /** HEADERS: at once, or behind the stream's queued DATA. What cannot be sent safely resets the stream. */
  writeHeaders(stream: Stream, headers: HeaderList, endStream: boolean): void {
    if (stream.closed || stream.endQueued) return;
    const checked = checkOutgoing(headers);
    if (!checked.ok) {
      this.#life.resetForThrow(stream, new Error(checked.error));
      return;
    }
    const frames = encodeHeaderFrames(headers, {
      streamId: stream.id,
      endStream,
      maxFrameBytes: this.peer.maxFrameBytes,
      firstBlock: this.#firstBlock,
    });
    this.#firstBlock = false;
    stream.headersSent = true;
    stream.endQueued = endStream;
    if (stream.queue.length === 0) {
      this.#sendHeaders(stream, frames, endStream);
      return;
    }
    stream.queue.push(new QueuedHeaders(frames, endStream));
    this.#schedule(stream);
  }

  end(stream: Stream): void {
    if (stream.closed || stream.endQueued) return;
    stream.endQueued = true;
    if (stream.queue.length > 0) return;
    this.#schedule(stream);
    this.pump();
  }

  /** Something changed: windows grew or the transport has room. */
  pump(): void {
    if (this.#pumping || this.#ready.length === 0 || this.#outbox.blocked) return;
    this.#pumping = true;
    this.#outbox.cork();
    while (this.#ready.length > 0 && !this.#outbox.blocked) this.#turn(this.#ready.shift() as Stream);
    this.#outbox.uncork();
    this.#pumping = false;
  }

  /** The peer enlarged a stream's window. */
  streamWindowGrew(stream: Stream): void {
    if (stream.queue.length === 0) return;
    this.#schedule(stream);
    this.pump();
  }

  connectionWindowGrew(): void {
    const starved = this.#starved;
    this.#starved = [];
    for (const stream of starved) {
      stream.scheduled = false;
      this.#schedule(stream);
    }
    this.pump();
  }

  /** The session is over. */
  clear(): void {
    this.#ready = [];
    this.#starved = [];
  }

  #schedule(stream: Stream): void {
    if (stream.scheduled || stream.closed) return;
    stream.scheduled = true;
    this.#ready.push(stream);
  }

  /** Payload bytes this stream may send in one frame now. */
  #room(stream: Stream): number {
    if (this.#outbox.blocked) return 0;
    const windows = Math.min(stream.sendWindow.available, this.connectionWindow.available);
    return Math.min(windows, this.peer.maxFrameBytes, MAX_DATA_BYTES);
  }

  /** One frame of one stream, then to the back of the line if more may follow. */
  #turn(stream: Stream): void {
    stream.scheduled = false;
    if (stream.closed) return;
    const item = stream.queue.peek();
    if (item === undefined) {
      if (stream.endQueued && !stream.localEnded) this.#sendEnd(stream);
      return;
    }
    if (item instanceof QueuedHeaders) {
      stream.queue.advance(0);
      this.#sendHeaders(stream, item.frames, item.endStream);
      return;
    }
    const turn = this.#ready.length > 0 ? TURN_BYTES : MAX_DATA_BYTES;
    const left = item.length - FRAME_HEADER_BYTES - stream.queue.headSent;
    const bytes = Math.min(left, turn, this.#room(stream));
    if (bytes > 0) this.#sendPart(stream, item, bytes);
    else if (stream.sendWindow.available > 0) this.#starve(stream);
  }

  #starve(stream: Stream): void {
    stream.scheduled = true;
    this.#starved.push(stream);
  }

  #sendPart(stream: Stream, item: Buffer, bytes: number): void {
    const queue = stream.queue;
    const start = FRAME_HEADER_BYTES + queue.headSent;
    queue.advance(bytes);
    const last = stream.endQueued && queue.length === 0;
    this.#account(stream, bytes);
    if (item.length === FRAME_HEADER_BYTES + bytes) {
      writeDataHeader(item, bytes, stream.id, last);
      this.#outbox.sendData(item);
    } else {
      const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
      writeDataHeader(header, bytes, stream.id, last);
      this.#outbox.sendData(header, item.subarray(start, start + bytes));
    }
    if (last) {
      this.#ended(stream);
      return;
    }
    if (queue.length > 0) this.#schedule(stream);
    else if (stream.wantsDrain) this.#tellDrained(stream);
  }

  #sendWhole(stream: Stream, frame: Buffer, bytes: number): void {
    this.#account(stream, bytes);
    writeDataHeader(frame, bytes, stream.id, false);
    this.#outbox.sendData(frame);
  }

  #account(stream: Stream, bytes: number): void {
    stream.sendWindow.available -= bytes;
    this.connectionWindow.available -= bytes;
    this.#flood.dataSent(bytes);
  }

  #sendHeaders(stream: Stream, frames: Buffer, endStream: boolean): void {
    this.#outbox.sendNow(frames);
    if (endStream) this.#ended(stream);
    else if (stream.queue.length > 0) this.#schedule(stream);
  }

  #sendEnd(stream: Stream): void {
    const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
    writeDataHeader(frame, 0, stream.id, true);
    this.#outbox.sendData(frame);
    this.#ended(stream);
  }

  #ended(stream: Stream): void {
    stream.localEnded = true;
    this.#life.closeIfDone(stream);
    if (stream.codeAfterEnd !== undefined && !stream.closed) this.#life.resetByOwner(stream, stream.codeAfterEnd);
  }

  #tellDrained(stream: Stream): void {
    stream.wantsDrain = false;
    try {
      stream.handlers?.onDrain();
    } catch (thrown) {
      this.#life.resetForThrow(stream, thrown);
    }
  }
}
