import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { H2Code, type H2Options } from "../src/http2/index.ts";
import { type KeyPair, selfSigned, tlsPair } from "./http2-loopback.ts";
import { CONNECT, END_HEADERS, END_STREAM, PADDED, RawPeer, rawFields, rawFrame, T, u32 } from "./http2-raw-peer.ts";
import { framed, open, record, type SessionLog, StreamLog, until } from "./http2-recorder.ts";

let keys: KeyPair;
const cleanups: (() => void)[] = [];
beforeAll(async () => {
  keys = await selfSigned();
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Small limits, so that a flood is a short one. */
const strict: Partial<H2Options> = {
  flood: { resets: 100, controlFrames: 200, continuations: 8, tinyDataFrames: 500, windowMs: 60_000 },
  maxConcurrentStreams: 20,
};

async function attack(
  options: Partial<H2Options> = strict,
  serve?: Parameters<typeof record>[3],
): Promise<{ peer: RawPeer; log: SessionLog }> {
  const pair = await tlsPair(keys);
  cleanups.push(pair.close);
  const log = record("server", pair.server, options, serve);
  const peer = await RawPeer.client(pair.client);
  return { peer, log };
}

async function attackClient(options: Partial<H2Options> = strict): Promise<{ peer: RawPeer; log: SessionLog }> {
  const pair = await tlsPair(keys);
  cleanups.push(pair.close);
  const log = record("client", pair.client, options);
  const peer = await RawPeer.server(pair.server);
  return { peer, log };
}

const silent = (): void => {};
const ok200 = rawFields([[":status", "200"]]);

describe("a hostile client over TLS", () => {
  it("case 17: rapid reset ends the session with ENHANCE_YOUR_CALM", async () => {
    const { peer, log } = await attack(strict, silent);
    const block = rawFields(CONNECT);
    const pairs = Array.from({ length: 100_000 / 50 }, (_, index) => {
      const id = 1 + index * 2;
      return Buffer.concat([rawFrame(T.HEADERS, END_HEADERS, id, block), rawFrame(T.RST, 0, id, u32(8))]);
    });
    for (let at = 0; at < pairs.length; at += 100) peer.write(...pairs.slice(at, at + 100));
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
    expect(log.error?.code).toBe("H2_ENHANCE_YOUR_CALM");
    expect(log.streams.length).toBeLessThanOrEqual(101);
    expect(log.streams.every(({ closes }) => closes === 1)).toBe(true);
  });

  it("case 17: making us reset (malformed requests) counts like resetting", async () => {
    const { peer } = await attack();
    for (let id = 1; id < 500; id += 2) peer.connect(id, 0, [...CONNECT, ["X", "upper"]]);
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
  });

  it("case 17: resets after an answer are an honest client's business", async () => {
    const { peer, log } = await attack();
    for (let id = 1; id < 1000; id += 2) {
      peer.connect(id);
      await peer.next((frame) => frame.type === T.HEADERS && frame.streamId === id);
      peer.frame(T.RST, 0, id, u32(8));
    }
    expect(await peer.alive()).toBe(true);
    expect(log.closes).toBe(0);
  });

  it("case 18: CONTINUATION flood without END_HEADERS ends the session", async () => {
    const { peer, log } = await attack();
    peer.frame(T.HEADERS, 0, 1, rawFields(CONNECT));
    for (let count = 0; count < 50; count++) peer.frame(T.CONTINUATION, 0, 1, Buffer.alloc(0));
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
    expect(log.streams).toHaveLength(0);
  });

  it("case 18: CONTINUATION frames with END_HEADERS carry a request, large ones do not grow without bound", async () => {
    const { peer, log } = await attack();
    const block = rawFields(CONNECT);
    peer.frame(T.HEADERS, END_STREAM, 1, block.subarray(0, 5));
    peer.frame(T.CONTINUATION, 0, 1, block.subarray(5, 9));
    peer.frame(T.CONTINUATION, END_HEADERS, 1, block.subarray(9));
    await until(() => log.streams.length === 1);
    expect(log.streams[0]?.request).toEqual(CONNECT);
    expect(log.streams[0]?.ends).toBe(1);
    peer.frame(T.HEADERS, 0, 3, rawFields(CONNECT));
    for (let count = 0; count < 8; count++) peer.frame(T.CONTINUATION, 0, 3, Buffer.alloc(60_000, 0x82));
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
  });

  it("case 18: another frame inside a header block is a connection error", async () => {
    const { peer } = await attack();
    peer.frame(T.HEADERS, 0, 1, rawFields(CONNECT));
    peer.frame(T.PING, 0, 0, Buffer.alloc(8));
    expect(await peer.goaway()).toBe(H2Code.PROTOCOL_ERROR);
  });

  it.each<[string, Buffer]>([
    ["SETTINGS", rawFrame(T.SETTINGS, 0, 0)],
    ["PING", rawFrame(T.PING, 0, 0, Buffer.alloc(8))],
    ["PRIORITY", rawFrame(T.PRIORITY, 0, 1, Buffer.alloc(5))],
    ["empty DATA", rawFrame(T.DATA, 0, 1)],
    ["DATA of padding only", rawFrame(T.DATA, PADDED, 1, Buffer.from([3, 0, 0, 0]))],
    ["WINDOW_UPDATE", rawFrame(T.WINDOW, 0, 1, u32(1))],
    ["unknown frame", rawFrame(0x42, 0, 1, Buffer.alloc(10))],
    ["SETTINGS acknowledgement", rawFrame(T.SETTINGS, 1, 0)],
  ])("case 19: a flood of %s frames ends the session", async (_, frame) => {
    const { peer } = await attack();
    peer.connect(1);
    for (let count = 0; count < 10; count++) peer.write(...Array.from({ length: 100 }, () => frame));
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
  });

  it("a peer that measures the path with a PING for each DATA frame is honest", async () => {
    const { peer, log } = await attack();
    peer.connect(1);
    await until(() => log.streams.length === 1);
    const stream = log.streams[0]?.stream;
    for (let count = 0; count < 500; count++) {
      stream?.writeFramed(framed("x"));
      await peer.alive();
    }
    expect(log.closes).toBe(0);
  });

  it("a client that resets each stream once we gave it up is honest, one that does so twice is not", async () => {
    const { peer, log } = await attack(strict, (_, stream) => {
      stream.sendHeaders([[":status", "413"]], true);
      stream.resetAfterEnd(H2Code.NO_ERROR);
    });
    for (let id = 1; id < 600; id += 2) {
      peer.connect(id);
      await peer.reset(id);
      peer.frame(T.RST, 0, id, u32(H2Code.CANCEL));
    }
    // `alive` costs one PING, and nothing else was counted.
    expect(await peer.alive()).toBe(true);
    expect(log.closes).toBe(0);
    for (let id = 1; id < 600; id += 2) peer.frame(T.RST, 0, id, u32(H2Code.CANCEL));
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
  });

  it("case 19: a peer that pings and never reads is cut off before its answers fill the memory", async () => {
    const lax = { flood: { resets: 1e9, controlFrames: 1e9, continuations: 8, tinyDataFrames: 1e9, windowMs: 60_000 } };
    const { peer, log } = await attack({ ...lax });
    peer.pause();
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => rawFrame(T.PING, 0, 0, Buffer.alloc(8))));
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 4000 && log.closes === 0; count++) {
      if (!peer.write(pings)) await delay(1);
    }
    await until(() => log.closes === 1);
    expect(log.error?.code).toBe("H2_ENHANCE_YOUR_CALM");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(150e6);
  });

  it("case 20: window overflow on stream 0 ends the session, on a stream only that stream", async () => {
    const { peer, log } = await attack();
    peer.connect(1);
    peer.connect(3);
    peer.frame(T.WINDOW, 0, 1, u32(0x7fffffff));
    expect(await peer.reset(1)).toBe(H2Code.FLOW_CONTROL_ERROR);
    expect(await peer.alive()).toBe(true);
    expect(log.streams.map(({ closes }) => closes)).toEqual([1, 0]);
    peer.frame(T.WINDOW, 0, 0, u32(0x7fffffff));
    expect(await peer.goaway()).toBe(H2Code.FLOW_CONTROL_ERROR);
    expect(log.streams.map(({ closes }) => closes)).toEqual([1, 1]);
  });

  it("case 20: SETTINGS that lift an open window above 2^31-1 end the session", async () => {
    const { peer } = await attack();
    peer.connect(1);
    peer.frame(T.WINDOW, 0, 1, u32(0x7fffffff - 65_535));
    await peer.alive();
    peer.write(peer.settings([[4, 65_536]]));
    expect(await peer.goaway()).toBe(H2Code.FLOW_CONTROL_ERROR);
  });

  it("case 20: WINDOW_UPDATE of 0 resets the stream, or on stream 0 ends the session", async () => {
    const { peer } = await attack();
    peer.connect(1);
    peer.frame(T.WINDOW, 0, 1, u32(0));
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    peer.frame(T.WINDOW, 0, 0, u32(0));
    expect(await peer.goaway()).toBe(H2Code.PROTOCOL_ERROR);
  });

  it("case 20: DATA beyond our windows is refused: the stream's with a reset, the connection's with GOAWAY", async () => {
    const small = { ...strict, streamWindowBytes: 65_535, connectionWindowBytes: 100_000 };
    const { peer } = await attack(small, (log) => {
      log.consume = false;
    });
    peer.connect(1);
    for (let count = 0; count < 5; count++) peer.frame(T.DATA, 0, 1, Buffer.alloc(16_000));
    expect(await peer.reset(1)).toBe(H2Code.FLOW_CONTROL_ERROR);
    expect(await peer.alive()).toBe(true);
    for (const id of [3, 5]) {
      peer.connect(id);
      for (let count = 0; count < 4; count++) peer.frame(T.DATA, 0, id, Buffer.alloc(16_000));
    }
    expect(await peer.goaway()).toBe(H2Code.FLOW_CONTROL_ERROR);
  });

  it("case 21: a broken header block ends the session with COMPRESSION_ERROR", async () => {
    const { peer } = await attack();
    peer.frame(T.HEADERS, END_HEADERS, 1, Buffer.from([0xbe]));
    expect(await peer.goaway()).toBe(H2Code.COMPRESSION_ERROR);
  });

  it("case 21: cookie crumbs that decode to more than the limit reset the stream, not the session", async () => {
    const { peer, log } = await attack({ ...strict, maxHeaderListBytes: 16_384 });
    // One cookie of 3900 bytes into the table, then 2000 references to it.
    const value = Buffer.alloc(3900, 97);
    const insert = Buffer.concat([Buffer.from([0x60, 0x7f, ((3900 - 127) & 127) | 128, (3900 - 127) >> 7]), value]);
    peer.frame(T.HEADERS, END_HEADERS, 1, Buffer.concat([rawFields(CONNECT), insert, Buffer.alloc(2000, 0xbe)]));
    expect(await peer.reset(1)).toBe(H2Code.ENHANCE_YOUR_CALM);
    expect(log.streams).toHaveLength(0);
    peer.connect(3);
    await until(() => log.streams.length === 1);
  });

  it("case 22: a dribble of 1-byte DATA frames ends the session", async () => {
    const { peer, log } = await attack();
    peer.connect(1);
    const dribble = Buffer.concat(Array.from({ length: 600 }, () => rawFrame(T.DATA, 0, 1, Buffer.from("x"))));
    peer.write(dribble);
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
    expect(log.streams[0]?.bytes).toBeLessThanOrEqual(501);
  });

  it("case 22: a window held at zero for ever holds its own stream only, in bounded memory", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("server", pair.server, strict);
    const peer = await RawPeer.client(pair.client, [[4, 0]]);
    peer.connect(1);
    await until(() => log.streams.length === 1);
    const stream = log.streams[0]?.stream;
    let accepted = 0;
    while (stream?.writeFramed(framed(Buffer.alloc(16_000))) === true) accepted++;
    expect(accepted * 16_000).toBeLessThan(300_000);
    expect(stream?.queuedBytes).toBeLessThan(300_000);
    // Another stream with credit is served meanwhile.
    peer.connect(3);
    peer.frame(T.WINDOW, 0, 3, u32(1000));
    await until(() => log.streams.length === 2);
    log.streams[1]?.stream?.writeFramed(framed("hello"));
    const data = await peer.next((frame) => frame.type === T.DATA);
    expect([data.streamId, data.payload.toString()]).toEqual([3, "hello"]);
    // And the first goes on, byte by byte as allowed, when its window opens.
    peer.frame(T.WINDOW, 0, 1, u32(10));
    const late = await peer.next((frame) => frame.type === T.DATA && frame.streamId === 1);
    expect(late.payload).toHaveLength(10);
  });

  it.each<[string, readonly (readonly [string, string])[]]>([
    ["CR LF in a value", [...CONNECT, ["x", "a\r\nb: c"]]],
    ["NUL in a value", [...CONNECT, ["x", "a\0b"]]],
    ["an upper-case name", [...CONNECT, ["Baggage", "x"]]],
    ["a duplicate :authority", [...CONNECT, [":authority", "10.0.0.2:80"]]],
    [
      "a pseudo-header after a regular field",
      [
        [":method", "CONNECT"],
        ["x", "y"],
        [":authority", "a:1"],
      ],
    ],
    ["a CONNECT with :path", [...CONNECT, [":path", "/"]]],
    ["a connection-specific field", [...CONNECT, ["transfer-encoding", "chunked"]]],
  ])("case 23: %s resets only that stream", async (_, fields) => {
    const { peer, log } = await attack();
    peer.connect(1, 0, fields);
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    peer.connect(3);
    await until(() => log.streams.length === 1);
    expect(log.streams[0]?.request).toEqual(CONNECT);
  });

  it("case 23: a field called __proto__ is an ordinary field", async () => {
    const { peer, log } = await attack();
    peer.connect(1, 0, [...CONNECT, ["__proto__", "polluted"]]);
    await until(() => log.streams.length === 1);
    expect(log.streams[0]?.request).toContainEqual(["__proto__", "polluted"]);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it("case 24: DATA before our response reaches the owner, who decides; its credit returns only when consumed", async () => {
    const { peer, log } = await attack(
      { ...strict, streamWindowBytes: 65_535, connectionWindowBytes: 65_535 },
      (owner) => {
        owner.consume = false;
      },
    );
    peer.connect(1);
    peer.write(...[1, 2, 3].map(() => rawFrame(T.DATA, 0, 1, Buffer.alloc(16_000))));
    await until(() => log.streams[0]?.bytes === 48_000);
    await peer.alive();
    expect(peer.frames.some(({ type }) => type === T.WINDOW)).toBe(false);
    log.streams[0]?.stream?.consume(48_000);
    expect((await peer.next(({ type, streamId }) => type === T.WINDOW && streamId === 1)).payload).toEqual(u32(48_000));
    expect((await peer.next(({ type, streamId }) => type === T.WINDOW && streamId === 0)).payload).toEqual(u32(48_000));
  });

  it("case 24: DATA of a stream that the owner refused is dropped and its connection credit returned at once", async () => {
    const small = { ...strict, streamWindowBytes: 65_535, connectionWindowBytes: 65_535 };
    const { peer, log } = await attack(small, (owner, stream) => {
      owner.consume = false;
      stream.sendHeaders([[":status", "401"]], true);
      stream.reset(H2Code.NO_ERROR);
    });
    let sent = 0;
    for (let id = 1; id < 40; id += 2) {
      peer.connect(id);
      peer.frame(T.DATA, 0, id, Buffer.alloc(16_000));
      sent += 16_000;
      await peer.alive();
    }
    const credit = peer.frames
      .filter(({ type, streamId }) => type === T.WINDOW && streamId === 0)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    expect(sent - credit).toBeLessThan(65_535);
    expect(log.streams.every(({ closes, bytes }) => closes === 1 && bytes === 0)).toBe(true);
  });

  it("case 25: a GOAWAY storm ends the session and nothing is served twice", async () => {
    const { peer, log } = await attack();
    peer.connect(1);
    await until(() => log.streams.length === 1);
    const goaway = rawFrame(T.GOAWAY, 0, 0, Buffer.concat([u32(0), u32(0)]));
    peer.write(...Array.from({ length: 500 }, () => goaway));
    await until(() => log.closes === 1);
    expect(log.error?.code).toBe("H2_ENHANCE_YOUR_CALM");
    expect(log.streams[0]?.closes).toBe(1);
  });

  it("case 26: streams beyond the limit are refused, retry-safe, and the others live", async () => {
    const { peer, log } = await attack();
    for (let id = 1; id <= 41; id += 2) peer.connect(id);
    expect(await peer.reset(41)).toBe(H2Code.REFUSED_STREAM);
    expect(log.session.activeStreams).toBe(20);
    peer.frame(T.RST, 0, 1, u32(8));
    peer.connect(43);
    await until(() => log.streams.length === 21);
    for (let id = 45; id < 1000; id += 2) peer.connect(id);
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
  });

  it("case 27: a frame above our maximum ends the session with FRAME_SIZE_ERROR", async () => {
    const { peer } = await attack({ ...strict, maxFrameBytes: 16_384 });
    peer.connect(1);
    peer.frame(T.DATA, 0, 1, Buffer.alloc(16_385));
    expect(await peer.goaway()).toBe(H2Code.FRAME_SIZE_ERROR);
  });

  it.each<[string, number, readonly Buffer[]]>([
    ["an even stream id", 1, [rawFrame(T.HEADERS, END_HEADERS, 2, rawFields(CONNECT))]],
    ["HEADERS on stream 0", 1, [rawFrame(T.HEADERS, END_HEADERS, 0, rawFields(CONNECT))]],
    ["a lower id than before", 5, [5, 3].map((id) => rawFrame(T.HEADERS, END_HEADERS, id, rawFields(CONNECT)))],
    ["DATA on an idle stream", 1, [rawFrame(T.DATA, 0, 1, Buffer.from("x"))]],
    ["DATA on stream 0", 1, [rawFrame(T.DATA, 0, 0, Buffer.from("x"))]],
    ["RST_STREAM on an idle stream", 1, [rawFrame(T.RST, 0, 7, u32(8))]],
    ["RST_STREAM of 3 bytes", 6, [rawFrame(T.RST, 0, 1, Buffer.alloc(3))]],
    ["WINDOW_UPDATE on an idle stream", 1, [rawFrame(T.WINDOW, 0, 7, u32(1))]],
    ["WINDOW_UPDATE of 5 bytes", 6, [rawFrame(T.WINDOW, 0, 0, Buffer.alloc(5))]],
    ["SETTINGS on a stream", 1, [rawFrame(T.SETTINGS, 0, 1)]],
    ["SETTINGS of 5 bytes", 6, [rawFrame(T.SETTINGS, 0, 0, Buffer.alloc(5))]],
    ["SETTINGS acknowledgement with values", 6, [rawFrame(T.SETTINGS, 1, 0, Buffer.alloc(6))]],
    ["PING on a stream", 1, [rawFrame(T.PING, 0, 1, Buffer.alloc(8))]],
    ["PING of 7 bytes", 6, [rawFrame(T.PING, 0, 0, Buffer.alloc(7))]],
    ["GOAWAY on a stream", 1, [rawFrame(T.GOAWAY, 0, 1, Buffer.alloc(8))]],
    ["PUSH_PROMISE", 1, [rawFrame(T.PUSH, END_HEADERS, 1, Buffer.alloc(8))]],
    ["CONTINUATION out of nowhere", 1, [rawFrame(T.CONTINUATION, END_HEADERS, 1, Buffer.alloc(1))]],
    ["PRIORITY on stream 0", 1, [rawFrame(T.PRIORITY, 0, 0, Buffer.alloc(5))]],
    ["padding that does not fit", 1, [rawFrame(T.HEADERS, END_HEADERS | PADDED, 1, Buffer.from([9, 0x82]))]],
  ])("case 27: %s is connection error %i", async (_, code, frames) => {
    const { peer, log } = await attack();
    peer.write(...frames);
    expect(await peer.goaway()).toBe(code);
    await until(() => log.closes === 1);
    await until(() => peer.ended);
  });

  it("case 27: HEADERS again on a stream that ended cleanly is a connection error, on one we cut it is ignored", async () => {
    const { peer, log } = await attack(strict, (_, stream) => stream.sendHeaders([[":status", "200"]], true));
    peer.connect(1, 0, [...CONNECT, ["X", "malformed"]]);
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    peer.frame(T.HEADERS, END_HEADERS | END_STREAM, 1, rawFields([["late", "trailer"]]));
    expect(await peer.alive()).toBe(true);
    peer.connect(3, END_STREAM);
    await until(() => log.streams[0]?.closes === 1);
    peer.frame(T.HEADERS, END_HEADERS | END_STREAM, 3, rawFields(CONNECT));
    expect(await peer.goaway()).toBe(H2Code.STREAM_CLOSED);
  });

  it("case 27: a client that goes on sending on a stream it reset itself is told so", async () => {
    const { peer, log } = await attack(strict, silent);
    peer.connect(1);
    peer.frame(T.RST, 0, 1, u32(H2Code.CANCEL));
    peer.frame(T.DATA, 0, 1, Buffer.from("x"));
    expect(await peer.reset(1)).toBe(H2Code.STREAM_CLOSED);
    expect(await peer.alive()).toBe(true);
    peer.connect(3);
    peer.frame(T.RST, 0, 3, u32(H2Code.CANCEL));
    peer.frame(T.HEADERS, END_HEADERS | END_STREAM, 3, rawFields([["late", "trailer"]]));
    expect(await peer.goaway()).toBe(H2Code.STREAM_CLOSED);
    await until(() => log.streams.every(({ closes }) => closes === 1));
  });

  it.each<[string, number, Buffer]>([
    ["DATA", H2Code.STREAM_CLOSED, rawFrame(T.DATA, 0, 1, Buffer.from("x"))],
    ["HEADERS", H2Code.STREAM_CLOSED, rawFrame(T.HEADERS, END_HEADERS | END_STREAM, 1, rawFields([["a", "b"]]))],
  ])("case 27: %s after END_STREAM resets only that stream", async (_, code, frame) => {
    const { peer, log } = await attack();
    peer.connect(1, END_STREAM);
    peer.write(frame);
    expect(await peer.reset(1)).toBe(code);
    expect(await peer.alive()).toBe(true);
    expect(log.streams[0]?.closes).toBe(1);
  });

  it("case 27: trailers without END_STREAM reset only that stream", async () => {
    const { peer } = await attack();
    peer.connect(1);
    peer.frame(T.HEADERS, END_HEADERS, 1, rawFields([["a", "b"]]));
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    expect(await peer.alive()).toBe(true);
  });

  it("case 27: WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream are harmless", async () => {
    const { peer, log } = await attack(strict, (_, stream) => stream.sendHeaders([[":status", "200"]], true));
    peer.connect(1, END_STREAM);
    await until(() => log.streams[0]?.closes === 1);
    peer.frame(T.WINDOW, 0, 1, u32(5));
    peer.frame(T.RST, 0, 1, u32(0));
    peer.frame(T.PRIORITY, 0, 1, Buffer.alloc(5));
    expect(await peer.alive()).toBe(true);
  });
});

describe("the beginning of a connection", () => {
  it("refuses something else than the preface", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("server", pair.server, strict);
    pair.client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await until(() => log.closes === 1);
    expect(log.error?.code).toBe("H2_PROTOCOL_ERROR");
  });

  it("refuses a first frame that is not SETTINGS", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    record("server", pair.server, strict);
    const peer = new RawPeer(pair.client);
    peer.write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), rawFrame(T.PING, 0, 0, Buffer.alloc(8)));
    expect(await peer.goaway()).toBe(H2Code.PROTOCOL_ERROR);
  });

  it("does not wait for a preface for ever", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("server", pair.server, { ...strict, prefaceTimeoutMs: 100 });
    const peer = new RawPeer(pair.client);
    peer.write(Buffer.from("PRI * HTTP/2.0\r\n"));
    expect(await peer.goaway()).toBe(H2Code.SETTINGS_TIMEOUT);
    expect(log.error?.code).toBe("H2_PREFACE_TIMEOUT");
  });

  it("reads a preface that comes byte by byte", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("server", pair.server, strict);
    const peer = new RawPeer(pair.client);
    const bytes = Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      peer.settings([]),
      rawFrame(T.HEADERS, END_HEADERS, 1, rawFields(CONNECT)),
    ]);
    for (const byte of bytes) peer.write(Buffer.from([byte]));
    await until(() => log.streams.length === 1);
  });
});

describe("a hostile server over TLS", () => {
  it.each<[string, number, readonly Buffer[]]>([
    ["PUSH_PROMISE", 1, [rawFrame(T.PUSH, END_HEADERS, 1, Buffer.alloc(8))]],
    ["HEADERS on a stream of its own", 1, [rawFrame(T.HEADERS, END_HEADERS, 2, ok200)]],
    ["HEADERS on a stream we did not open", 1, [rawFrame(T.HEADERS, END_HEADERS, 9, ok200)]],
    ["ENABLE_PUSH", 1, [rawFrame(T.SETTINGS, 0, 0, Buffer.from([0, 2, 0, 0, 0, 1]))]],
  ])("case 27: %s is connection error %i", async (_, code, frames) => {
    const { peer, log } = await attackClient();
    const stream = open(log.session);
    await peer.next(({ type }) => type === T.HEADERS);
    peer.write(...frames);
    expect(await peer.goaway()).toBe(code);
    await until(() => stream.closes === 1);
  });

  it.each<[string, readonly Buffer[]]>([
    ["DATA before headers", [rawFrame(T.DATA, 0, 1, Buffer.from("x"))]],
    ["no :status", [rawFrame(T.HEADERS, END_HEADERS, 1, rawFields([["a", "b"]]))]],
    ["1xx with END_STREAM", [rawFrame(T.HEADERS, END_HEADERS | END_STREAM, 1, rawFields([[":status", "103"]]))]],
    [
      "LF in a value",
      [
        rawFrame(
          T.HEADERS,
          END_HEADERS,
          1,
          rawFields([
            [":status", "200"],
            ["a", "b\nc"],
          ]),
        ),
      ],
    ],
  ])("case 23: a response with %s resets only its stream", async (_, frames) => {
    const { peer, log } = await attackClient();
    const bad = open(log.session);
    const good = open(log.session);
    await peer.next(({ streamId }) => streamId === 3);
    peer.write(...frames, rawFrame(T.HEADERS, END_HEADERS, 3, ok200));
    await until(() => good.headers.length === 1);
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    expect([bad.closes, good.closes, log.closes]).toEqual([1, 0, 0]);
  });

  it("passes over informational responses", async () => {
    const { peer, log } = await attackClient();
    const stream = open(log.session);
    await peer.next(({ type }) => type === T.HEADERS);
    peer.frame(T.HEADERS, END_HEADERS, 1, rawFields([[":status", "103"]]));
    peer.frame(T.HEADERS, END_HEADERS, 1, ok200);
    await until(() => stream.headers.length === 1);
    expect(stream.headers[0]).toEqual([[":status", "200"]]);
  });

  it.each([
    ["NO_ERROR", 0, "H2_STREAM_RESET", "never"],
    ["CANCEL", 8, "H2_STREAM_RESET", "never"],
    ["REFUSED_STREAM", 7, "H2_STREAM_REFUSED", "safe"],
  ])("reports RST_STREAM %s with its code", async (_, code, meshCode, retry) => {
    const { peer, log } = await attackClient();
    const stream = open(log.session);
    await peer.next(({ type }) => type === T.HEADERS);
    peer.frame(T.HEADERS, END_HEADERS, 1, ok200);
    peer.frame(T.DATA, 0, 1, Buffer.from("last words"));
    peer.frame(T.RST, 0, 1, u32(code));
    await until(() => stream.closes === 1);
    expect([stream.text, stream.error?.code, stream.error?.retry]).toEqual(["last words", meshCode, retry]);
    expect(stream.error?.context["h2Code"]).toBe(code);
  });

  it("case 25: GOAWAY closes the streams it does not cover as retry-safe, lets the others end, then the transport", async () => {
    const { peer, log } = await attackClient();
    const covered = open(log.session);
    const late = open(log.session);
    await peer.next(({ streamId }) => streamId === 3);
    peer.frame(T.GOAWAY, 0, 0, Buffer.concat([u32(1), u32(0)]));
    await until(() => late.closes === 1);
    expect([late.error?.code, late.error?.retry]).toEqual(["H2_STREAM_REFUSED", "safe"]);
    expect(log.session.acceptsStreams).toBe(false);
    expect(() => open(log.session)).toThrow(expect.objectContaining({ code: "H2_SESSION_CLOSED", retry: "safe" }));
    peer.frame(T.HEADERS, END_HEADERS, 1, ok200);
    covered.stream?.end();
    peer.frame(T.DATA, END_STREAM, 1, Buffer.from("bye"));
    await until(() => log.closes === 1);
    expect([covered.text, covered.error, log.error]).toEqual(["bye", undefined, undefined]);
    await until(() => peer.ended);
  });

  it("follows a change of MAX_CONCURRENT_STREAMS", async () => {
    const { peer, log } = await attackClient();
    expect(log.session.streamLimit).toBe(20);
    peer.write(peer.settings([[3, 1]]));
    await until(() => log.session.streamLimit === 1);
    const first = open(log.session);
    expect(() => open(log.session)).toThrow(expect.objectContaining({ retry: "safe" }));
    const before = log.capacity;
    first.stream?.reset(H2Code.CANCEL);
    expect(log.capacity).toBe(before + 1);
    peer.write(peer.settings([[3, 7]]));
    await until(() => log.session.streamLimit === 7);
    expect(log.capacity).toBe(before + 2);
  });

  it("reports the transport's end before a response as worth a retry on another session", async () => {
    const pair = await tlsPair(keys);
    const log = record("client", pair.client, strict);
    const peer = await RawPeer.server(pair.server);
    const waiting = open(log.session);
    const answered = open(log.session);
    await peer.next(({ streamId }) => streamId === 3);
    peer.frame(T.HEADERS, END_HEADERS, 3, ok200);
    await until(() => answered.headers.length === 1);
    pair.close();
    await until(() => log.closes === 1);
    expect([waiting.error?.code, waiting.error?.retry]).toEqual(["H2_SESSION_CLOSED", "if-session-reused"]);
    expect([answered.error?.code, answered.error?.retry]).toEqual(["H2_SESSION_CLOSED", "never"]);
    expect([waiting.closes, answered.closes]).toEqual([1, 1]);
  });

  it("destroys a session whose peer falls silent", async () => {
    const { peer, log } = await attackClient({ ...strict, pingIntervalMs: 50, pingTimeoutMs: 100 });
    const stream = open(log.session, new StreamLog());
    await peer.next(({ type }) => type === T.PING);
    await until(() => log.closes === 1);
    expect([log.error?.code, stream.error?.code]).toEqual(["H2_SESSION_UNRESPONSIVE", "H2_SESSION_UNRESPONSIVE"]);
  });
});
