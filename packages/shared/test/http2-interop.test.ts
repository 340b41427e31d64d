/** Our engine against node:http2 (nghttp2) in both roles, over TLS on loopback. */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  type Http2Stream,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import type { H2Options, H2Stream } from "../src/http2/index.ts";
import { type KeyPair, selfSigned, tlsPair } from "./http2-loopback.ts";
import { framed, open, record, type SessionLog, StreamLog, until } from "./http2-recorder.ts";

const MIB = 1024 * 1024;
let keys: KeyPair;
const cleanups: (() => void)[] = [];
beforeAll(async () => {
  keys = await selfSigned();
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** node:http2 as client of our server. */
async function nodeClient(
  serve?: (log: StreamLog, stream: H2Stream) => void,
  options: Partial<H2Options> = {},
): Promise<{ client: ClientHttp2Session; log: SessionLog }> {
  const pair = await tlsPair(keys);
  const log = record("server", pair.server, options, serve);
  const client = connect("https://localhost", { createConnection: () => pair.client });
  client.on("error", () => {});
  cleanups.push(() => client.destroy(), pair.close);
  await once(client, "remoteSettings");
  return { client, log };
}

/** Our client of a node:http2 server. */
async function nodeServer(
  onStream: (stream: ServerHttp2Stream) => void,
  options: Partial<H2Options> = {},
): Promise<SessionLog> {
  const server = createSecureServer({ ...keys, settings: { maxConcurrentStreams: 200 } });
  server.on("session", (session) => {
    session.on("error", () => {});
    cleanups.push(() => session.destroy());
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    onStream(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const socket = connectTls({ host: "127.0.0.1", port, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  await once(socket, "secureConnect");
  cleanups.push(
    () => server.close(),
    () => socket.destroy(),
  );
  return record("client", socket, options);
}

const connectHeaders = { ":method": "CONNECT", ":authority": "10.0.0.1:80" };

function requestFrom(
  client: ClientHttp2Session,
  headers: Record<string, string> = {},
): Http2Stream & NodeJS.ReadWriteStream {
  const stream = client.request({ ...connectHeaders, ...headers });
  stream.on("error", () => {});
  return stream as never;
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += chunk;
  return text;
}

const sha = (): ReturnType<typeof createHash> => createHash("sha256");

/** Writes `total` pseudo-random bytes with backpressure; gives their digest. */
class BulkSource {
  readonly digest = sha();
  readonly #block = randomBytes(MIB);
  #left: number;
  #turn = 0;
  constructor(total: number) {
    this.#left = total;
  }
  /** Sizes vary, so that frames never fall in step with records. */
  next(): Buffer | undefined {
    const size = Math.min(this.#left, 1 + ((this.#turn++ * 7919) % 200_000));
    if (size === 0) return undefined;
    this.#left -= size;
    const piece = this.#block.subarray(0, size);
    this.digest.update(piece);
    return piece;
  }
}

function pumpOurs(stream: H2Stream, source: BulkSource): void {
  for (let piece = source.next(); ; piece = source.next()) {
    if (piece === undefined) {
      stream.end();
      return;
    }
    if (!stream.writeFramed(framed(piece))) return;
  }
}

async function pumpNode(stream: NodeJS.WritableStream, source: BulkSource): Promise<void> {
  for (let piece = source.next(); piece !== undefined; piece = source.next()) {
    if (!stream.write(piece)) await once(stream, "drain");
  }
  stream.end();
}

class BulkLog extends StreamLog {
  readonly digest = sha();
  readonly source: BulkSource;
  override keep = false;
  constructor(total: number) {
    super();
    this.source = new BulkSource(total);
  }
  override onData(chunk: Buffer): void {
    this.digest.update(chunk);
    super.onData(chunk);
  }
  override onDrain(): void {
    super.onDrain();
    pumpOurs(this.stream as H2Stream, this.source);
  }
}

describe("our server and a node:http2 client", () => {
  it("answers a CONNECT and echoes both ways", async () => {
    const { client, log } = await nodeClient((owner, stream) => {
      stream.sendHeaders(
        [
          [":status", "200"],
          ["baggage", "k=v"],
        ],
        false,
      );
      owner.onData = (chunk) => {
        stream.consume(chunk.length);
        stream.writeFramed(framed(chunk));
      };
      owner.onEnd = () => stream.end();
    });
    const stream = requestFrom(client, { baggage: "service.name=a" });
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect([headers[":status"], headers["baggage"]]).toEqual([200, "k=v"]);
    stream.end("hello tunnel");
    expect(await textOf(stream)).toBe("hello tunnel");
    await until(() => log.streams[0]?.closes === 1);
    expect(log.streams[0]?.error).toBeUndefined();
    expect(log.streams[0]?.request).toContainEqual(["baggage", "service.name=a"]);
  });

  it("understands every byte that nghttp2 Huffman-codes, and its dynamic table", async () => {
    const { client, log } = await nodeClient((_, stream) => stream.sendHeaders([[":status", "200"]], true));
    const odd = Array.from({ length: 0xff - 0x20 }, (_, index) => String.fromCharCode(0x20 + index))
      .filter((char) => char !== "\x7f")
      .join("");
    for (let round = 0; round < 5; round++) {
      const stream = requestFrom(client, { "x-odd": `(${odd})`, "x-round": `round-${round}`, [`x-${round}`]: "y" });
      stream.end();
      await once(stream, "response");
    }
    expect(log.streams).toHaveLength(5);
    for (const [round, { request }] of log.streams.entries()) {
      expect(request).toContainEqual(["x-odd", `(${odd})`]);
      expect(request).toContainEqual(["x-round", `round-${round}`]);
    }
  });

  it("half-closes in both orders", async () => {
    const { client, log } = await nodeClient();
    const first = requestFrom(client);
    await once(first, "response");
    first.end("client first");
    const server = log.streams[0] as StreamLog;
    await until(() => server.ends === 1);
    expect([server.text, server.closes]).toEqual(["client first", 0]);
    server.stream?.writeFramed(framed("server last"));
    server.stream?.end();
    expect(await textOf(first)).toBe("server last");
    await until(() => server.closes === 1);

    const second = requestFrom(client);
    await once(second, "response");
    const other = log.streams[1] as StreamLog;
    other.stream?.writeFramed(framed("server first"));
    other.stream?.end();
    expect(await textOf(second)).toBe("server first");
    expect([other.ends, other.closes]).toEqual([0, 0]);
    second.end("client last");
    await until(() => other.closes === 1);
    expect([other.text, other.error]).toEqual(["client last", undefined]);
  });

  it("carries 64 MiB in both directions at once, intact", async () => {
    const total = 64 * MIB;
    const { client, log } = await nodeClient();
    const bulk = new BulkLog(total);
    const stream = requestFrom(client);
    await once(stream, "response");
    const owner = log.streams[0] as StreamLog;
    bulk.stream = owner.stream;
    owner.onData = (chunk) => bulk.onData(chunk);
    owner.onDrain = () => bulk.onDrain();
    const received = sha();
    stream.on("data", (chunk: Buffer) => received.update(chunk));
    const source = new BulkSource(total);
    pumpOurs(owner.stream as H2Stream, bulk.source);
    await Promise.all([pumpNode(stream, source), once(stream, "end")]);
    await until(() => owner.closes === 1, 50_000);
    expect(bulk.bytes).toBe(total);
    expect(bulk.digest.digest("hex")).toBe(source.digest.digest("hex"));
    expect(received.digest("hex")).toBe(bulk.source.digest.digest("hex"));
  });

  it("serves 150 streams at the same time", async () => {
    const { client, log } = await nodeClient((owner, stream) => {
      stream.sendHeaders([[":status", "200"]], false);
      owner.onEnd = () => {
        stream.writeFramed(framed(owner.text.toUpperCase()));
        stream.end();
      };
    });
    const streams = Array.from({ length: 150 }, () => requestFrom(client));
    await Promise.all(streams.map((stream) => once(stream, "response")));
    expect(log.session.activeStreams).toBe(150);
    for (const [index, stream] of streams.entries()) stream.end(`stream ${index}`);
    const texts = await Promise.all(streams.map(textOf));
    expect(texts).toEqual(streams.map((_, index) => `STREAM ${index}`));
    await until(() => log.session.activeStreams === 0);
  });

  it("sends and receives trailers", async () => {
    const { client, log } = await nodeClient();
    const stream = client.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true } as never);
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-last": "from client" }));
    stream.end("body");
    const trailers = once(stream, "trailers") as Promise<[Record<string, string>]>;
    stream.resume();
    const owner = await until(() => log.streams.length === 1).then(() => log.streams[0] as StreamLog);
    await until(() => owner.ends === 1);
    expect(owner.headers).toEqual([[["x-last", "from client"]]]);
    owner.stream?.writeFramed(framed("answer"));
    owner.stream?.sendHeaders([["x-last", "from server"]], true);
    expect((await trailers)[0]["x-last"]).toBe("from server");
    await until(() => owner.closes === 1);
  });

  it("case 26: a node client that opens too many streams sees them refused and the rest served", async () => {
    const { client, log } = await nodeClient(undefined, { maxConcurrentStreams: 3 });
    const streams = Array.from({ length: 3 }, () => requestFrom(client));
    await Promise.all(streams.map((stream) => once(stream, "response")));
    expect(log.session.activeStreams).toBe(3);
    expect(client.remoteSettings.maxConcurrentStreams).toBe(3);
  });

  it("shuts down gracefully: running streams end, then the session", async () => {
    const { client, log } = await nodeClient();
    const stream = requestFrom(client);
    await once(stream, "response");
    const goaways: number[] = [];
    client.on("goaway", (code: number, lastStreamId: number) => void (code === 0 && goaways.push(lastStreamId)));
    log.session.shutdown();
    expect(log.session.acceptsStreams).toBe(false);
    await until(() => goaways.length === 2);
    expect(goaways).toEqual([2 ** 31 - 1, 1]);
    expect(log.closes).toBe(0);
    const owner = log.streams[0] as StreamLog;
    stream.end("still here");
    owner.stream?.end();
    stream.resume();
    await until(() => log.closes === 1);
    expect([owner.text, owner.error, log.error]).toEqual(["still here", undefined, undefined]);
  });
});

describe("our client and a node:http2 server", () => {
  it("opens a CONNECT, exchanges data and ends cleanly", async () => {
    const log = await nodeServer((stream) => {
      stream.respond({ ":status": 200, baggage: "k=v" });
      stream.pipe(stream);
    });
    const stream = open(log.session);
    stream.stream?.writeFramed(framed("ping"));
    await until(() => stream.text === "ping");
    stream.stream?.end();
    await until(() => stream.closes === 1);
    expect([stream.ends, stream.error]).toEqual([1, undefined]);
    expect(stream.headers[0]).toEqual(
      expect.arrayContaining([
        [":status", "200"],
        ["baggage", "k=v"],
      ]),
    );
  });

  it("carries 64 MiB in both directions at once, intact", async () => {
    const total = 64 * MIB;
    const source = new BulkSource(total);
    const received = sha();
    const log = await nodeServer((stream) => {
      stream.respond({ ":status": 200 });
      stream.on("data", (chunk: Buffer) => received.update(chunk));
      void pumpNode(stream, source);
    });
    const bulk = new BulkLog(total);
    const stream = open(log.session, bulk);
    pumpOurs(stream.stream as H2Stream, bulk.source);
    await until(() => bulk.closes === 1, 50_000);
    expect([bulk.bytes, bulk.error]).toEqual([total, undefined]);
    expect(bulk.digest.digest("hex")).toBe(source.digest.digest("hex"));
    expect(received.digest("hex")).toBe(bulk.source.digest.digest("hex"));
  });

  it("runs 120 streams at once with data both ways", async () => {
    const log = await nodeServer((stream) => {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    });
    const streams = Array.from({ length: 120 }, () => open(log.session));
    for (const [index, { stream }] of streams.entries()) {
      stream?.writeFramed(framed(`number ${index} `.repeat(5000)));
      stream?.end();
    }
    await until(() => streams.every(({ closes }) => closes === 1), 50_000);
    for (const [index, stream] of streams.entries()) {
      expect(stream.error).toBeUndefined();
      expect(stream.text === `number ${index} `.repeat(5000)).toBe(true);
    }
  });

  it("hears GOAWAY and closes when the last stream has ended", async () => {
    let serverStream: ServerHttp2Stream | undefined;
    const log = await nodeServer((stream) => {
      serverStream = stream;
      stream.respond({ ":status": 200 });
    });
    const stream = open(log.session);
    await until(() => stream.headers.length === 1);
    serverStream?.session?.goaway(0, 1);
    await until(() => log.goaways.length === 1);
    expect(log.session.acceptsStreams).toBe(false);
    expect(stream.closes).toBe(0);
    serverStream?.end("bye");
    stream.stream?.end();
    await until(() => log.closes === 1);
    expect([stream.text, stream.error, log.error]).toEqual(["bye", undefined, undefined]);
  });

  it("receives trailers", async () => {
    const log = await nodeServer((stream) => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-last": "1" }));
      stream.end("body");
    });
    const stream = open(log.session);
    stream.stream?.end();
    await until(() => stream.closes === 1);
    expect([stream.text, stream.headers[1], stream.ends]).toEqual(["body", [["x-last", "1"]], 1]);
  });

  it("sees an early refusal while it is still sending", async () => {
    const log = await nodeServer((stream) => {
      stream.respond({ ":status": 503 }, { endStream: true });
      // In the same turn, nghttp2 would send the reset alone.
      setTimeout(() => stream.close(0), 20);
    });
    const stream = open(log.session);
    stream.stream?.writeFramed(framed(Buffer.alloc(500_000)));
    await until(() => stream.closes === 1);
    expect(stream.headers[0]).toEqual(expect.arrayContaining([[":status", "503"]]));
    expect(stream.ends).toBe(1);
    expect([undefined, 0]).toContain(stream.error?.context["h2Code"]);
  });
});
