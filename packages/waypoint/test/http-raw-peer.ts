/** An HTTP/2 peer that writes frames by hand, so that it can break any rule, and remembers what comes. */
import type { Duplex } from "node:stream";
import type { HeaderList } from "@ambit/shared/http2";
import { until } from "./http-ends.ts";

/** RFC 9113 section 6. */
export const T = { DATA: 0, HEADERS: 1, RST: 3, SETTINGS: 4, PING: 6, GOAWAY: 7 } as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;
const ACK = 1;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD = 9;

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function rawFrame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** Literal fields that touch no table. RFC 7541 section 6.2.2. */
export const rawFields = (fields: HeaderList): Buffer =>
  Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), rawText(name), rawText(value)]));

function rawText(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const prefix: number[] = [];
  if (bytes.length < 127) prefix.push(bytes.length);
  else {
    prefix.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>>= 7) prefix.push((rest & 127) | 128);
    prefix.push(rest);
  }
  return Buffer.concat([Buffer.from(prefix), bytes]);
}

export class RawPeer {
  readonly frames: RawFrame[] = [];
  ended = false;
  readonly #transport: Duplex;
  #bytes: Buffer = Buffer.alloc(0);
  #skip: number;
  #pings = 0;

  private constructor(transport: Duplex, skip: number) {
    this.#transport = transport;
    this.#skip = skip;
    const over = (): void => {
      this.ended = true;
    };
    transport.on("error", () => {});
    transport.on("end", over);
    transport.on("close", over);
    transport.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  static async client(transport: Duplex): Promise<RawPeer> {
    const peer = new RawPeer(transport, 0);
    transport.write(PREFACE);
    return peer.#greet([]);
  }

  /** @param settings id and value, e.g. [[3, 1]] */
  static async server(transport: Duplex, settings: readonly (readonly [number, number])[]): Promise<RawPeer> {
    return new RawPeer(transport, PREFACE.length).#greet(settings);
  }

  write(...frames: readonly Buffer[]): void {
    if (!this.#transport.destroyed && !this.#transport.writableEnded) this.#transport.write(Buffer.concat(frames));
  }

  frame(type: number, flags: number, streamId: number, payload?: Uint8Array): void {
    this.write(rawFrame(type, flags, streamId, payload));
  }

  headers(streamId: number, flags: number, fields: HeaderList): void {
    this.frame(T.HEADERS, END_HEADERS | flags, streamId, rawFields(fields));
  }

  /** The first frame, past or future, that fits. */
  async next(fits: (frame: RawFrame) => boolean): Promise<RawFrame> {
    await until("a frame", () => this.frames.some(fits) || this.ended);
    const found = this.frames.find(fits);
    if (found === undefined) throw new Error("the connection ended without that frame");
    return found;
  }

  async goaway(): Promise<number> {
    return (await this.next(({ type }) => type === T.GOAWAY)).payload.readUInt32BE(4);
  }

  /** Error code with which the stream was reset. */
  async reset(streamId: number): Promise<number> {
    const frame = await this.next((one) => one.type === T.RST && one.streamId === streamId);
    return frame.payload.readUInt32BE(0);
  }

  /** A PING makes the round trip: the other side lives and has read all we wrote. */
  async alive(): Promise<boolean> {
    const mark = Buffer.concat([u32(0x70696e67), u32(++this.#pings)]);
    this.frame(T.PING, 0, 0, mark);
    await this.next(({ type, flags, payload }) => type === T.PING && flags === ACK && payload.equals(mark));
    return true;
  }

  async #greet(settings: readonly (readonly [number, number])[]): Promise<RawPeer> {
    const values = settings.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), u32(value)]));
    this.frame(T.SETTINGS, 0, 0, Buffer.concat(values));
    await this.next(({ type, flags }) => type === T.SETTINGS && flags === 0);
    this.frame(T.SETTINGS, ACK, 0);
    return this;
  }

  #read(chunk: Buffer): void {
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(skipped)]);
    while (this.#bytes.length >= FRAME_HEAD) {
      const end = FRAME_HEAD + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < end) return;
      const [type, flags] = [this.#bytes.readUInt8(3), this.#bytes.readUInt8(4)];
      const streamId = this.#bytes.readUInt32BE(5);
      this.frames.push({ type, flags, streamId, payload: this.#bytes.subarray(FRAME_HEAD, end) });
      this.#bytes = this.#bytes.subarray(end);
    }
  }
}
