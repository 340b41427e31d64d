import { FRAME_HEADER_BYTES, H2Code } from "../api.ts";
import { Flag, FrameType } from "./frame-type.ts";

/** Receives what the reader finds, in wire order, synchronously. */
export interface FrameSink {
  /** A DATA frame begins; `flowBytes` is its whole payload, padding included, which flow control counts. */
  onDataStart(streamId: number, flowBytes: number): void;
  /** A part of its content: a view of the transport's chunk. */
  onDataBytes(bytes: Buffer): void;
  /** `paddingBytes` of the frame's flow-controlled length were no content. */
  onDataEnd(endStream: boolean, paddingBytes: number): void;
  /** Any other frame, whole. The payload of an unknown type is skipped and comes as empty. */
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void;
  /** The bytes cannot be understood further; the reader has stopped. */
  onReaderFault(code: number, message: string): void;
}

export interface FrameReaderInit {
  /** Our SETTINGS_MAX_FRAME_SIZE. */
  readonly maxFrameBytes: number;
  /** Frames other than DATA are held whole, so they have a smaller limit of their own. */
  readonly maxHeldBytes: number;
}

const Mode = { HEADER: 0, PAD_LENGTH: 1, DATA: 2, PADDING: 3, HELD: 4, SKIPPED: 5 } as const;
const EMPTY = Buffer.alloc(0);

/** Cuts the transport's chunks into frames. DATA is never copied; other frames are joined when a chunk ends inside one. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #init: FrameReaderInit;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerFill = 0;
  #mode: number = Mode.HEADER;
  /** Bytes of the current part (content, padding, held or skipped payload) still to come. */
  #left = 0;
  #padding = 0;
  #flowPadding = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Payload of a frame that began in an earlier chunk. */
  #held = EMPTY;
  #stopped = false;

  constructor(sink: FrameSink, init: FrameReaderInit) {
    this.#sink = sink;
    this.#init = init;
  }

  /** Nothing more is reported, even from the chunk being read. */
  stop(): void {
    this.#stopped = true;
  }

  push(chunk: Buffer): void {
    const end = chunk.length;
    let at = 0;
    while (at < end && !this.#stopped) {
      if (this.#mode === Mode.DATA) at = this.#readContent(chunk, at);
      else if (this.#mode === Mode.HEADER) at = this.#readHeader(chunk, at);
      else at = this.#readRest(chunk, at);
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    if (this.#headerFill === 0 && chunk.length - at >= FRAME_HEADER_BYTES) {
      this.#begin(chunk, at);
      return at + FRAME_HEADER_BYTES;
    }
    const taken = Math.min(FRAME_HEADER_BYTES - this.#headerFill, chunk.length - at);
    chunk.copy(this.#header, this.#headerFill, at, at + taken);
    this.#headerFill += taken;
    if (this.#headerFill === FRAME_HEADER_BYTES) {
      this.#headerFill = 0;
      this.#begin(this.#header, 0);
    }
    return at + taken;
  }

  #begin(bytes: Buffer, at: number): void {
    const length = bytes.readUIntBE(at, 3);
    this.#type = bytes[at + 3] as number;
    this.#flags = bytes[at + 4] as number;
    this.#streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    this.#left = length;
    if (length > this.#init.maxFrameBytes) {
      this.#fail(H2Code.FRAME_SIZE_ERROR, `frame of ${length} bytes, at most ${this.#init.maxFrameBytes}`);
    } else if (this.#type === FrameType.DATA) this.#beginData(length);
    else this.#beginOther(length);
  }

  #beginData(length: number): void {
    const padded = (this.#flags & Flag.PADDED) !== 0;
    this.#padding = 0;
    this.#flowPadding = 0;
    if (padded && length === 0) {
      this.#fail(H2Code.FRAME_SIZE_ERROR, "padded DATA without a padding length");
      return;
    }
    this.#mode = padded ? Mode.PAD_LENGTH : Mode.DATA;
    this.#sink.onDataStart(this.#streamId, length);
    if (length === 0 && !this.#stopped) this.#endContent();
  }

  #beginOther(length: number): void {
    const known = this.#type <= FrameType.CONTINUATION;
    if (known && length > this.#init.maxHeldBytes) {
      this.#fail(H2Code.ENHANCE_YOUR_CALM, `frame of type ${this.#type} with ${length} bytes, more than we hold`);
      return;
    }
    this.#mode = known ? Mode.HELD : Mode.SKIPPED;
    if (length === 0) this.#endFrame(EMPTY);
  }

  #readContent(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at);
    this.#left -= taken;
    this.#sink.onDataBytes(taken === chunk.length ? chunk : chunk.subarray(at, at + taken));
    if (this.#left === 0 && !this.#stopped) this.#endContent();
    return at + taken;
  }

  #endContent(): void {
    if (this.#padding > 0) {
      this.#mode = Mode.PADDING;
      this.#left = this.#padding;
      this.#padding = 0;
      return;
    }
    this.#mode = Mode.HEADER;
    this.#sink.onDataEnd((this.#flags & Flag.END_STREAM) !== 0, this.#flowPadding);
  }

  #readRest(chunk: Buffer, at: number): number {
    if (this.#mode === Mode.PAD_LENGTH) return this.#readPadLength(chunk[at] as number, at);
    const taken = Math.min(this.#left, chunk.length - at);
    this.#left -= taken;
    if (this.#mode === Mode.HELD) this.#readHeld(chunk.subarray(at, at + taken));
    else if (this.#left === 0) {
      if (this.#mode === Mode.PADDING) this.#endContent();
      else this.#endFrame(EMPTY);
    }
    return at + taken;
  }

  #readPadLength(padding: number, at: number): number {
    this.#padding = padding;
    this.#flowPadding = padding + 1;
    this.#left -= 1 + padding;
    if (this.#left < 0) this.#fail(H2Code.PROTOCOL_ERROR, `padding of ${padding} bytes does not fit its DATA frame`);
    else {
      this.#mode = Mode.DATA;
      if (this.#left === 0) this.#endContent();
    }
    return at + 1;
  }

  #readHeld(part: Buffer): void {
    const missing = this.#left;
    if (this.#held.length === 0 && missing === 0) {
      this.#endFrame(part);
      return;
    }
    if (this.#held.length === 0) this.#held = Buffer.allocUnsafe(part.length + missing);
    part.copy(this.#held, this.#held.length - missing - part.length);
    if (missing > 0) return;
    const whole = this.#held;
    this.#held = EMPTY;
    this.#endFrame(whole);
  }

  #endFrame(payload: Buffer): void {
    this.#mode = Mode.HEADER;
    this.#sink.onFrame(this.#type, this.#flags, this.#streamId, payload);
  }

  #fail(code: number, message: string): void {
    this.#stopped = true;
    this.#sink.onReaderFault(code, message);
  }
}
