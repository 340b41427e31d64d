/** The waypoint's end of a tunnel: who may open one, to what, and what its bytes do. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { H2Code } from "@ambit/shared/http2";
import { ipOf, type SocketAddress } from "@ambit/shared/net";
import { systemClock } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ManualClock } from "../src/balance/test-cluster.ts";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import type { ConnectTerminator, TerminationRefusal, TunnelContext, TunnelOffer } from "../src/terminate/index.ts";
import {
  Cleanup,
  type ClientTunnel,
  dialPeer,
  identityUri,
  type Peer,
  readAll,
  startTerminator,
  TestAuthority,
  terminatorDefaults,
  WAYPOINT,
} from "./transport-fixtures.ts";

let authority: TestAuthority;
let web: IdentityMaterial;
let own: IdentityMaterial;
const cleanup = new Cleanup();

beforeAll(async () => {
  authority = await TestAuthority.create();
  [web, own] = await Promise.all([authority.issue(identityUri("web")), authority.issue(WAYPOINT)]);
});
afterEach(() => cleanup.run());

interface Setup {
  readonly address: SocketAddress;
  readonly peer: Peer;
  readonly terminator: ConnectTerminator;
  readonly offers: { readonly tunnel: TunnelContext; readonly offer: TunnelOffer }[];
  readonly refusals: TerminationRefusal[];
}

async function setUp(extra: Partial<Parameters<typeof startTerminator>[0]> = {}): Promise<Setup> {
  const offers: Setup["offers"] = [];
  const refusals: TerminationRefusal[] = [];
  const { terminator, address } = await startTerminator(
    {
      material: async () => own,
      onTunnel: (tunnel, offer) => void offers.push({ tunnel, offer }),
      onRefused: (refusal) => void refusals.push(refusal),
      ...extra,
    },
    cleanup,
  );
  return { address, peer: await dialPeer(address, web, cleanup), terminator, offers, refusals };
}

const DESTINATION = "10.96.20.5:9080";

async function accepted(setup: Setup): Promise<{ tunnel: ClientTunnel; client: TunnelDuplex; server: Duplex }> {
  const tunnel = setup.peer.open(DESTINATION);
  const { offer } = await eventually("an offer", () => setup.offers.shift());
  const server = offer.accept();
  cleanup.add(() => server.destroy());
  expect(await tunnel.answer).toBe(200);
  const client = new TunnelDuplex(tunnel.stream);
  cleanup.add(() => client.destroy());
  return { tunnel, client, server };
}

describe("ConnectTerminator", () => {
  it("offers a CONNECT with what is known of its sender", async () => {
    const setup = await setUp();
    setup.peer.open("[::ffff:10.96.20.5]:9080");
    const { tunnel } = await eventually("an offer", () => setup.offers[0]);
    expect(tunnel).toMatchObject({
      peerPrincipal: identityUri("web"),
      peer: { uri: identityUri("web") },
      client: { ip: "127.0.0.1" },
      local: { ip: "127.0.0.1" },
      destination: { kind: "address", ip: "10.96.20.5", port: 9080 },
      authorityText: "[::ffff:10.96.20.5]:9080",
      forwarded: { client: "10.0.0.9:4242", host: "cart.shop.svc.cluster.local" },
      trace: { traceId: expect.any(String) },
    });
    expect(tunnel.client.port).toBeGreaterThan(0);
  });

  it("takes the client's address from the connection", async () => {
    const setup = await setUp();
    const address = { ip: ipOf("127.0.0.1"), port: 0 };
    const { address: bound } = await startTerminator(
      { material: async () => own, onTunnel: (tunnel, offer) => void setup.offers.push({ tunnel, offer }) },
      cleanup,
      address.ip,
    );
    (await dialPeer(bound, web, cleanup, "127.0.0.77")).open("Cart.Shop:80");
    const { tunnel } = await eventually("an offer", () => setup.offers[0]);
    expect(tunnel.client.ip).toBe("127.0.0.77");
    expect(tunnel.destination).toEqual({ kind: "hostname", hostname: "cart.shop", port: 80 });
  });

  it("carries bytes and half-closes both ways", async () => {
    const { client, server } = await accepted(await setUp());
    client.end("question");
    expect(await readAll(server)).toBe("question");
    server.end("answer");
    expect(await readAll(client)).toBe("answer");
    await eventually("both ends close", () => client.destroyed && server.destroyed);
  });

  it("reads nothing of a tunnel before it is accepted, and sends no answer", async () => {
    const setup = await setUp();
    const tunnel = setup.peer.open(DESTINATION);
    tunnel.stream.write(Buffer.from("early"));
    const { offer } = await eventually("an offer", () => setup.offers[0]);
    await delay(50);
    expect(tunnel.answered).toBe(false);
    const server = offer.accept();
    tunnel.stream.end();
    expect(await readAll(server)).toBe("early");
  });

  it.each([[403], [404], [503]])("answers a refused offer with %i and ends the stream", async (status) => {
    const setup = await setUp();
    const tunnel = setup.peer.open(DESTINATION);
    const { offer } = await eventually("an offer", () => setup.offers[0]);
    offer.refuse(status);
    offer.refuse(200);
    expect(await tunnel.answer).toBe(status);
    await eventually("the stream is over", () => setup.peer.session.activeStreams === 0);
    await eventually("for the waypoint too", () => setup.terminator.tunnels === 0);
  });

  it("refuses an offer with 503 when its handler throws, and goes on", async () => {
    let calls = 0;
    const setup = await setUp({
      onTunnel: (_tunnel, offer) => {
        calls += 1;
        if (calls === 1) throw new Error("a bug");
        offer.accept();
      },
    });
    expect(await setup.peer.open(DESTINATION).answer).toBe(503);
    expect(await setup.peer.open(DESTINATION).answer).toBe(200);
  });

  it.each([
    [
      "no CONNECT",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", DESTINATION],
        [":path", "/"],
      ],
      "HBONE_METHOD_NOT_CONNECT",
    ],
    [
      "no port",
      [
        [":method", "CONNECT"],
        [":authority", "10.96.20.5"],
      ],
      "HBONE_AUTHORITY_INVALID",
    ],
    [
      "user information",
      [
        [":method", "CONNECT"],
        [":authority", "a@10.96.20.5:80"],
      ],
      "HBONE_AUTHORITY_INVALID",
    ],
    [
      "a scoped address",
      [
        [":method", "CONNECT"],
        [":authority", "[fe80::1%eth0]:80"],
      ],
      "HBONE_AUTHORITY_INVALID",
    ],
  ] as const)("answers 400 to %s", async (_label, headers, code) => {
    const setup = await setUp();
    expect(await setup.peer.request(headers).answer).toBe(400);
    expect(setup.offers).toHaveLength(0);
    expect(setup.refusals).toMatchObject([{ error: { code }, peerPrincipal: identityUri("web") }]);
  });

  it.each([
    "10.0.0.1:15008",
    "10.0.0.1:15001",
    "10.0.0.1:15006",
    "127.0.0.1:80",
    "[::1]:80",
    "169.254.169.254:80",
    "[::ffff:169.254.169.254]:80",
    "[fe80::1]:80",
    "0.0.0.0:80",
    "[::]:80",
    "224.0.0.1:80",
    "localhost:15000",
  ])("case 7: refuses a loop or a local address, %s", async (destination) => {
    const setup = await setUp();
    expect(await setup.peer.open(destination).answer).toBe(400);
    expect(setup.refusals).toMatchObject([{ error: { code: "LOOP_REFUSED" }, authorityText: destination }]);
  });

  it("bounds the tunnels of everybody together", async () => {
    const setup = await setUp({ maxTunnels: 1 });
    const { client, server } = await accepted(setup);
    expect(await setup.peer.open(DESTINATION).answer).toBe(503);
    client.end();
    server.resume().end();
    client.resume();
    await eventually("the tunnel is over", () => setup.terminator.tunnels === 0);
    await accepted(setup);
  });

  it("closes TCP connections beyond the bound", async () => {
    const refusals: TerminationRefusal[] = [];
    const { address } = await startTerminator(
      {
        material: async () => own,
        onTunnel: () => {},
        maxSessions: 1,
        onRefused: (refusal) => void refusals.push(refusal),
      },
      cleanup,
    );
    await dialPeer(address, web, cleanup);
    const second = connect({ host: address.ip, port: address.port }).on("error", () => {});
    await once(second, "close");
    expect(refusals).toMatchObject([{ error: { code: "CONNECTION_LIMIT_REACHED" }, remote: { ip: "127.0.0.1" } }]);
  });

  it("drains: GOAWAY, no new tunnels, open ones run to their end", async () => {
    const setup = await setUp();
    const { client, server } = await accepted(setup);
    setup.terminator.drain();
    await eventually("GOAWAY", () => !setup.peer.session.acceptsStreams);
    client.end("late");
    expect(await readAll(server)).toBe("late");
    server.end("done");
    expect(await readAll(client)).toBe("done");
    await eventually("the session ends", () => setup.peer.session.activeStreams === 0);
  });

  it("tells a session without a tunnel to go, and never one that has some", async () => {
    const time = new ManualClock();
    const clock = { ...systemClock, monotonic: () => time.monotonic(), after: time.after.bind(time) };
    const setup = await setUp({ clock, sessionIdleMs: 60_000 });
    const { client, server } = await accepted(setup);
    const idle = await dialPeer(setup.address, web, cleanup);
    await eventually("the idle one is told", () => {
      time.advance(10_000);
      return !idle.session.acceptsStreams;
    });
    await idle.closed;
    expect(setup.peer.session).toMatchObject({ acceptsStreams: true, activeStreams: 1 });
    client.end("still here");
    expect(await readAll(server)).toBe("still here");
  });

  it.each([
    ["case 2: takes no peer of another authority", "TLS_HANDSHAKE_FAILED"],
    ["case 3: takes no peer of another trust domain", "TLS_PEER_TRUST_DOMAIN_MISMATCH"],
  ])("%s", async (_label, code) => {
    const refusals: TerminationRefusal[] = [];
    const { address } = await startTerminator(
      { material: async () => own, onTunnel: () => {}, onRefused: (refusal) => void refusals.push(refusal) },
      cleanup,
    );
    const stranger =
      code === "TLS_HANDSHAKE_FAILED"
        ? { ...(await (await TestAuthority.create()).issue(identityUri("web"))), rootsPem: own.rootsPem }
        : await authority.issue(identityUri("web", "other.domain"));
    await dialPeer(address, stranger, cleanup).catch(() => undefined);
    await eventually("it is refused", () => refusals.length === 1);
    expect(refusals).toMatchObject([{ error: { code } }]);
  });

  it("case 8: refuses what only this machine can reach", async () => {
    const setup = await setUp();
    for (const destination of ["localhost:15000", "169.254.169.254:80", "[::1]:15000"])
      expect(await setup.peer.open(destination).answer).toBe(400);
    expect(setup.refusals.map(({ error }) => error.code)).toEqual(["LOOP_REFUSED", "LOOP_REFUSED", "LOOP_REFUSED"]);
  });
});

interface Pieces {
  readonly pieces: readonly number[];
  readonly pauseMs: number;
}

const pieceOf = (size: number, index: number): string => String.fromCharCode(97 + (index % 26)).repeat(size);
const textOf = ({ pieces }: Pieces): string => pieces.map(pieceOf).join("");
const digest = (text: string): string => `${text.length} ${createHash("sha256").update(text).digest("hex")}`;

async function send(stream: Duplex, { pieces, pauseMs }: Pieces): Promise<void> {
  for (const [index, size] of pieces.entries()) {
    if (size > 0 && !stream.write(pieceOf(size, index))) await once(stream, "drain");
    if (pauseMs > 0) await delay(pauseMs);
  }
  stream.end();
}

describe("TunnelDuplex", () => {
  it("returns credit only for what was read", async () => {
    const { client, server } = await accepted(await setUp());
    let sent = 0;
    const chunk = Buffer.alloc(64 * 1024, "x");
    const fill = (): void => {
      while (sent < 16 * 1024 * 1024) {
        sent += chunk.length;
        if (!client.write(chunk)) return;
      }
    };
    client.on("drain", fill);
    fill();
    await eventually("the window is full", () => server.readableLength >= 256 * 1024);
    await delay(200);
    expect(server.readableLength).toBe(256 * 1024);
    let received = 0;
    server.on("data", (data: Buffer) => {
      received += data.length;
    });
    await eventually("all of it", () => received === 16 * 1024 * 1024);
  });

  it("is destroyed with an error by a reset, whatever was not read", async () => {
    const { tunnel, client, server } = await accepted(await setUp());
    client.write("half a mess");
    await eventually("it arrived", () => server.readableLength > 0);
    const failure = once(server, "error");
    tunnel.stream.stream.reset(H2Code.CANCEL);
    expect(await failure).toMatchObject([{ code: "H2_STREAM_RESET" }]);
    expect(server.destroyed).toBe(true);
  });

  it("takes a reset after the end of input for disinterest: what was read stays, what is written is dropped", async () => {
    const { tunnel, client, server } = await accepted(await setUp());
    client.end("all of it");
    await eventually("it arrived", () => server.readableLength > 0 && (server as TunnelDuplex).inputEnded);
    tunnel.stream.stream.reset(H2Code.NO_ERROR);
    await delay(50);
    server.write("nobody reads this");
    expect(await readAll(server)).toBe("all of it");
    await eventually("it closes", () => server.destroyed);
  });

  it.each([
    ["CONNECT_ERROR with an error", new Error("the upstream failed"), H2Code.CONNECT_ERROR],
    ["CANCEL without", undefined, H2Code.CANCEL],
  ])("resets the stream when destroyed: %s", async (_label, error, h2Code) => {
    const { client, server } = await accepted(await setUp());
    server.on("error", () => {});
    server.destroy(error);
    const [failure] = await once(client, "error");
    expect(failure).toMatchObject({ code: "H2_STREAM_RESET", context: { h2Code } });
  });

  it("gives back the session's window for bytes that nobody read", async () => {
    const setup = await setUp({ http2: { ...terminatorDefaults.http2, connectionWindowBytes: 1024 * 1024 } });
    // Together more than the window of the session, which the peer shares between all its tunnels.
    for (let round = 0; round < 10; round++) {
      const { client, server } = await accepted(setup);
      client.write(Buffer.alloc(250 * 1024));
      await eventually("it arrived", () => server.readableLength === 250 * 1024);
      if (round % 2 === 0) {
        client.end();
        server.end();
        await eventually("the end arrived", () => (server as TunnelDuplex).inputEnded);
      }
      server.destroy();
      client.destroy();
    }
  });

  it("carries any bytes in any pieces, whoever ends first", async () => {
    const setup = await setUp();
    const piece = fc.oneof(fc.nat(200), fc.constantFrom(16_384, 65_536, 300_000));
    const direction = fc.record({ pieces: fc.array(piece, { maxLength: 12 }), pauseMs: fc.constantFrom(0, 0, 5) });
    await fc.assert(
      fc.asyncProperty(direction, direction, async (up, down) => {
        const { client, server } = await accepted(setup);
        const [received, answered] = await Promise.all([
          readAll(server),
          readAll(client),
          send(client, up),
          send(server, down),
        ]);
        expect([digest(received), digest(answered)]).toEqual([digest(textOf(up)), digest(textOf(down))]);
        await eventually("both close", () => client.destroyed && server.destroyed);
      }),
      { numRuns: 15 },
    );
  });

  it("finishes writes that wait when the other end goes away", async () => {
    const { tunnel, server } = await accepted(await setUp());
    server.on("error", () => {});
    const settled = new Promise<Error | null | undefined>((resolve) => {
      const block = Buffer.alloc(8 * 1024 * 1024);
      server.write(block, resolve);
    });
    await delay(50);
    tunnel.stream.cancel();
    expect(await settled).toMatchObject({ code: "H2_STREAM_RESET" });
  });
});
