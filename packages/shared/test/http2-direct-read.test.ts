/** All TLS sessions of a thread read into one buffer: nothing of one read may be used after the next. */

import { PassThrough } from "node:stream";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { readDirectly } from "../src/http2/session/direct-read.ts";
import { type KeyPair, selfSigned, tlsPair } from "./http2-loopback.ts";
import { CONNECT, END_HEADERS, RawPeer, rawFields, rawFrame, T } from "./http2-raw-peer.ts";
import { framed, open, record, type SessionLog, until } from "./http2-recorder.ts";

let keys: KeyPair;
const cleanups: (() => void)[] = [];
beforeAll(async () => {
  keys = await selfSigned();
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function server(): Promise<{ peer: RawPeer; log: SessionLog }> {
  const pair = await tlsPair(keys);
  cleanups.push(pair.close);
  const log = record("server", pair.server);
  return { peer: await RawPeer.client(pair.client), log };
}

describe("readDirectly", () => {
  it("is in use on this Node, and all that arrives comes through it", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const seen: string[] = [];
    const buffers = new Set<ArrayBufferLike>();
    expect(
      readDirectly(pair.server, (bytes) => {
        seen.push(bytes.toString());
        buffers.add(bytes.buffer);
      }),
    ).toBe(true);
    pair.server.on("data", () => seen.push("data event")).on("end", () => seen.push("end"));
    for (const text of ["one", "two"]) {
      pair.client.write(text);
      await until(() => seen.at(-1) === text);
    }
    pair.client.end();
    await until(() => seen.at(-1) === "end");
    expect(seen).toEqual(["one", "two", "end"]);
    expect(buffers.size).toBe(1);
  });

  it("leaves other transports alone", () => {
    expect(readDirectly(new PassThrough(), () => {})).toBe(false);
  });
});

describe("sessions that share the read buffer", () => {
  it("keep a header block and a frame begun in one read, whatever others read meanwhile", async () => {
    const [a, b] = [await server(), await server()];
    const noise = (): void => b.peer.frame(T.PING, 0, 0, Buffer.alloc(8, 0xff));
    const block = rawFields(CONNECT);
    const pieces = [
      rawFrame(T.HEADERS, 0, 1, block.subarray(0, 20)),
      rawFrame(T.CONTINUATION, 0, 1, block.subarray(20, 30)),
      ...[rawFrame(T.CONTINUATION, END_HEADERS, 1, block.subarray(30))].flatMap((frame) => [
        frame.subarray(0, 4),
        frame.subarray(4, 15),
        frame.subarray(15),
      ]),
    ];
    for (const piece of pieces) {
      a.peer.write(piece);
      noise();
      expect(await b.peer.alive()).toBe(true);
    }
    await until(() => a.log.streams.length === 1);
    expect(a.log.streams[0]?.request).toEqual(CONNECT);
  });

  it("carry bulk frames that are used again, each with its own bytes", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("server", pair.server);
    const client = record("client", pair.client);
    const streams = [open(client.session), open(client.session), open(client.session)];
    const sizes = [70_000, 65_536, 9_000, 300, 65_536, 20_000];
    const sent = streams.map(() => [] as Buffer[]);
    const { takeFrame } = await import("../src/http2/index.ts");
    for (const [round, size] of Array.from({ length: 10 }, () => sizes)
      .flat()
      .entries()) {
      for (const [index, stream] of streams.entries()) {
        const payload = Buffer.alloc(size, `${index}/${round};`);
        sent[index]?.push(payload);
        const frame = round % 2 === 0 ? takeFrame(size) : framed(payload);
        payload.copy(frame, 9);
        stream.stream?.writeFramed(frame);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    const total = sizes.reduce((sum, size) => sum + size, 0) * 10;
    await until(() => log.streams.length === 3 && log.streams.every(({ bytes }) => bytes === total));
    for (const stream of log.streams) {
      const index = (Number(stream.stream?.id) - 1) / 2;
      expect(Buffer.concat(stream.chunks).equals(Buffer.concat(sent[index] ?? []))).toBe(true);
    }
  });
});
