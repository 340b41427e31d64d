/** Peers and applications that do what they should not. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { H2Code, type H2Session, type H2Stream, type HeaderList } from "@ambit/shared/http2";
import { type IpAddress, Port } from "@ambit/shared/net";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { HbonePeer, hboneServer, materialOf, type PeerStream } from "./fixtures/hbone-peer.ts";
import { onlyRecord, Shop } from "./fixtures/shop.ts";
import { dialFrom, readAll, readExactly } from "./fixtures/socks-client.ts";
import { buildWorkload, freeAddress, identityUri, testConfig, testService } from "./fixtures/test-mesh.ts";

let shop: Shop;
let closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers) close();
  closers = [];
  shop.close();
});

async function peerOfCart(name = "web", from: IpAddress = shop.web): Promise<HbonePeer> {
  const material = await materialOf(shop.mesh, name);
  const peer = await HbonePeer.dial({ from, to: shop.cart, material, expected: identityUri("cart") });
  closers.push(() => peer.session.destroy());
  return peer;
}

const statusOf = (stream: PeerStream): Promise<number> =>
  eventually("an answer", () => stream.status > 0 && stream.status);

describe("a CONNECT that is refused", () => {
  it.each<[string, (port: number) => [string, HeaderList?, string?], number, string]>([
    ["case 6: an address of another pod", () => ["127.0.0.99:80"], 400, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 6: the source's own address", () => [`${shop.web}:80`], 400, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 7: the outbound listener", () => [`${shop.cart}:${Port.OUTBOUND}`], 503, "LOOP_REFUSED"],
    ["case 7: the HBONE listener", () => [`${shop.cart}:${Port.HBONE}`], 503, "LOOP_REFUSED"],
    ["case 7: the SOCKS listener", () => [`${shop.cart}:${Port.SOCKS5}`], 503, "LOOP_REFUSED"],
    ["case 8: localhost", () => ["127.0.0.1:80"], 400, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 8: localhost by name", () => ["localhost:80"], 503, "HBONE_AUTHORITY_UNRESOLVABLE"],
    ["case 8: IPv6 loopback", () => ["[::1]:80"], 400, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 8: the metadata service", () => ["169.254.169.254:80"], 400, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 49: a mapped loopback address", () => ["[::ffff:127.0.0.1]:80"], 400, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 49: an address with a zone", () => ["[fe80::1%eth0]:80"], 400, "HBONE_AUTHORITY_INVALID"],
    ["an authority without port", () => [shop.cart], 400, "HBONE_AUTHORITY_INVALID"],
    ["a closed port", () => [`${shop.cart}:9`], 503, "UPSTREAM_CONNECT_FAILED"],
  ])("%s", async (_name, target, status, code) => {
    shop = await Shop.open();
    const app = await shop.serve();
    const [authority, headers] = target(app.port);
    const stream = (await peerOfCart()).connect(authority, headers);
    expect(await statusOf(stream)).toBe(status);
    await eventually("stream over", () => stream.closed !== undefined);
    expect(await onlyRecord(shop.node2)).toMatchObject({ phase: expect.stringMatching(/refused|closed/), code });
    expect(app.sources).toEqual([]);
  });

  it("another method than CONNECT gets 400", async () => {
    shop = await Shop.open();
    const extra: HeaderList = [
      [":scheme", "https"],
      [":path", "/"],
    ];
    const stream = (await peerOfCart()).connect(shop.cart, extra, "GET");
    expect(await statusOf(stream)).toBe(400);
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "HBONE_METHOD_NOT_CONNECT" });
  });

  it("case 49: a mapped form of the pod's own address is that address", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const stream = (await peerOfCart()).connect(`[::ffff:${shop.cart}]:${app.port}`);
    expect(await statusOf(stream)).toBe(200);
  });

  it("a hostname is accepted for the pod's own service, on its target port", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const ports = [{ servicePort: 80, targetPort: app.port }];
    const services = { "shop/cart.shop.svc.cluster.local": ports };
    shop.mesh.push({
      workloads: [buildWorkload("cart", shop.cart, { services })],
      services: [testService("cart", freeAddress(), ports), testService("other", freeAddress(), ports)],
    });
    const peer = await peerOfCart();
    expect(await statusOf(peer.connect("cart.shop.svc.cluster.local:80"))).toBe(200);
    expect(await statusOf(peer.connect("other.shop.svc.cluster.local:80"))).toBe(503);
  });
});

describe("a hostile peer", () => {
  it("case 24: gets nothing to the application before it is authorised", async () => {
    shop = await Shop.open({ cart: { authorizationPolicies: ["shop/never"] } });
    const app = await shop.serve();
    const peer = await peerOfCart();
    const stream = peer.connect(`${shop.cart}:${app.port}`);
    stream.write("GET /admin HTTP/1.1\r\n\r\n");
    expect(await statusOf(stream)).toBe(401);
    expect(app.sources).toEqual([]);
  });

  it("case 24: early DATA of an authorised stream reaches the application whole and in order", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const stream = (await peerOfCart()).connect(`${shop.cart}:${app.port}`);
    for (let i = 0; i < 100; i++) stream.write(`${i},`);
    stream.stream.end();
    await eventually("echo", () => stream.ended);
    expect(stream.received.toString()).toBe(Array.from({ length: 100 }, (_, i) => `${i},`).join(""));
  });

  it("case 26: streams beyond the limit are refused, those within it go on", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const peer = await peerOfCart();
    const streams = Array.from({ length: 200 }, () => peer.connect(`${shop.cart}:${app.port}`));
    await eventually("all accepted", () => streams.every(({ status }) => status === 200));
    expect(() => peer.connect(`${shop.cart}:${app.port}`)).toThrow();
    streams[0]?.write("alive");
    await eventually("echo", () => streams[0]?.received.toString() === "alive");
  });

  it("holds only so many sessions", async () => {
    shop = await Shop.open({ config: { limits: { connectionsPerPod: 100, hboneSessionsPerPeer: 3 } } });
    for (let i = 0; i < 3; i++) await peerOfCart();
    await expect(peerOfCart()).rejects.toThrow();
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "CONNECTION_LIMIT_REACHED" });
    const other = freeAddress();
    shop.mesh.push({ workloads: [buildWorkload("other", other)] });
    await peerOfCart("other", other);
  });

  it("case 61: that stops at any step of the handshake is cut, and others are served", async () => {
    shop = await Shop.open({ config: { timeouts: { ...testConfig.timeouts, tlsHandshakeMs: 1_000 } } });
    const app = await shop.serve();
    const halfOpen: Socket[] = [];
    for (const first of ["", "\x16", "\x16\x03\x01\x02\x00\x01", "GET / HTTP/1.1\r\n\r\n"]) {
      const socket = connect({ host: shop.cart, port: Port.HBONE });
      socket.on("error", () => {}).on("data", () => {});
      socket.write(Buffer.from(first, "latin1"));
      halfOpen.push(socket);
    }
    const reset = connect({ host: shop.cart, port: Port.HBONE });
    reset.on("error", () => {});
    await once(reset, "connect");
    reset.write(Buffer.from([0x16, 3, 1]));
    reset.resetAndDestroy();
    const { socket } = await dialFrom(shop.web, shop.cart, app.port);
    socket.end("served");
    expect((await readAll(socket)).toString()).toBe("served");
    await eventually("all cut", () => halfOpen.every(({ destroyed, readableEnded }) => destroyed || readableEnded));
    await eventually("recorded", () => shop.node2.finished().filter(({ flag }) => flag === "TLS_FAILURE").length >= 4);
  });

  it.each<[string, (peer: HbonePeer, port: number) => Promise<unknown>]>([
    ["after the handshake", async () => {}],
    ["after CONNECT", async (peer, port) => peer.connect(`${shop.cart}:${port}`)],
    ["after the answer", async (peer, port) => statusOf(peer.connect(`${shop.cart}:${port}`))],
    [
      "in the middle of bytes",
      async (peer, port) => {
        const stream = peer.connect(`${shop.cart}:${port}`);
        await statusOf(stream);
        for (let i = 0; i < 64; i++) stream.write("x".repeat(16_000));
      },
    ],
  ])("case 61: that resets %s leaves no connection behind, and others are served", async (_step, reach) => {
    shop = await Shop.open();
    const app = await shop.serve();
    const peer = await peerOfCart();
    await reach(peer, app.port);
    await new Promise((resolve) => setTimeout(resolve, 20));
    peer.raw.resetAndDestroy();
    await eventually("the application's side is over", () => app.sockets.every(({ destroyed }) => destroyed));
    const { socket } = await dialFrom(shop.web, shop.cart, app.port);
    socket.end("served");
    expect((await readAll(socket)).toString()).toBe("served");
    await eventually("nothing is open", () => {
      const { pods, socketsOpen } = shop.node2.report();
      return socketsOpen.destination === 0 && pods["uid-cart"]?.inbound.length === 0;
    });
  });
});

describe("a hostile or failing next hop", () => {
  /** A service of HBONE on an address that xDS gives to `cart2`. */
  async function nextHop(
    handlers: Parameters<typeof hboneServer>[2],
    identity = "cart2",
  ): Promise<{ ip: IpAddress; sessions: H2Session[] }> {
    const ip = freeAddress();
    shop.mesh.push({ workloads: [buildWorkload("cart2", ip)] });
    const server = await hboneServer(ip, await materialOf(shop.mesh, identity), handlers);
    closers.push(() => server.close());
    return { ip, sessions: server.sessions };
  }
  const ignore = { onHeaders() {}, onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
  const accept = (stream: H2Stream) => {
    stream.sendHeaders([[":status", "200"]], false);
    return {
      ...ignore,
      onData(chunk: Buffer) {
        stream.writeFramed(Buffer.concat([Buffer.alloc(9), chunk]));
        stream.consume(chunk.length);
      },
      onEnd: () => stream.end(),
    };
  };

  it("that is not who xDS says is refused before anything is sent", async () => {
    shop = await Shop.open();
    const { ip } = await nextHop(() => ({ onRequest: accept }), "mallory");
    expect((await dialFrom(shop.web, ip, 80)).code).not.toBe(0);
    const record = await onlyRecord(shop.node1);
    expect(record).toMatchObject({ code: "TLS_PEER_IDENTITY_MISMATCH", flag: "TLS_FAILURE" });
    expect(record.message).toContain("sa/cart2");
  });

  it("whose pooled session went stale costs no connection", async () => {
    shop = await Shop.open();
    const { ip, sessions } = await nextHop((_session, count) => ({
      onRequest: (stream) => {
        if (count === 0 && stream.id > 1) {
          process.nextTick(() => sessions[0]?.destroy());
          return ignore;
        }
        return accept(stream);
      },
    }));
    for (const text of ["first", "second", "third"]) {
      const { socket, code } = await dialFrom(shop.web, ip, 80);
      expect(code).toBe(0);
      socket.write(text);
      expect((await readExactly(socket, text.length)).toString()).toBe(text);
    }
    expect(sessions).toHaveLength(2);
  });

  it("that refuses a stream or says GOAWAY is asked once more on a new session", async () => {
    shop = await Shop.open();
    const { ip, sessions } = await nextHop((_session, count) => ({
      onRequest: (stream) => {
        if (count > 0) return accept(stream);
        process.nextTick(() => stream.reset(H2Code.REFUSED_STREAM));
        return ignore;
      },
    }));
    expect((await dialFrom(shop.web, ip, 80)).code).toBe(0);
    expect(sessions).toHaveLength(2);
  });

  it("case 25: that says GOAWAY to every session is dialled twice a connection, not for ever", async () => {
    shop = await Shop.open();
    const { ip, sessions } = await nextHop((session) => ({
      onRequest: () => {
        process.nextTick(() => session().destroy());
        return ignore;
      },
    }));
    const dials = await Promise.all([1, 2, 3].map(() => dialFrom(shop.web, ip, 80)));
    expect(dials.map(({ code }) => code)).toEqual([1, 1, 1]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(sessions.length).toBeLessThanOrEqual(6);
  });

  it("that never answers CONNECT is given up in time", async () => {
    shop = await Shop.open({ config: { timeouts: { ...testConfig.timeouts, connectResponseMs: 150 } } });
    const { ip } = await nextHop(() => ({ onRequest: () => ignore }));
    expect((await dialFrom(shop.web, ip, 80)).code).toBe(1);
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "HBONE_CONNECT_TIMEOUT", flag: "CONNECT" });
  });

  it("that accepts TCP and is silent is given up in time", async () => {
    shop = await Shop.open({ config: { timeouts: { ...testConfig.timeouts, tlsHandshakeMs: 150 } } });
    const ip = freeAddress();
    shop.mesh.push({ workloads: [buildWorkload("silent", ip)] });
    await shop.serve(ip, () => {}, Port.HBONE);
    expect((await dialFrom(shop.web, ip, 80)).code).toBe(1);
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "TLS_HANDSHAKE_TIMEOUT", flag: "TLS_FAILURE" });
  });

  it("that resets a tunnel in use resets the application; CANCEL is an end", async () => {
    shop = await Shop.open();
    const { ip } = await nextHop(() => ({
      onRequest: (stream) => {
        stream.sendHeaders([[":status", "200"]], false);
        return {
          ...ignore,
          onData: (chunk: Buffer) => stream.reset(chunk.toString() === "end" ? H2Code.CANCEL : H2Code.CONNECT_ERROR),
        };
      },
    }));
    const ended = (await dialFrom(shop.web, ip, 80)).socket;
    ended.write("end");
    expect((await readAll(ended)).length).toBe(0);
    const reset = (await dialFrom(shop.web, ip, 80)).socket;
    reset.write("reset");
    await expect(readAll(reset)).rejects.toMatchObject({ code: "ECONNRESET" });
  });
});

describe("an application", () => {
  it("that speaks no SOCKS is cut", async () => {
    shop = await Shop.open();
    const socket = connect({ host: shop.web, port: Port.SOCKS5 });
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\n\r\n");
    expect((await readAll(socket)).length).toBe(0);
  });

  it("case 7: cannot reach the proxy's own listeners through the proxy", async () => {
    shop = await Shop.open();
    for (const port of [Port.OUTBOUND, Port.INBOUND_PLAINTEXT, Port.HBONE, Port.SOCKS5]) {
      expect((await dialFrom(shop.web, shop.cart, port)).code).toBe(1);
    }
    await eventually("records", () => shop.node1.finished().length === 4);
    expect(shop.node1.finished().every(({ code }) => code === "LOOP_REFUSED")).toBe(true);
  });
});
