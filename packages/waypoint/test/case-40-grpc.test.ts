/** What gRPC callers see of refusals and failures, and what cannot be smuggled in behind a body, through a whole waypoint. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import type { HeaderList } from "@ambit/shared/http2";
import { ipOf, type SocketAddress } from "@ambit/shared/net";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../src/balance/model.ts";
import type { HttpChain } from "../src/model/route-model.ts";
import { converse, statusesOf } from "./hostile-client.ts";
import { until } from "./http-ends.ts";
import { END_STREAM, RawPeer, T } from "./http-raw-peer.ts";
import { authentication, provider } from "./jwt-builders.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { header, rules } from "./policy-builders.ts";
import { type RecordingBackend, recordingBackend, strictRequests } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let cleanups: (() => unknown)[] = [];

afterEach(() => {
  waypoint?.stop();
  for (const cleanup of cleanups) cleanup();
  cleanups = [];
});

const GRPC = { "content-type": "application/grpc", te: "trailers" } as const;

interface GrpcAnswer {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>> | undefined;
  readonly code: string | undefined;
  readonly body: string;
}

async function call(headers: Readonly<Record<string, string>> = {}, body = ""): Promise<GrpcAnswer> {
  const session = await waypoint.http2();
  const stream = session.request({ ":method": "POST", ":path": "/shop.Cart/Add", ...GRPC, ...headers });
  const seen: { headers: object; trailers: object | undefined; code: string | undefined; body: string } = {
    headers: {},
    trailers: undefined,
    code: undefined,
    body: "",
  };
  stream.on("response", (fields) => {
    seen.headers = fields;
  });
  stream.on("trailers", (fields) => {
    seen.trailers = fields;
  });
  stream.on("data", (chunk: Buffer) => {
    seen.body += chunk.toString("latin1");
  });
  stream.on("error", (error: NodeJS.ErrnoException) => {
    seen.code = error.message;
  });
  stream.end(body);
  await new Promise((resolve) => stream.once("close", resolve));
  return seen as GrpcAnswer;
}

async function startWith(
  address: SocketAddress | undefined,
  over: Partial<HttpChain> = {},
  cluster: Partial<Cluster> = {},
  timeoutMs = 15_000,
) {
  const endpoints = address === undefined ? [] : [endpointAt(address)];
  const chain = httpChain([routeOf(forwardTo("web", { timeoutMs }))], over);
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", endpoints, cluster)]));
}

async function closedPort(): Promise<SocketAddress> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return { ip: ipOf("127.0.0.1"), port };
}

describe("what we answer to gRPC", () => {
  const deny = { custom: [], rules: rules("DENY", { "no-cart": {} }) };
  const silent = async (): Promise<SocketAddress> => {
    const backend = await recordingBackend(() => {});
    cleanups.push(() => backend.close());
    return backend.address;
  };
  const http1 = { http: { ...clusterOf("x", []).http, protocol: "http1" } } as const;

  it.each<[string, number, () => Promise<void>, Readonly<Record<string, string>>]>([
    ["a policy's no", 7, async () => startWith(undefined, { authorization: deny }), {}],
    [
      "a bad token",
      16,
      async () =>
        startWith(undefined, {
          authentication: authentication([provider({ fromHeaders: [{ name: "authorization", prefix: "Bearer " }] })]),
        }),
      { authorization: "Bearer a.b.c" },
    ],
    ["no route", 12, async () => startWith(undefined, { routes: { name: "r", virtualHosts: [] } }), {}],
    ["no endpoint", 14, async () => startWith(undefined), {}],
    ["nobody listening", 14, async () => startWith(await closedPort()), {}],
    [
      "a chain we cannot guard",
      14,
      async () => startWith(undefined, { unservable: "filter wasm is not enforced" }),
      {},
    ],
    ["a path nobody can read", 13, async () => startWith(undefined), { ":path": "/a/%zz" }],
  ])("case 40: %s is status %i over HTTP 200, without a body", async (_what, status, arrange, headers) => {
    await arrange();
    const answer = await call(headers);
    expect(answer.headers).toMatchObject({
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(status),
    });
    expect(answer).toMatchObject({ body: "", trailers: undefined, code: undefined });
    expect(waypoint.requests).toMatchObject([{ isGrpc: true, grpcStatus: status }]);
  });

  it("case 40: a timeout is one as gRPC knows it", async () => {
    await startWith(await silent(), {}, http1, 300);
    const { headers } = await call();
    expect(["4", "14"]).toContain(headers["grpc-status"]);
    expect(headers[":status"]).toBe(200);
  });

  it("case 40: the same refusals are plain HTTP to who does not speak gRPC", async () => {
    await startWith(undefined, { authorization: deny });
    for (const type of ["application/grpc-web", "application/grpcx", "text/plain", "application/json"]) {
      expect((await call({ "content-type": type })).headers).toMatchObject({ ":status": 403 });
    }
    expect((await call({ "content-type": "application/grpc+proto" })).headers).toMatchObject({ "grpc-status": "7" });
  });
});

/** An application of HTTP/2 that answers each stream with what frames by hand can say. */
async function rogue(trailers: HeaderList, head: HeaderList = []): Promise<SocketAddress> {
  const serve = async (socket: Socket): Promise<void> => {
    const peer = await RawPeer.server(socket, []);
    for (let streamId = 1; !peer.ended; streamId += 2) {
      await peer.next((one) => one.streamId === streamId && (one.flags & END_STREAM) !== 0);
      peer.headers(streamId, 0, [[":status", "200"], ["content-type", "application/grpc"], ...head]);
      peer.frame(T.DATA, 0, streamId, Buffer.from("frame"));
      peer.headers(streamId, END_STREAM, trailers);
    }
  };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
    serve(socket).catch(() => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  return { ip: ipOf("127.0.0.1"), port: (server.address() as AddressInfo).port };
}

describe("trailers of an application", () => {
  const http2 = { http: { ...clusterOf("x", []).http, protocol: "http2" } } as const;
  const good = ["grpc-status", "0"] as const;

  it.each<[string, HeaderList]>([
    ["a pseudo-header", [good, [":status", "500"]]],
    ["a line end in a message", [good, ["grpc-message", "a\r\nset-cookie: admin=1"]]],
    ["a line feed in a message", [good, ["grpc-message", "a\nset-cookie: admin=1"]]],
    ["a NUL in a message", [good, ["grpc-message", "a\0b"]]],
    ["a name in upper case", [good, ["Set-Cookie", "admin=1"]]],
    ["a line end in a name", [good, ["x\r\nset-cookie", "admin=1"]]],
    ["a connection's own field", [good, ["connection", "close"]]],
    ["framing", [good, ["transfer-encoding", "chunked"]]],
  ])("case 40: with %s never look like a clean end", async (_what, trailers) => {
    await startWith(await rogue(trailers), {}, http2);
    const answer = await call();
    expect(answer.trailers).toBeUndefined();
    expect(answer.code).toMatch(/closed|reset|error/i);
    expect(JSON.stringify(answer)).not.toContain("admin=1");
    // The same to a client of HTTP/1, where a line end would be a line end.
    const text = await converse(
      waypoint,
      `POST /a HTTP/1.1\r\nhost: web\r\nte: trailers\r\nconnection: te\r\ncontent-length: 0\r\n\r\n`,
      {
        quietMs: 200,
        patienceMs: 1_000,
      },
    );
    expect(text).not.toMatch(/admin=1/);
    expect(text).not.toMatch(/\r\n0\r\n/);
    expect(waypoint.requests.every(({ grpcStatus }) => grpcStatus !== 0)).toBe(true);
  });

  it("case 40: which belong before a body are not passed on behind it", async () => {
    const late = ["set-cookie", "content-type", "content-length", "authorization", "cache-control", "www-authenticate"];
    const trailers: HeaderList = [
      good,
      ["grpc-message", "fine%0A"],
      ...late.map((name) => [name, "1"] as const),
      ["x-own", "1"],
    ];
    await startWith(await rogue(trailers), {}, http2);
    const { trailers: seen } = await call();
    expect(Object.entries(seen ?? {})).toEqual([good, ["grpc-message", "fine%0A"], ["x-own", "1"]]);
    const text = await converse(
      waypoint,
      "POST /a HTTP/1.1\r\nhost: web\r\nte: trailers\r\nconnection: te\r\ncontent-length: 0\r\n\r\n",
      {
        quietMs: 200,
        patienceMs: 1_000,
      },
    );
    expect(text).toMatch(/\r\n5\r\nframe\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine%0A\r\nx-own: 1\r\n\r\n$/);
  });

  it.each(["-1", "00", "1e1", " 0", "99999999999", "0x0", "0, 0", "zero", ""])(
    "case 40: a grpc-status of %j is passed as it is and counted as none",
    async (status) => {
      await startWith(await rogue([["grpc-status", status]]), {}, http2);
      await call();
      await until("it is over", () => waypoint.requests.length === 1);
      expect(waypoint.requests[0]?.grpcStatus).toBeUndefined();
    },
  );
});

describe("trailers of a client", () => {
  let backend: RecordingBackend;
  const start = async (): Promise<void> => {
    backend = await recordingBackend();
    cleanups.push(() => backend.close());
    const authorization = {
      custom: [],
      rules: rules("DENY", { d: { permissions: [header("x-role", { exact: "admin" })] } }),
    };
    await startWith(backend.address, { authorization }, { http: { ...clusterOf("x", []).http, protocol: "http1" } });
  };

  it("case 40: cannot become the headers that policy looked for", async () => {
    await start();
    const forbidden = [
      "host",
      "authorization",
      "cookie",
      "content-length",
      "transfer-encoding",
      "te",
      "expect",
      "range",
      "x-forwarded-for",
    ];
    const trailers = [...forbidden, "x-own"].map((name) => `${name}: 1\r\n`).join("");
    const head =
      "POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\ntrailer: x-own, host\r\nconnection: close\r\n\r\n";
    expect(statusesOf(await converse(waypoint, `${head}5\r\nhello\r\n0\r\n${trailers}\r\n`))).toEqual([200]);
    const raw = backend.raw().join("");
    expect(raw).toMatch(/\r\n0\r\nx-own: 1\r\n\r\n$/);
    expect(strictRequests(raw)).toMatchObject([{ authority: "web", body: "hello" }]);
    expect(backend.requests[0]?.fields.filter((text) => / 1$/.test(text))).toEqual([]);
  });

  it("case 40: with a line end or a pseudo-header end their own stream only", async () => {
    await start();
    const peer = await RawPeer.client(await waypoint.dial());
    const line: HeaderList = [
      [":method", "POST"],
      [":scheme", "http"],
      [":authority", "web"],
      [":path", "/"],
    ];
    const bad: readonly HeaderList[] = [
      [["x-own", "a\r\nx-role: admin"]],
      [[":path", "/admin"]],
      [["X-Own", "1"]],
      [["connection", "close"]],
    ];
    for (const [at, trailers] of bad.entries()) {
      const streamId = 2 * at + 1;
      peer.headers(streamId, 0, line);
      peer.frame(T.DATA, 0, streamId, Buffer.from("hello"));
      peer.headers(streamId, END_STREAM, trailers);
      await peer.next((one) => one.streamId === streamId && one.type === T.RST);
    }
    peer.headers(99, END_STREAM, line);
    await peer.next(({ streamId, type }) => streamId === 99 && type === T.HEADERS);
    expect(backend.raw().join("")).not.toMatch(/admin|x-own/i);
    expect(backend.requests).toHaveLength(1);
  });
});
