/** Node's own clients and servers on both sides of our codecs, in every combination of versions. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "@jest/globals";
import { listen, type Protocol, type ReverseProxy, reverseProxy, TextSocket, until } from "./http-ends.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly host: string | undefined;
  readonly headers: Record<string, unknown>;
}

interface Upstream {
  readonly port: number;
  readonly seen: Seen[];
}

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** A node server of either version with the compatible API. */
async function upstream(protocol: Protocol, handler: Handler): Promise<Upstream> {
  const seen: Seen[] = [];
  const onRequest = (request: unknown, response: unknown): void => {
    const message = request as http.IncomingMessage;
    const headers = message.headers as Record<string, unknown>;
    const host = (headers["host"] ?? headers[":authority"]) as string | undefined;
    seen.push({ method: message.method ?? "", url: message.url ?? "", host, headers });
    handler(message, response as http.ServerResponse);
  };
  const server =
    protocol === "http1" ? http.createServer(onRequest) : (http2.createServer({}, onRequest as never) as never);
  const sockets = new Set<Socket>();
  (server as http.Server).on("connection", (socket: Socket) => void sockets.add(socket));
  const port = await listen(server as http.Server);
  closers.push(() => {
    (server as http.Server).close();
    for (const socket of sockets) socket.destroy();
  });
  return { port, seen };
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: Buffer;
  readonly trailers: Record<string, unknown>;
  readonly informational: number[];
}

interface Request {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
  readonly trailers?: Record<string, string>;
}

async function ask(protocol: Protocol, port: number, request: Request = {}): Promise<Answer> {
  return protocol === "http1" ? askHttp1(port, request) : askHttp2(port, request);
}

async function askHttp1(port: number, request: Request): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, body, trailers } = request;
  const agent = new http.Agent({ keepAlive: false });
  const outgoing = http.request({ port, host: "127.0.0.1", method, path, headers, agent });
  const informational: number[] = [];
  outgoing.on("information", ({ statusCode }) => void informational.push(statusCode));
  if (trailers !== undefined) outgoing.addTrailers(trailers);
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks),
    trailers: response.trailers,
    informational,
  };
}

async function askHttp2(port: number, request: Request): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, body, trailers } = request;
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  closers.push(() => session.destroy());
  const stream = session.request({ ":method": method, ":path": path, ...headers }, {
    endStream: body === undefined && trailers === undefined,
    waitForTrailers: trailers !== undefined,
  } as never);
  const informational: number[] = [];
  stream.on("headers", (head) => void informational.push(Number(head[":status"])));
  if (trailers !== undefined) stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  if (body !== undefined || trailers !== undefined) stream.end(body);
  let received: Record<string, unknown> = {};
  stream.on("trailers", (fields) => {
    received = { ...fields };
  });
  const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  session.close();
  return {
    status: Number(head[":status"]),
    headers: head,
    body: Buffer.concat(chunks),
    trailers: received,
    informational,
  };
}

async function proxied(down: Protocol, up: Protocol, handler: Handler): Promise<[ReverseProxy, Upstream]> {
  const target = await upstream(up, handler);
  const proxy = await reverseProxy({ down, up, upstreamPort: target.port });
  closers.push(() => proxy.close());
  return [proxy, target];
}

const echo: Handler = (request, response) => {
  response.writeHead(200, { "content-type": "application/octet-stream" });
  request.pipe(response);
};
const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

const VERSIONS: readonly (readonly [Protocol, Protocol])[] = [
  ["http1", "http1"],
  ["http1", "http2"],
  ["http2", "http1"],
  ["http2", "http2"],
];

describe.each(VERSIONS)("a client of %s through our codecs to a server of %s", (down, up) => {
  it("gets a plain answer, with Date, and its request arrives as it was", async () => {
    const [proxy, { seen }] = await proxied(down, up, (_, response) => {
      response.writeHead(201, { "x-one": "1", "set-cookie": ["a=1", "b=2"] });
      response.end("hello");
    });
    const answer = await ask(down, proxy.port, { path: "/a%20b?q=1", headers: { "x-two": "2", cookie: "c=1; d=2" } });
    expect([answer.status, answer.body.toString()]).toEqual([201, "hello"]);
    expect(answer.headers).toMatchObject({ "x-one": "1", "set-cookie": ["a=1", "b=2"], date: expect.any(String) });
    expect(seen).toMatchObject([{ method: "GET", url: "/a%20b?q=1", host: `127.0.0.1:${proxy.port}` }]);
    expect(seen[0]?.headers).toMatchObject({ "x-two": "2", cookie: "c=1; d=2" });
  });

  it("sends and gets large bodies unchanged", async () => {
    const [proxy] = await proxied(down, up, echo);
    const body = randomBytes(9_000_001);
    const answer = await ask(down, proxy.port, {
      method: "POST",
      body,
      headers: { "content-length": `${body.length}` },
    });
    expect(digest(answer.body)).toBe(digest(body));
  });

  it("sends a body of unknown length with trailers, and gets trailers", async () => {
    const [proxy] = await proxied(down, up, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        response.writeHead(200, { trailer: "x-sum" });
        response.write(Buffer.concat(chunks));
        response.addTrailers({ "x-sum": String(request.trailers["x-in"]) });
        response.end();
      });
    });
    const headers: Record<string, string> =
      down === "http1" ? { "transfer-encoding": "chunked", trailer: "x-in", te: "trailers" } : { te: "trailers" };
    const answer = await ask(down, proxy.port, {
      method: "POST",
      body: Buffer.from("abc"),
      trailers: { "x-in": "42" },
      headers,
    });
    expect(answer.body.toString()).toBe("abc");
    expect(answer.trailers).toMatchObject({ "x-sum": "42" });
  });

  it("relays 103 and 100, in order", async () => {
    const [proxy] = await proxied(down, up, (request, response) => {
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      request.resume();
      request.on("end", () => response.end("ok"));
    });
    const body = Buffer.from("later");
    const headers = { expect: "100-continue", "content-length": "5" };
    const answer = await ask(down, proxy.port, { method: "POST", body, headers });
    expect(answer.body.toString()).toBe("ok");
    expect(answer.informational).toEqual([100, 103]);
  });

  it.each(["HEAD", "GET"])("answers %s with 204 and 304 without a body", async (method) => {
    const [proxy] = await proxied(down, up, (request, response) => {
      response.writeHead(request.url === "/204" ? 204 : 304);
      response.end();
    });
    for (const status of [204, 304]) {
      const answer = await ask(down, proxy.port, { method, path: `/${status}` });
      expect([answer.status, answer.body.length]).toEqual([status, 0]);
    }
  });

  it("tells a HEAD how long the body would be", async () => {
    const [proxy] = await proxied(down, up, (_, response) => {
      response.writeHead(200, { "content-length": "1234" });
      response.end();
    });
    const answer = await ask(down, proxy.port, { method: "HEAD" });
    expect([answer.headers["content-length"], answer.body.length]).toEqual(["1234", 0]);
  });

  it("carries a body on GET and DELETE with exact framing", async () => {
    const [proxy] = await proxied(down, up, echo);
    for (const method of ["GET", "DELETE"]) {
      const answer = await ask(down, proxy.port, {
        method,
        body: Buffer.from("body"),
        headers: { "content-length": "4" },
      });
      expect(answer.body.toString()).toBe("body");
    }
  });

  it("never lets a cut answer look complete", async () => {
    const [proxy] = await proxied(down, up, (_, response) => {
      response.writeHead(200);
      response.write("part");
      setTimeout(() => response.destroy(), 20);
    });
    await expect(ask(down, proxy.port)).rejects.toThrow(/aborted|closed|INTERNAL|CANCEL|reset/i);
  });

  it("cancels the upstream's request when the client leaves", async () => {
    let closed = false;
    const [proxy, { seen }] = await proxied(down, up, (request) => {
      request.on("close", () => {
        closed = true;
      });
      request.resume();
    });
    if (down === "http1") {
      const client = await TextSocket.to(proxy.port);
      client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
      await until("the request", () => seen.length === 1);
      client.socket.destroy();
    } else {
      const session = http2.connect(`http://127.0.0.1:${proxy.port}`);
      closers.push(() => session.destroy());
      const stream = session.request({ ":method": "POST" });
      stream.on("error", () => {});
      stream.write("abc");
      await until("the request", () => seen.length === 1);
      stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    await until("the upstream's end", () => closed);
  });

  it("holds no more than a window of a body that nobody reads", async () => {
    let asked: http.IncomingMessage | undefined;
    let read = (): void => {};
    const [proxy] = await proxied(down, up, (request, response) => {
      asked = request;
      request.pause();
      read = () => {
        let bytes = 0;
        request.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
        });
        request.on("end", () => response.end(String(bytes)));
        request.resume();
      };
    });
    const before = process.memoryUsage().arrayBuffers;
    const body = Buffer.alloc(40_000_000, "x");
    const answering = ask(down, proxy.port, { method: "POST", body, headers: { "content-length": `${body.length}` } });
    await until("the request", () => asked !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 200));
    // Client, proxy and server share this process: windows and socket buffers, never another copy of the body.
    expect(process.memoryUsage().arrayBuffers - before - body.length).toBeLessThan(24_000_000);
    read();
    expect((await answering).body.toString()).toBe("40000000");
  });
});
