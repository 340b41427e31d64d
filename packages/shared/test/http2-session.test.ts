/** Our client and our server over TLS: ends, backpressure, fairness, memory. */

import { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { ErrorCode, MeshError } from "../src/errors/index.ts";
import {
  createH2Session,
  defaultH2Options,
  H2Code,
  type H2Options,
  type H2Stream,
  POOLED_PAYLOAD_BYTES,
  takeFrame,
} from "../src/http2/index.ts";
import { type KeyPair, selfSigned, tlsPair } from "./http2-loopback.ts";
import { CONNECT, END_HEADERS, RawPeer, rawFields, T, u32 } from "./http2-raw-peer.ts";
import { framed, open, record, type SessionLog, StreamLog, until } from "./http2-recorder.ts";

const MIB = 1024 * 1024;
let keys: KeyPair;
const cleanups: (() => void)[] = [];
beforeAll(async () => {
  keys = await selfSigned();
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function both(
  serve?: (log: StreamLog, stream: H2Stream) => void,
  options: Partial<H2Options> = {},
): Promise<{ client: SessionLog; server: SessionLog }> {
  const pair = await tlsPair(keys);
  cleanups.push(pair.close);
  const server = record("server", pair.server, options, serve);
  const client = record("client", pair.client, options);
  return { client, server };
}

/** Sends for ever, as fast as the stream lets it. */
class Firehose extends StreamLog {
  sent = 0;
  pieceBytes = 50_000;
  limit = Number.POSITIVE_INFINITY;
  override onHeaders(): void {
    this.pour();
  }
  override onDrain(): void {
    super.onDrain();
    this.pour();
  }
  pour(): void {
    while (this.sent < this.limit) {
      this.sent += this.pieceBytes;
      if (this.stream?.writeFramed(framed(Buffer.alloc(this.pieceBytes))) !== true) return;
    }
  }
}

describe("backpressure", () => {
  it("holds a sender back behind a slow reader, in bounded memory, and loses nothing", async () => {
    const { client, server } = await both((owner, stream) => {
      owner.consume = false;
      owner.keep = false;
      stream.sendHeaders([[":status", "200"]], false);
    });
    const hose = open(client.session, new Firehose()) as Firehose;
    await until(() => (server.streams[0]?.bytes ?? 0) >= 4 * MIB - 70_000);
    await delay(50);
    const owner = server.streams[0] as StreamLog;
    // One stream window has arrived; besides that only the queue's high-water mark was accepted.
    expect(owner.bytes).toBeLessThanOrEqual(4 * MIB);
    expect(hose.sent - owner.bytes).toBeLessThan(MIB);
    expect(hose.stream?.queuedBytes).toBeLessThan(400_000);
    const before = hose.sent;
    await delay(50);
    expect(hose.sent).toBe(before);
    hose.limit = hose.sent;
    owner.consume = true;
    owner.stream?.consume(owner.bytes);
    hose.stream?.end();
    await until(() => owner.ends === 1);
    expect(owner.bytes).toBe(hose.sent);
    expect(hose.drains).toBeGreaterThan(0);
  });

  it("an owner told to wait hears of it, also when it writes again while the queue is half empty", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const { session } = record("client", pair.client);
    const peer = await RawPeer.server(pair.server);
    await until(() => session.settingsSeen);
    const owner = open(session);
    expect(owner.stream?.writeFramed(framed(Buffer.alloc(400_000)))).toBe(false);
    const grow = (bytes: number): void => {
      for (const id of [0, 1]) peer.frame(T.WINDOW, 0, id, u32(bytes));
    };
    grow(200_000);
    await until(() => (owner.stream?.queuedBytes ?? 0) < 200_000);
    expect([owner.stream?.writeFramed(framed("more")), owner.drains]).toEqual([false, 0]);
    grow(200_000);
    await until(() => owner.drains === 1);
    expect(owner.stream?.queuedBytes).toBe(0);
  });

  it("a reader that stops does not starve the other streams", async () => {
    const { client, server } = await both((owner, stream) => {
      owner.consume = server.streams.length > 1;
      owner.keep = false;
      stream.sendHeaders([[":status", "200"]], false);
    });
    const stuck = open(client.session, new Firehose());
    await until(() => (server.streams[0]?.bytes ?? 0) > 3 * MIB);
    const free = new Firehose();
    free.limit = 40 * MIB;
    open(client.session, free);
    await until(() => (server.streams[1]?.bytes ?? 0) >= 40 * MIB);
    expect(stuck.closes).toBe(0);
  });

  it("streams that wait for one connection take turns", async () => {
    const { client, server } = await both((owner, stream) => {
      owner.keep = false;
      stream.sendHeaders([[":status", "200"]], false);
    });
    const hoses = Array.from({ length: 4 }, () => open(client.session, new Firehose()) as Firehose);
    await until(() => server.streams.reduce((sum, { bytes }) => sum + bytes, 0) > 60 * MIB);
    for (const hose of hoses) hose.limit = 0;
    const shares = server.streams.map(({ bytes }) => bytes);
    expect(Math.min(...shares)).toBeGreaterThan(Math.max(...shares) / 2);
  });

  it("a small request passes a bulk transfer on the same connection", async () => {
    const { client, server } = await both((owner, stream) => {
      owner.keep = false;
      stream.sendHeaders([[":status", "200"]], false);
    });
    const hose = open(client.session, new Firehose()) as Firehose;
    await until(() => (server.streams[0]?.bytes ?? 0) > 8 * MIB);
    const already = server.streams[0]?.bytes ?? 0;
    const small = open(client.session);
    await until(() => small.headers.length === 1);
    hose.limit = 0;
    expect((server.streams[0]?.bytes ?? 0) - already).toBeLessThan(16 * MIB);
  });

  it("cuts large writes to the peer's frame size and windows, byte for byte", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("client", pair.client);
    const peer = await RawPeer.server(pair.server, [[4, 100_000]]);
    const stream = open(log.session);
    const payload = Buffer.from(Array.from({ length: 150_000 }, (_, index) => index % 251));
    await until(() => log.session.streamLimit > 0);
    await peer.next(({ type, flags }) => type === T.SETTINGS && flags === 1);
    stream.stream?.writeFramed(framed(payload));
    stream.stream?.end();
    const data = (): Buffer[] => peer.frames.filter(({ type }) => type === T.DATA).map(({ payload: part }) => part);
    const total = (): number => data().reduce((sum, { length }) => sum + length, 0);
    // The connection window of 65535 is the tighter one at first.
    await until(() => total() === 65_535);
    peer.frame(T.WINDOW, 0, 0, u32(1_000_000));
    await until(() => total() === 100_000);
    peer.frame(T.WINDOW, 0, 1, u32(1_000_000));
    await until(() => total() === 150_000);
    expect(Buffer.concat(data()).equals(payload)).toBe(true);
    expect(Math.max(...data().map(({ length }) => length))).toBeLessThanOrEqual(16_384);
    await peer.next(({ type, flags }) => type === T.DATA && (flags & 1) === 1);
  });

  it("sends bulk frames of streams that take turns whole, so that none is copied and each is used again", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("client", pair.client);
    const peer = await RawPeer.server(pair.server, [
      [4, 16 * MIB],
      [5, MIB],
    ]);
    peer.frame(T.WINDOW, 0, 0, u32(16 * MIB));
    await peer.next(({ type, flags }) => type === T.SETTINGS && flags === 1);
    expect(await peer.alive()).toBe(true);
    const streams = Array.from({ length: 4 }, () => open(log.session));
    for (let round = 0; round < 4; round++) {
      for (const { stream } of streams) stream?.writeFramed(takeFrame(POOLED_PAYLOAD_BYTES));
    }
    const sizes = (): number[] =>
      peer.frames.filter(({ type }) => type === T.DATA).map(({ payload }) => payload.length);
    await until(() => sizes().reduce((sum, size) => sum + size, 0) === 16 * POOLED_PAYLOAD_BYTES);
    expect(new Set(sizes())).toEqual(new Set([POOLED_PAYLOAD_BYTES]));
  });

  it("follows a lowered initial window into the negative and out again", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const log = record("client", pair.client);
    const peer = await RawPeer.server(pair.server);
    const stream = open(log.session);
    stream.stream?.writeFramed(framed(Buffer.alloc(10_000)));
    const total = (): number =>
      peer.frames.filter(({ type }) => type === T.DATA).reduce((sum, { payload }) => sum + payload.length, 0);
    await until(() => total() === 10_000);
    peer.write(peer.settings([[4, 4_000]]));
    await peer.alive();
    stream.stream?.writeFramed(framed(Buffer.alloc(5000)));
    peer.frame(T.WINDOW, 0, 1, u32(6_000));
    await peer.alive();
    expect(total()).toBe(10_000);
    peer.frame(T.WINDOW, 0, 1, u32(1_500));
    await until(() => total() === 11_500);
    peer.write(peer.settings([[4, 10_000]]));
    await until(() => total() === 15_000);
  });
});

describe("ends", () => {
  it("an error thrown by a handler resets only its own stream", async () => {
    const { client, server } = await both((owner, stream) => {
      const name = server.streams.length;
      stream.sendHeaders([[":status", "200"]], false);
      if (name === 2) throw new Error("bad owner");
      if (name === 1) {
        owner.onData = () => {
          throw new Error("bad handler");
        };
      }
    });
    const [data, request, good] = [open(client.session), open(client.session), open(client.session)];
    for (const { stream } of [data, request, good]) stream?.writeFramed(framed("x"));
    await until(() => data.closes === 1 && request.closes === 1);
    expect([data.error?.context["h2Code"], request.error?.context["h2Code"]]).toEqual([2, 2]);
    await until(() => server.streams[2]?.bytes === 1);
    expect([good.closes, server.closes, server.streams[0]?.closes]).toEqual([0, 0, 1]);
    expect(server.streams[0]?.error?.message).toBe("bad handler");
  });

  it("a session handler that throws ends the session, not the process", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const server = record("server", pair.server);
    const closed: (MeshError | undefined)[] = [];
    createH2Session("client", pair.client, defaultH2Options, {
      onSettings: () => {
        throw new Error("bad pool");
      },
      onClose: (error) => void closed.push(error),
    });
    await until(() => closed.length === 1 && server.closes === 1);
    expect(closed[0]?.message).toBe("bad pool");
  });

  it("destroy is idempotent and every stream hears of it exactly once, before the session", async () => {
    const { client, server } = await both();
    const streams = [open(client.session), open(client.session)];
    await until(() => streams.every(({ headers }) => headers.length === 1));
    const order: string[] = [];
    for (const stream of streams) stream.onClose = (error) => void order.push(`stream ${error?.code}`);
    const reason = new MeshError(ErrorCode.CONNECTION_DRAINED, "enough");
    client.session.destroy(reason);
    client.session.destroy();
    expect(order).toEqual(["stream CONNECTION_DRAINED", "stream CONNECTION_DRAINED"]);
    expect([client.closes, client.error]).toEqual([1, reason]);
    await until(() => server.closes === 1);
    expect(server.streams.map(({ closes }) => closes)).toEqual([1, 1]);
    // Everything is a no-op afterwards.
    streams[0]?.stream?.sendHeaders([["a", "b"]], true);
    expect(streams[0]?.stream?.writeFramed(framed("x"))).toBe(false);
    streams[0]?.stream?.end();
    streams[0]?.stream?.reset(H2Code.CANCEL);
    streams[0]?.stream?.consume(5);
    client.session.shutdown();
    expect(() => open(client.session)).toThrow(expect.objectContaining({ code: "H2_SESSION_CLOSED" }));
  });

  it("a reset inside onRequest still gives the owner its onClose", async () => {
    const { client, server } = await both((_, stream) => stream.reset(H2Code.REFUSED_STREAM));
    const stream = open(client.session);
    await until(() => stream.closes === 1);
    expect([stream.error?.code, stream.error?.retry]).toEqual(["H2_STREAM_REFUSED", "safe"]);
    expect([server.streams[0]?.closes, server.session.activeStreams]).toEqual([1, 0]);
  });

  it("a session destroyed inside a stream's handler does not read on", async () => {
    const { client, server } = await both((owner, stream) => {
      stream.sendHeaders([[":status", "200"]], false);
      owner.onData = () => {
        owner.bytes++;
        server.session.destroy();
      };
    });
    const streams = [open(client.session), open(client.session)];
    for (const { stream } of streams) stream?.writeFramed(framed("x"));
    await until(() => client.closes === 1 && server.closes === 1);
    expect(server.streams.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(1);
    expect(server.streams.every(({ closes }) => closes <= 1)).toBe(true);
  });

  it("queued DATA, then trailers, then the end arrive in order", async () => {
    const { client, server } = await both((_, stream) => {
      stream.sendHeaders([[":status", "200"]], false);
      for (let piece = 0; piece < 100; piece++) stream.writeFramed(framed(Buffer.alloc(100_000, piece)));
      stream.sendHeaders([["x-last", "1"]], true);
    });
    const stream = open(client.session);
    stream.stream?.end();
    await until(() => stream.closes === 1);
    expect([stream.bytes, stream.headers[1], stream.ends, stream.error]).toEqual([
      10_000_000,
      [["x-last", "1"]],
      1,
      undefined,
    ]);
    expect(stream.text.charCodeAt(9_999_999)).toBe(99);
    await until(() => server.streams[0]?.closes === 1);
  });

  it("refuses to send a header that would forge another", async () => {
    const { client } = await both((_, stream) =>
      stream.sendHeaders(
        [
          [":status", "200"],
          ["x", "a\r\nb: c"],
        ],
        false,
      ),
    );
    const stream = open(client.session);
    await until(() => stream.closes === 1);
    expect(stream.error?.context["h2Code"]).toBe(H2Code.INTERNAL_ERROR);
    expect(() =>
      client.session.request(
        [
          [":method", "CONNECT"],
          [":authority", "a\nb"],
        ],
        false,
        new StreamLog(),
      ),
    ).toThrow(expect.objectContaining({ code: "H2_PROTOCOL_ERROR" }));
    expect(client.session.activeStreams).toBe(0);
  });

  it("credit still owed after a clean end is returned as the owner consumes, or at once when it gives up", async () => {
    const options = { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 };
    const { client, server } = await both((owner, stream) => {
      owner.consume = false;
      stream.sendHeaders([[":status", "200"]], true);
    }, options);
    for (let round = 0; round < 6; round++) {
      const stream = open(client.session);
      stream.stream?.writeFramed(framed(Buffer.alloc(30_000)));
      stream.stream?.end();
      await until(() => server.streams[round]?.closes === 1);
      const owner = server.streams[round] as StreamLog;
      expect(owner.bytes).toBe(30_000);
      if (round % 2 === 0) owner.stream?.consume(30_000);
      else owner.stream?.reset(H2Code.CANCEL);
    }
  });

  it("works over any duplex, also one that ends under it", async () => {
    const [left, right] = duplexPair();
    const server = record("server", right);
    const client = record("client", left);
    const stream = open(client.session);
    await until(() => stream.headers.length === 1);
    right.destroy();
    await until(() => client.closes === 1 && server.closes === 1);
    expect(stream.error?.code).toBe("H2_SESSION_CLOSED");
  });

  it("notices a transport that was gone before it came", async () => {
    const [left] = duplexPair();
    left.destroy();
    const client = record("client", left);
    await until(() => client.closes === 1);
  });
});

describe("graceful shutdown", () => {
  it("serves the streams that arrive between the two GOAWAYs, refuses later ones", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const server = record("server", pair.server);
    const peer = await RawPeer.client(pair.client);
    peer.frame(T.HEADERS, END_HEADERS, 1, rawFields(CONNECT));
    await until(() => server.streams.length === 1);
    server.session.shutdown();
    const ping = await peer.next(({ type, flags }) => type === T.PING && flags === 0);
    expect(peer.frames.filter(({ type }) => type === T.GOAWAY).map(({ payload }) => payload.readUInt32BE(0))).toEqual([
      2 ** 31 - 1,
    ]);
    peer.frame(T.HEADERS, END_HEADERS, 3, rawFields(CONNECT));
    peer.frame(T.PING, 1, 0, ping.payload);
    await until(() => peer.frames.filter(({ type }) => type === T.GOAWAY).length === 2);
    expect(peer.frames.filter(({ type }) => type === T.GOAWAY)[1]?.payload.readUInt32BE(0)).toBe(3);
    expect(server.streams).toHaveLength(2);
    peer.frame(T.HEADERS, END_HEADERS, 5, rawFields(CONNECT));
    expect(await peer.reset(5)).toBe(H2Code.REFUSED_STREAM);
    for (const id of [1, 3]) peer.frame(T.DATA, 1, id, Buffer.from("done"));
    for (const { stream } of server.streams) stream?.end();
    await until(() => server.closes === 1);
    expect([server.error, server.streams.map(({ text }) => text)]).toEqual([undefined, ["done", "done"]]);
    await until(() => peer.ended);
  });

  it("does not wait for ever for a client that does not answer", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    const server = record("server", pair.server);
    const peer = await RawPeer.client(pair.client);
    server.session.shutdown();
    await until(() => server.closes === 1 && peer.ended);
    expect(peer.frames.filter(({ type }) => type === T.GOAWAY)).toHaveLength(2);
  });

  it("a client that shuts down lets its streams end", async () => {
    const { client, server } = await both();
    const stream = open(client.session);
    await until(() => stream.headers.length === 1);
    client.session.shutdown();
    expect(client.session.acceptsStreams).toBe(false);
    stream.stream?.writeFramed(framed("last"));
    stream.stream?.end();
    await until(() => server.streams[0]?.ends === 1);
    server.streams[0]?.stream?.end();
    await until(() => client.closes === 1 && server.closes === 1);
    expect([client.error, server.error, stream.error]).toEqual([undefined, undefined, undefined]);
  });

  it("case 25: a client that reconnects after every GOAWAY gets each of its streams served or refused as safe", async () => {
    let served = 0;
    for (let round = 0; round < 20; round++) {
      const { client, server } = await both();
      const streams = Array.from({ length: 5 }, () => open(client.session));
      server.session.shutdown();
      await until(() => streams.every(({ headers, closes }) => headers.length + closes > 0));
      for (const { error } of streams) expect([undefined, "safe"]).toContain(error?.retry);
      served += streams.filter(({ headers }) => headers.length === 1).length;
      client.session.destroy();
    }
    expect(served).toBeGreaterThan(0);
  });
});

/** Two ends in memory, asynchronous like a socket. */
function duplexPair(): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const make = (other: number): Duplex =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        setImmediate(() => {
          ends[other]?.push(chunk);
          done();
        });
      },
      final(done) {
        ends[other]?.push(null);
        done();
      },
      destroy(error, done) {
        setImmediate(() => ends[other]?.push(null));
        done(error);
      },
    });
  ends.push(make(1), make(0));
  return ends as [Duplex, Duplex];
}
