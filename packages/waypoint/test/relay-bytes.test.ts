import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "@jest/globals";
import { type Relay, relayBytes } from "../src/forward/relay-bytes.ts";

const open: { destroy(): void }[] = [];

afterEach(() => {
  for (const one of open.splice(0)) one.destroy();
});

/** A connected pair of real sockets. */
async function pair(): Promise<[near: Socket, far: Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [far] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [near, far]) {
    socket.on("error", () => {});
    open.push(socket);
  }
  return [near, far];
}

async function relayed(): Promise<{ client: Socket; server: Socket; relay: Relay }> {
  const [client, downstream] = await pair();
  const [upstream, server] = await pair();
  return { client, server, relay: relayBytes(downstream, upstream) };
}

/** To its end, without closing the other direction. */
function textOf(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (chunk) => {
    text += String(chunk);
  });
  socket.on("end", () => resolve(text));
  return promise;
}

/** An error does not reject it: `errored` tells. */
const closedOf = (socket: Socket): Promise<void> => new Promise((resolve) => socket.on("close", () => resolve()));

describe("relayBytes", () => {
  it("passes bytes and half-closes both ways and counts", async () => {
    const { client, server, relay } = await relayed();
    client.end("question");
    expect(await textOf(server)).toBe("question");
    server.end("a longer answer");
    expect(await textOf(client)).toBe("a longer answer");
    expect(await relay.ended).toEqual({
      bytesFromDownstream: 8,
      bytesFromUpstream: 15,
      failed: undefined,
      error: undefined,
    });
  });

  it("moves 64 MiB intact past a slow reader without holding it in memory", async () => {
    const { client, server } = await relayed();
    const block = Buffer.alloc(1024 * 1024, "ambit");
    const sent = createHash("sha256");
    const received = createHash("sha256");
    const writing = (async () => {
      for (let at = 0; at < 64; at++) {
        sent.update(block);
        if (!client.write(block)) await once(client, "drain");
      }
      client.end();
    })();
    // Until nothing more goes in.
    for (let before = -1; before !== client.writableLength; ) {
      before = client.writableLength;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const waiting = client.writableLength;
    for await (const chunk of server) received.update(chunk as Buffer);
    await writing;
    expect(waiting).toBeGreaterThan(0);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
  });

  it("never lets a cut stream look complete", async () => {
    const { client, server, relay } = await relayed();
    const closed = closedOf(client);
    let ended = false;
    client.on("end", () => {
      ended = true;
    });
    server.write("half of it");
    await once(client, "data");
    server.resetAndDestroy();
    expect((await relay.ended).failed).toBe("upstream");
    await closed;
    expect(ended).toBe(false);
    expect(client.errored).toMatchObject({ code: "ECONNRESET" });
  });

  it("cuts both sides when told to", async () => {
    const { client, server, relay } = await relayed();
    client.write("x");
    await once(server, "data");
    client.resume();
    const closed = Promise.all([closedOf(client), closedOf(server)]);
    relay.cut(new Error("policy changed"));
    await closed;
    expect((await relay.ended).error?.message).toBe("policy changed");
  });
});
