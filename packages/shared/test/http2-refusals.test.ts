/** Requests that the engine resets before anybody has seen them: whoever serves the session is told why. */
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import type { MeshError } from "../src/errors/index.ts";
import { createH2Session, defaultH2Options, H2Code, type H2Options, isBreach } from "../src/http2/index.ts";
import { type KeyPair, selfSigned, tlsPair } from "./http2-loopback.ts";
import { CONNECT, RawPeer, T } from "./http2-raw-peer.ts";
import { StreamLog, until } from "./http2-recorder.ts";

let keys: KeyPair;
const cleanups: (() => void)[] = [];
beforeAll(async () => {
  keys = await selfSigned();
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function serve(options: Partial<H2Options>) {
  const pair = await tlsPair(keys);
  cleanups.push(pair.close);
  const told = { refused: [] as MeshError[], closed: [] as (MeshError | undefined)[] };
  const session = createH2Session(
    "server",
    pair.server,
    { ...defaultH2Options, ...options },
    {
      onRequest: () => new StreamLog(),
      onRefused: (error) => void told.refused.push(error),
      onClose: (error) => void told.closed.push(error),
    },
  );
  return { peer: await RawPeer.client(pair.client), session, told };
}

describe("a request that the engine refuses", () => {
  it("is told with what was wrong, and costs only its stream", async () => {
    const { peer, told } = await serve({ maxConcurrentStreams: 1, maxHeaderListBytes: 2_000 });
    peer.connect(1, 0, [...CONNECT, ["X-Upper", "case"]]);
    peer.connect(3, 0, [...CONNECT, ["x-long", "v".repeat(3_000)]]);
    peer.connect(5, 0, CONNECT);
    peer.connect(7, 0, CONNECT);
    expect(await peer.alive()).toBe(true);
    expect(told.refused.map(({ code, origin, context }) => [code, origin, context["h2Code"]])).toEqual([
      ["H2_PROTOCOL_ERROR", "downstream", H2Code.PROTOCOL_ERROR],
      ["H2_ENHANCE_YOUR_CALM", "downstream", H2Code.ENHANCE_YOUR_CALM],
      ["H2_STREAM_REFUSED", "downstream", H2Code.REFUSED_STREAM],
    ]);
    expect(told.refused.map(({ message }) => message)).toEqual([
      expect.stringContaining("X-Upper"),
      expect.stringContaining("more than 2000 bytes"),
      expect.stringContaining("more than 1 at once"),
    ]);
  });

  it("is not told when GOAWAY leaves it to another session", async () => {
    const { peer, session, told } = await serve({ maxConcurrentStreams: 2 });
    peer.connect(1, 0, CONNECT);
    expect(await peer.alive()).toBe(true);
    session.shutdown();
    await until(() => peer.frames.filter(({ type }) => type === T.GOAWAY).length === 2);
    peer.connect(3, 0, CONNECT);
    await peer.next(({ type, streamId }) => type === T.RST && streamId === 3);
    expect(told.refused).toEqual([]);
  });

  it("is told before the flood that it is part of ends the session, which is told as well", async () => {
    const flood = { ...defaultH2Options.flood, resets: 5 };
    const { peer, told } = await serve({ flood });
    for (let id = 1; id <= 21; id += 2) peer.connect(id, 0, [...CONNECT, ["te", "gzip"]]);
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
    await until(() => told.closed.length === 1);
    expect(told.refused).toHaveLength(6);
    expect(told.closed.map((error) => error && [error.code, isBreach(error)])).toEqual([
      ["H2_ENHANCE_YOUR_CALM", true],
    ]);
  });

  it("whose owner throws when told harms nobody", async () => {
    const pair = await tlsPair(keys);
    cleanups.push(pair.close);
    createH2Session("server", pair.server, defaultH2Options, {
      onRequest: () => new StreamLog(),
      onRefused: () => {
        throw new Error("a bug of the owner's");
      },
      onClose: () => {},
    });
    const peer = await RawPeer.client(pair.client);
    peer.connect(1, 0, [...CONNECT, ["te", "gzip"]]);
    expect(await peer.alive()).toBe(true);
  });
});
