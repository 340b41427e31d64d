/** Looking at the first bytes of a tunnel without taking them. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "@ambit/shared/time";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import { type Peekable, peekProtocol } from "../src/terminate/index.ts";
import {
  Cleanup,
  dialPeer,
  identityUri,
  readAll,
  startTerminator,
  TestAuthority,
  tcpServer,
  WAYPOINT,
} from "./transport-fixtures.ts";

const cleanup = new Cleanup();
let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.create();
});
afterEach(() => cleanup.run());

interface Ends {
  readonly client: Duplex;
  readonly server: Peekable;
}

async function tunnelEnds(): Promise<Ends> {
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  const own = await authority.issue(WAYPOINT);
  const { address } = await startTerminator(
    { material: async () => own, onTunnel: (_tunnel, offer) => resolve(offer.accept()) },
    cleanup,
  );
  const peer = await dialPeer(address, await authority.issue(identityUri("web")), cleanup);
  const { stream } = peer.open("10.96.0.1:80");
  return { server: await promise, client: new TunnelDuplex(stream) };
}

async function socketEnds(): Promise<Ends> {
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  const { port } = await tcpServer(resolve, cleanup);
  const client: Socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  cleanup.add(() => client.destroy());
  return { client, server: await promise };
}

const peek = (server: Peekable, timeoutMs = 15_000) => peekProtocol(server, { clock: systemClock, timeoutMs });

describe.each([
  ["a tunnel", tunnelEnds],
  ["a socket", socketEnds],
])("peekProtocol on %s", (_label, open) => {
  it("puts back what it looked at, in order, with what came after", async () => {
    const { client, server } = await open();
    const answer = peek(server);
    for (const piece of ["GE", "T / HT", "TP/1.1\r\n"]) {
      client.write(piece);
      await delay(20);
    }
    expect(await answer).toEqual({ kind: "http1" });
    client.end("host: a\r\n\r\n");
    expect(await readAll(server)).toBe("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  });

  it("sees what came before it looked", async () => {
    const { client, server } = await open();
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await delay(50);
    expect(await peek(server)).toEqual({ kind: "http2" });
  });

  it("lets the server speak first after the limit", async () => {
    const { client, server } = await open();
    const before = performance.now();
    expect(await peek(server, 100)).toEqual({ kind: "other" });
    expect(performance.now() - before).toBeLessThan(20_000);
    server.write("220 ready\r\n");
    expect(String((await once(client, "data"))[0])).toBe("220 ready\r\n");
    client.end("QUIT\r\n");
    expect(await readAll(server)).toBe("QUIT\r\n");
  });

  it("keeps the end of input behind a short message", async () => {
    const { client, server } = await open();
    const answer = peek(server);
    client.write("h");
    await delay(20);
    client.end("i");
    expect(await answer).toEqual({ kind: "other" });
    server.end("bye");
    expect(await readAll(server)).toBe("hi");
    expect(await readAll(client)).toBe("bye");
  });

  it("does not wait when nothing will ever come", async () => {
    const { client, server } = await open();
    client.end();
    expect(await peek(server, 60_000)).toEqual({ kind: "other" });
    expect(await readAll(server)).toBe("");
  });

  it("rejects when the peer gives up", async () => {
    const { client, server } = await open();
    const answer = peek(server, 60_000);
    client.on("error", () => {});
    if ("resetAndDestroy" in client) (client as Socket).resetAndDestroy();
    else client.destroy();
    const code = expect.stringMatching(/^(DOWNSTREAM_RESET|H2_STREAM_RESET)$/);
    await expect(answer).rejects.toMatchObject({ name: "MeshError", code });
    await expect(peek(server, 60_000)).rejects.toMatchObject({ name: "MeshError", code });
  });

  it("leaves a flowing stream to the next reader, with events", async () => {
    const { client, server } = await open();
    client.write("GET / HTTP/1.1\r\n");
    await peek(server);
    const chunks: string[] = [];
    server.on("data", (chunk: Buffer) => chunks.push(String(chunk)));
    client.end("rest");
    await once(server, "end");
    expect(chunks.join("")).toBe("GET / HTTP/1.1\r\nrest");
    expect(server.listenerCount("readable") + server.listenerCount("close")).toBeLessThan(3);
  });
});

it("knows a short message by its end, not by the limit", async () => {
  const { client, server } = await tunnelEnds();
  client.end("hi");
  await delay(50);
  expect(await peek(server, 60_000)).toEqual({ kind: "other" });
  expect(await readAll(server)).toBe("hi");
});

it("does not wait longer than the limit on any duplex", async () => {
  const [near, far] = duplexPair();
  far.write("GET");
  expect(await peek(near, 50)).toEqual({ kind: "other" });
});
