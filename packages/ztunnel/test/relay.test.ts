/** What a connection carries: every byte, every half-close, every reset. Through two proxies unless it says otherwise. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { onlyRecord, Shop } from "./fixtures/shop.ts";
import { dialFrom, readAll, readExactly } from "./fixtures/socks-client.ts";
import { freeAddress } from "./fixtures/test-mesh.ts";

const MIB = 1024 * 1024;
let shop: Shop;
beforeEach(async () => {
  shop = await Shop.open();
});
afterEach(() => shop.close());

/** Writes `megabytes` of changing bytes and ends; resolves to their hash. */
async function pour(socket: Socket, megabytes: number): Promise<string> {
  const hash = createHash("sha256");
  for (let i = 0; i < megabytes; i++) {
    const block = Buffer.alloc(MIB, `${i}-`);
    hash.update(block);
    if (!socket.write(block)) await once(socket, "drain");
  }
  socket.end();
  return hash.digest("hex");
}

async function drink(socket: Socket): Promise<{ hash: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  await once(socket, "end");
  return { hash: hash.digest("hex"), bytes };
}

/** Both ends of one connection to a fresh application of cart, or of a host outside the mesh. */
async function connectedPair(where: "tunnel" | "plaintext" = "tunnel"): Promise<{ client: Socket; server: Socket }> {
  const ip = where === "tunnel" ? shop.cart : freeAddress();
  const app = await shop.serve(ip, () => {});
  const { socket, code } = await dialFrom(shop.web, ip, app.port);
  expect(code).toBe(0);
  const server = await eventually("accepted", () => app.sockets[0]);
  return { client: socket, server };
}

describe.each(["tunnel", "plaintext"] as const)("a relay (%s)", (where) => {
  it("carries 256 MiB each way at once, intact", async () => {
    const { client, server } = await connectedPair(where);
    const received = [drink(server), drink(client)];
    const sent = await Promise.all([pour(client, 256), pour(server, 256)]);
    const results = await Promise.all(received);
    expect(results.map(({ hash }) => hash)).toEqual(sent);
    expect(results.map(({ bytes }) => bytes)).toEqual([256 * MIB, 256 * MIB]);
    expect(await onlyRecord(shop.node1)).toMatchObject({ bytesSent: 256 * MIB, bytesReceived: 256 * MIB, flag: "-" });
  });

  it("keeps the other direction open after the client half-closed", async () => {
    const { client, server } = await connectedPair(where);
    client.end("question");
    expect((await readAll(server)).toString()).toBe("question");
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.end("a late answer");
    expect((await readAll(client)).toString()).toBe("a late answer");
    expect(await onlyRecord(shop.node1)).toMatchObject({ flag: "-", bytesSent: 8, bytesReceived: 13 });
  });

  it("keeps the other direction open after the server half-closed", async () => {
    const { client, server } = await connectedPair(where);
    server.end("greeting");
    expect((await readAll(client)).toString()).toBe("greeting");
    client.end("a late upload");
    expect((await readAll(server)).toString()).toBe("a late upload");
    expect(await onlyRecord(shop.node1)).toMatchObject({ flag: "-", bytesSent: 13, bytesReceived: 8 });
  });

  it("delivers what a server that speaks first says, before the client says anything", async () => {
    const { client, server } = await connectedPair(where);
    server.write("220 ready\r\n");
    expect((await readExactly(client, 11)).toString()).toBe("220 ready\r\n");
  });

  it("passes a client's reset on to the server", async () => {
    const { client, server } = await connectedPair(where);
    const failed = once(server, "error");
    client.write("x");
    await readExactly(server, 1);
    server.resume();
    client.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "DOWNSTREAM_RESET", flag: "CONNECT" });
  });

  it("passes a server's reset on to the client", async () => {
    const { client, server } = await connectedPair(where);
    const failed = once(client, "error");
    client.resume();
    server.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "UPSTREAM_RESET", flag: "CONNECT" });
  });

  it("delivers everything written before the writer closed both directions", async () => {
    const { client, server } = await connectedPair(where);
    const received = drink(client);
    const sent = await pour(server, 8);
    server.destroySoon();
    client.end();
    expect((await received).hash).toBe(sent);
  });

  it("costs bounded memory when nobody reads", async () => {
    const { client, server } = await connectedPair(where);
    const before = process.memoryUsage();
    let written = 0;
    const block = Buffer.alloc(MIB);
    // The kernel's own buffers and one flow-control window fill up; then the writer has to wait.
    for (;;) {
      if (server.write(block)) continue;
      written += 1;
      const drained = await Promise.race([
        once(server, "drain").then(() => true),
        new Promise<boolean>((resolve) => setTimeout(resolve, 300, false)),
      ]);
      if (!drained) break;
      expect(written).toBeLessThan(64);
    }
    const held = process.memoryUsage().arrayBuffers - before.arrayBuffers;
    expect(held).toBeLessThan(24 * MIB);
    const received = drink(client);
    server.end();
    await received;
  });
});

describe("many connections", () => {
  it("carries 1 000 at once through one pair of proxies", async () => {
    const app = await shop.serve();
    const sockets: Socket[] = [];
    for (let batch = 0; batch < 10; batch++) {
      const opened = await Promise.all(Array.from({ length: 100 }, () => dialFrom(shop.web, shop.cart, app.port)));
      expect(opened.every(({ code }) => code === 0)).toBe(true);
      sockets.push(...opened.map(({ socket }) => socket));
    }
    expect(shop.node1.report().poolSessions).toBe(10);
    const answers = await Promise.all(
      sockets.map(async (socket, i) => {
        socket.end(`number ${i}`);
        return (await readAll(socket)).toString();
      }),
    );
    expect(answers).toEqual(sockets.map((_, i) => `number ${i}`));
    await eventually("all closed", () => shop.node2.report().socketsOpen.destination === 0);
    await eventually("all recorded", () => shop.node1.finished().length === 1000);
  });

  it("is refused beyond the pod's limit, and served again below it", async () => {
    shop.close();
    shop = await Shop.open({ config: { limits: { connectionsPerPod: 3, hboneSessionsPerPeer: 10 } } });
    const app = await shop.serve();
    const open = await Promise.all([1, 2, 3].map(() => dialFrom(shop.web, shop.cart, app.port)));
    expect((await dialFrom(shop.web, shop.cart, app.port).catch(() => ({ code: 255 }))).code).not.toBe(0);
    await eventually("the refusal", () =>
      shop.node1.finished().some(({ code }) => code === "CONNECTION_LIMIT_REACHED"),
    );
    open[0]?.socket.end();
    await readAll(open[0]!.socket);
    await eventually("room", async () => (await dialFrom(shop.web, shop.cart, app.port)).code === 0);
  });
});
