/** WebSocket through our codecs, whichever version is on which side; raw bytes both ways and an end for each. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, it } from "@jest/globals";
import { listen, type Protocol, reverseProxy } from "./http-ends.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** RFC 6455 section 1.3. */
const acceptOf = (key: string): string =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** Echoes raw bytes after the handshake, then says bye once the client's side has ended. */
async function echoServer(protocol: Protocol): Promise<number> {
  const echo = (stream: Duplex): void => {
    closers.push(() => stream.destroy());
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => stream.write(chunk));
    stream.on("end", () => stream.end("bye"));
  };
  if (protocol === "http1") {
    const server = http.createServer();
    server.on("upgrade", (request, socket: Duplex, head) => {
      const accept = acceptOf(String(request.headers["sec-websocket-key"]));
      const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nX-Path: ${request.url}`;
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`);
      if (head.length > 0) socket.unshift(head);
      echo(socket);
    });
    closers.push(() => server.close());
    return listen(server);
  }
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    expect(headers).toMatchObject({ ":method": "CONNECT", ":protocol": "websocket" });
    expect(headers["sec-websocket-key"]).toBe(undefined);
    stream.respond({ ":status": 200, "x-path": String(headers[":path"]) });
    echo(stream);
  });
  closers.push(() => server.close());
  return listen(server as never);
}

interface Opened {
  readonly stream: Duplex;
  readonly path: string;
}

async function open(protocol: Protocol, port: number): Promise<Opened> {
  return protocol === "http1" ? openHttp1(port) : openHttp2(port);
}

async function openHttp1(port: number): Promise<Opened> {
  const key = randomBytes(16).toString("base64");
  const headers = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-key": key,
    "sec-websocket-version": "13",
  };
  const request = http.request({ port, host: "127.0.0.1", path: "/chat?x=1", headers, agent: false });
  request.end();
  const [response, socket, head] = (await once(request, "upgrade")) as [http.IncomingMessage, Duplex, Buffer];
  expect(response.headers).toMatchObject({ upgrade: "websocket", "sec-websocket-accept": acceptOf(key) });
  if (head.length > 0) socket.unshift(head);
  closers.push(() => socket.destroy());
  (socket as Duplex).allowHalfOpen = true;
  return { stream: socket, path: String(response.headers["x-path"]) };
}

async function openHttp2(port: number): Promise<Opened> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  closers.push(() => session.destroy());
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/chat?x=1",
    ":scheme": "http",
    ":authority": "a",
    "sec-websocket-version": "13",
  });
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  expect(headers["sec-websocket-accept"]).toBe(undefined);
  return { stream, path: String(headers["x-path"]) };
}

describe.each<readonly [Protocol, Protocol]>([
  ["http1", "http1"],
  ["http1", "http2"],
  ["http2", "http1"],
  ["http2", "http2"],
])("a WebSocket of %s to a server of %s", (down, up) => {
  it("carries bytes both ways, and half-closes", async () => {
    const proxy = await reverseProxy({ down, up, upstreamPort: await echoServer(up) });
    closers.push(() => proxy.close());
    const { stream, path } = await open(down, proxy.port);
    expect(path).toBe("/chat?x=1");
    const sent = randomBytes(3_000_000);
    const got: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => got.push(chunk));
    stream.end(sent);
    await once(stream, "end");
    const whole = Buffer.concat(got);
    expect(whole.subarray(0, sent.length).equals(sent)).toBe(true);
    expect(whole.subarray(sent.length).toString()).toBe("bye");
  });
});
