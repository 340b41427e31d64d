/** An HTTP/2 peer written frame by frame, sharing no code with the engine under test, so that it can break any rule. */
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const T = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST: 3,
  SETTINGS: 4,
  PUSH: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW: 8,
  CONTINUATION: 9,
} as const;
export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;

export const u32 = (value: number): Buffer => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]);

export function rawFrame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** Literal fields without indexing; lengths up to 65 000. */
export function rawFields(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, "latin1");
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const rest = bytes.length - 127;
    return Buffer.concat([Buffer.from([127, (rest & 127) | 128, ((rest >> 7) & 127) | 128, rest >> 14]), bytes]);
  };
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

export const CONNECT: readonly (readonly [string, string])[] = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.1:80"],
];

/** Drives one end of a transport and remembers every frame that came. */
export class RawPeer {
  readonly frames: RawFrame[] = [];
  readonly #transport: Duplex;
  #bytes: Buffer = Buffer.alloc(0);
  #prefaceLeft = 0;
  ended = false;

  constructor(transport: Duplex) {
    this.#transport = transport;
    transport.on("error", () => {});
    transport.on("end", () => {
      this.ended = true;
    });
    transport.on("close", () => {
      this.ended = true;
    });
    transport.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  /** Client preface and SETTINGS, and the server's SETTINGS acknowledged. */
  static async client(transport: Duplex, settings: readonly (readonly [number, number])[] = []): Promise<RawPeer> {
    const peer = new RawPeer(transport);
    peer.write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), peer.settings(settings));
    await peer.next((frame) => frame.type === T.SETTINGS && frame.flags === 0);
    peer.write(rawFrame(T.SETTINGS, ACK, 0));
    return peer;
  }

  static async server(transport: Duplex, settings: readonly (readonly [number, number])[] = []): Promise<RawPeer> {
    const peer = new RawPeer(transport);
    peer.#prefaceLeft = 24;
    peer.write(peer.settings(settings), rawFrame(T.SETTINGS, ACK, 0));
    await peer.next((frame) => frame.type === T.SETTINGS && frame.flags === 0);
    return peer;
  }

  settings(values: readonly (readonly [number, number])[]): Buffer {
    return rawFrame(
      T.SETTINGS,
      0,
      0,
      Buffer.concat(values.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), u32(value)]))),
    );
  }

  write(...frames: readonly Buffer[]): boolean {
    if (this.#transport.destroyed || this.#transport.writableEnded) return false;
    return this.#transport.write(Buffer.concat(frames));
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): void {
    this.write(rawFrame(type, flags, streamId, payload));
  }

  connect(streamId: number, flags = 0, fields: readonly (readonly [string, string])[] = CONNECT): void {
    this.frame(T.HEADERS, END_HEADERS | flags, streamId, rawFields(fields));
  }

  pause(): void {
    this.#transport.pause();
  }

  resume(): void {
    this.#transport.resume();
  }

  /** The first frame, past or future, that fits. */
  async next(fits: (frame: RawFrame) => boolean, timeoutMs = 20_000): Promise<RawFrame> {
    for (const until = Date.now() + timeoutMs; Date.now() < until; await delay(2)) {
      const found = this.frames.find(fits);
      if (found !== undefined) return found;
      if (this.ended) break;
    }
    const last = this.frames.find(fits);
    if (last !== undefined) return last;
    throw new Error(`no such frame; got ${JSON.stringify(this.frames.map(({ type, streamId }) => [type, streamId]))}`);
  }

  /** Error code of the GOAWAY that ends the session. */
  async goaway(): Promise<number> {
    return (await this.next(({ type }) => type === T.GOAWAY)).payload.readUInt32BE(4);
  }

  /** Error code with which the stream was reset. */
  async reset(streamId: number): Promise<number> {
    return (await this.next((frame) => frame.type === T.RST && frame.streamId === streamId)).payload.readUInt32BE(0);
  }

  /** A PING makes the round trip: the session still lives and has read all we wrote. */
  async alive(): Promise<boolean> {
    const mark = Buffer.alloc(8);
    mark.writeDoubleBE(Math.random());
    this.frame(T.PING, 0, 0, mark);
    await this.next((frame) => frame.type === T.PING && frame.flags === ACK && frame.payload.equals(mark));
    return true;
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const skipped = Math.min(this.#prefaceLeft, this.#bytes.length);
    this.#prefaceLeft -= skipped;
    this.#bytes = this.#bytes.subarray(skipped);
    while (this.#bytes.length >= 9) {
      const end = 9 + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < end) return;
      this.frames.push({
        type: this.#bytes[3] as number,
        flags: this.#bytes[4] as number,
        streamId: this.#bytes.readUInt32BE(5) & 0x7fffffff,
        payload: this.#bytes.subarray(9, end),
      });
      this.#bytes = this.#bytes.subarray(end);
    }
  }
}
