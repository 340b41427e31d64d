/** Bulk reads of application sockets: into frames of their own, a bounded number of them. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { FRAME_HEADER_BYTES, POOLED_PAYLOAD_BYTES, recycleFrame } from "@ambit/shared/http2";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { TcpConnection, type TcpOwner } from "../src/deliver/index.ts";

/** More than the frames a worker lends. */
const MANY = 40;
const MIB = 1024 * 1024;
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Counts what it reads and how, and checks that every byte is the one that was sent. */
class Reader implements TcpOwner {
  readonly tcp: TcpConnection;
  readonly client: Socket;
  goOn = true;
  bytes = 0;
  frames = 0;
  lastRead = 0;
  wrong = 0;

  constructor(tcp: TcpConnection, client: Socket) {
    this.tcp = tcp;
    this.client = client;
  }

  onBytes(bytes: Buffer): boolean {
    for (const byte of bytes) if (byte !== this.bytes++ % 251) this.wrong++;
    this.lastRead = bytes.length;
    return this.goOn;
  }
  onFrame(frame: Buffer): boolean {
    this.frames++;
    const goOn = this.onBytes(frame.subarray(FRAME_HEADER_BYTES));
    recycleFrame(frame);
    return goOn;
  }
  onEof(): void {
    this.tcp.end();
  }
  onDrain(): void {}
  onFailure(): void {}
  onClosed(): void {}

  /** Sends `bytes` more, and waits until they were read. */
  async send(bytes: number): Promise<void> {
    const from = this.bytes;
    this.client.write(Buffer.from(Array.from({ length: bytes }, (_, index) => (from + index) % 251)));
    await eventually(`${bytes} bytes were read`, () => this.bytes === from + bytes);
  }

  /** Ends with a read that filled its buffer: after it the connection waits with a frame, if it was lent one. */
  async fillTheLastRead(): Promise<void> {
    for (let attempt = 0; attempt < 50 && this.lastRead !== POOLED_PAYLOAD_BYTES; attempt++) {
      this.tcp.pause();
      const sent = this.send(POOLED_PAYLOAD_BYTES);
      await new Promise((resolve) => setTimeout(resolve, 20));
      this.tcp.resume();
      await sent;
    }
    expect(this.lastRead).toBe(POOLED_PAYLOAD_BYTES);
  }
}

async function readers(count: number): Promise<Reader[]> {
  const accepted: Socket[] = [];
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => accepted.push(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const all: Reader[] = [];
  for (let n = 0; n < count; n++) {
    const client = connect(port, "127.0.0.1").on("error", () => undefined);
    const socket = await eventually("accepted", () => accepted[n]);
    const reader = new Reader(TcpConnection.adopt(socket), client);
    reader.tcp.start(reader);
    all.push(reader);
    cleanups.push(() => client.destroy());
  }
  cleanups.push(() => server.close());
  return all;
}

describe("an application's connection in bulk", () => {
  it("reads into frames that are handed on, and nothing else while messages are short", async () => {
    const [reader] = (await readers(1)) as [Reader];
    for (let n = 0; n < 20; n++) await reader.send(1_000);
    expect(reader.frames).toBe(0);
    await reader.send(4 * MIB);
    expect(reader.frames).toBeGreaterThan(20);
    expect(reader.wrong).toBe(0);
  });

  it("has frames again after many connections went idle with one, which go on too", async () => {
    const idle = await readers(MANY);
    for (const reader of idle) await reader.fillTheLastRead();
    const [late] = (await readers(1)) as [Reader];
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await late.send(4 * MIB);
    expect(late.frames).toBeGreaterThan(20);
    for (const reader of idle) await reader.send(200_000);
    expect([late, ...idle].map(({ wrong }) => wrong)).toEqual(Array(MANY + 1).fill(0));
  });

  it("lends no frame to a connection that is asked to wait", async () => {
    const stalled = await readers(MANY);
    for (const reader of stalled) {
      reader.goOn = false;
      reader.client.write(Buffer.alloc(MIB));
    }
    await eventually("all have read once", () => stalled.every(({ bytes }) => bytes > 0));
    const [late] = (await readers(1)) as [Reader];
    await late.send(4 * MIB);
    expect(late.frames).toBeGreaterThan(20);
  });
});
