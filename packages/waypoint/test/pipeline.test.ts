/** Requests through a whole waypoint: real tunnels, real servers, a route model by hand. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { ErrorCode } from "@ambit/shared/errors";
import { ipOf, type SocketAddress } from "@ambit/shared/net";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { RbacPolicy } from "../src/policy/index.ts";
import type { RetryPolicy } from "../src/retry/index.ts";
import { textOf, until } from "./pipeline-apps.ts";
import {
  AUTHORITY,
  clusterOf,
  endpointAt,
  forwardTo,
  httpChain,
  modelOf,
  routeOf,
  TestWaypoint,
  tcpChain,
} from "./pipeline-fixtures.ts";

const open: { close(): void; closeAllConnections?(): void }[] = [];
let waypoint: TestWaypoint;

afterEach(() => {
  waypoint?.stop();
  for (const server of open.splice(0)) {
    server.closeAllConnections?.();
    server.close();
  }
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function listening(server: Server | ReturnType<typeof createTcpServer>): Promise<SocketAddress> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push(server);
  return { ip: ipOf("127.0.0.1"), port: (server.address() as AddressInfo).port };
}

const app = (handle: Handler): Promise<SocketAddress> => listening(createServer(handle));

/** Answers with what it saw. */
const mirrorApp = (): Promise<SocketAddress> =>
  app((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
    });
  });

async function nobody(): Promise<SocketAddress> {
  const server = createServer();
  const address = await listening(server);
  server.close();
  await once(server, "close");
  return address;
}

const policy = (name: string, matches: RbacPolicy["matches"]): RbacPolicy => ({
  name: `ns[shop]-policy[${name}]-rule[0]`,
  matches,
});

const RETRY: RetryPolicy = {
  conditions: new Set(["connect-failure", "refused-stream", "retriable-status-codes"]),
  statusCodes: new Set([503]),
  retries: 2,
  perTryTimeoutMs: 0,
  backoff: { baseMs: 1, maximumMs: 5 },
  avoidsTriedEndpoints: true,
  hostSelectionAttempts: 5,
  explicit: true,
};

async function startWith(address: SocketAddress, chain = httpChain([routeOf(forwardTo("web"))])): Promise<void> {
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(address)])]));
}

describe("a request through the waypoint", () => {
  it("reaches the application as it was sent, and its answer comes back", async () => {
    await startWith(await mirrorApp());
    const answer = await waypoint.send({ path: "/a?b=c", method: "POST", body: "hello", headers: { "x-own": "1" } });
    const seen = JSON.parse(answer.body) as Record<string, unknown> & { headers: Record<string, string> };
    expect(seen).toMatchObject({ method: "POST", url: "/a?b=c", body: "hello" });
    expect(seen.headers).toMatchObject({ host: "web", "x-own": "1", "x-forwarded-proto": "http" });
    expect(seen.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.status).toBe(200);
    expect(answer.headers["x-envoy-upstream-service-time"]).toMatch(/^\d+$/);
    expect(waypoint.requests).toMatchObject([{ status: 200, attempts: 1, requestBytes: 5, details: "via_upstream" }]);
    expect(waypoint.bugs).toEqual([]);
  });

  it("moves large bodies both ways intact", async () => {
    await startWith(
      await app((request, response) => {
        request.pipe(response);
      }),
    );
    const body = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef");
    const answer = await waypoint.send({ method: "POST", body });
    expect(answer.body.length).toBe(body.length);
    expect(answer.body === body.toString()).toBe(true);
  });

  it("serves HTTP/2 clients over HTTP/2 upstreams, trailers included", async () => {
    const server = createHttp2Server();
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.resume();
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end("frame");
    });
    const address = await listening(server as unknown as Server);
    await startWith(address);
    const session = await waypoint.http2();
    const stream = session.request({
      ":method": "POST",
      ":path": "/pkg.Svc/Do",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.end("x");
    const trailers = once(stream, "trailers");
    const closed = once(stream, "close");
    stream.resume();
    expect(((await trailers) as [Record<string, string>])[0]).toMatchObject({ "grpc-status": "0" });
    await closed;
    expect(waypoint.requests).toMatchObject([{ isGrpc: true, grpcStatus: 0, status: 200 }]);
  });

  it("keeps a client's connection open over several requests", async () => {
    await startWith(await mirrorApp());
    const agent = await waypoint.dial();
    const text = textOf(agent);
    for (const [at, path] of ["/1", "/2", "/3"].entries()) {
      agent.write(`GET ${path} HTTP/1.1\r\nhost: web\r\n\r\n`);
      await until(() => waypoint.requests.length === at + 1, "its record");
    }
    await until(() => text().match(/HTTP\/1\.1 200/g)?.length === 3, "all answers");
    expect(waypoint.requests.map(({ path }) => path)).toEqual(["/1", "/2", "/3"]);
  });
});

describe("refusals", () => {
  it("answers 404 with the reason when no route matches", async () => {
    const chain = httpChain([
      routeOf(forwardTo("web"), {
        match: { ...routeOf(forwardTo("web")).match, path: { kind: "exact", path: "/only", ignoreCase: false } },
      }),
    ]);
    await startWith(await mirrorApp(), chain);
    const answer = await waypoint.get("/other");
    expect(answer.status).toBe(404);
    expect(answer.headers["x-ambit-reason"]).toBe("ROUTE_NOT_FOUND");
    expect(waypoint.requests).toMatchObject([{ status: 404, flags: ["NR"], attempts: 0 }]);
    expect(waypoint.refusals).toMatchObject([
      { code: "ROUTE_NOT_FOUND", source: expect.stringContaining("spiffe://") },
    ]);
  });

  it("names the DENY policy, in the answer, the log and the list of refusals, and nothing reaches the application", async () => {
    let reached = 0;
    const chain = httpChain([routeOf(forwardTo("web"))], {
      authorization: {
        custom: [],
        rules: [
          { action: "deny", enforced: [policy("no-delete", ({ http }) => http?.method === "DELETE")], dryRun: [] },
        ],
      },
    });
    await startWith(
      await app((_request, response) => {
        reached += 1;
        response.end();
      }),
      chain,
    );
    expect((await waypoint.get()).status).toBe(200);
    const denied = await waypoint.send({ method: "DELETE", body: "x" });
    expect(denied).toMatchObject({ status: 403, body: "RBAC: access denied" });
    expect(denied.headers["x-ambit-reason"]).toBe("POLICY_DENIED shop/no-delete");
    expect(waypoint.requests[1]).toMatchObject({ code: "POLICY_DENIED", policy: "shop/no-delete", attempts: 0 });
    expect(waypoint.refusals).toMatchObject([{ code: "POLICY_DENIED", policy: "shop/no-delete" }]);
    expect(reached).toBe(1);
  });

  it("case 28: judges and forwards the same normal form of a path", async () => {
    const chain = httpChain([routeOf(forwardTo("web"))], {
      authorization: {
        custom: [],
        rules: [
          {
            action: "deny",
            enforced: [policy("no-admin", ({ http }) => http?.path.startsWith("/admin") ?? false)],
            dryRun: [],
          },
        ],
      },
    });
    await startWith(await mirrorApp(), chain);
    const tried = ["/admin", "/x/../admin", "/x/%2e%2e/admin", "/%61dmin", "/./admin", "/\\../admin"];
    const answers = await Promise.all(tried.map((path) => rawGet(path)));
    expect(answers.map((text) => /^HTTP\/1\.1 (403|400)/.test(text))).toEqual(tried.map(() => true));
    const harmless = await waypoint.get("/a/../b");
    expect((JSON.parse(harmless.body) as { url: string }).url).toBe("/b");
  });

  it("refuses every request of a chain that it cannot guard", async () => {
    await startWith(
      await mirrorApp(),
      httpChain([routeOf(forwardTo("web"))], { unservable: "filter wasm is not enforced" }),
    );
    const answer = await waypoint.get();
    expect(answer.status).toBe(503);
    expect(answer.headers["x-ambit-reason"]).toBe("CHAIN_UNSERVABLE");
    expect(waypoint.refusals[0]?.message).toContain("wasm");
  });

  it("refuses a tunnel to a destination it does not serve", async () => {
    await startWith(await mirrorApp());
    await expect(waypoint.dial("10.96.0.99:80")).rejects.toThrow("503");
    expect(waypoint.refusals).toMatchObject([{ code: "TUNNEL_DESTINATION_UNKNOWN", destination: "10.96.0.99:80" }]);
  });

  it("answers 500 when the route's cluster does not exist", async () => {
    await startWith(await mirrorApp(), httpChain([routeOf(forwardTo("gone", { missingClusterStatus: 500 }))]));
    expect((await waypoint.get()).status).toBe(500);
    expect(waypoint.requests).toMatchObject([{ flags: ["NC"], code: "CLUSTER_NOT_FOUND" }]);
  });

  it("answers gRPC callers in gRPC", async () => {
    await startWith(await mirrorApp(), httpChain([]));
    const session = await waypoint.http2();
    const stream = session.request({ ":method": "POST", ":path": "/a/b", "content-type": "application/grpc" });
    stream.end();
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "12" });
    stream.close();
  });
});

describe("failures of the upstream", () => {
  it("answers 503 with UF when nobody listens, and tells so", async () => {
    await startWith(await nobody());
    const answer = await waypoint.get();
    expect(answer.status).toBe(503);
    expect(waypoint.requests).toMatchObject([{ flags: ["UF"], code: "UPSTREAM_CONNECT_FAILED", attempts: 1 }]);
  });

  it("tries another endpoint when one cannot be reached, body and all", async () => {
    const good = await mirrorApp();
    const chain = httpChain([routeOf(forwardTo("web", { retry: RETRY }))]);
    const cluster = clusterOf("web", [endpointAt(await nobody()), endpointAt(good)]);
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [cluster]));
    for (let at = 0; at < 4; at++) {
      const answer = await waypoint.send({ method: "POST", body: `body ${at}` });
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body)).toMatchObject({ body: `body ${at}` });
    }
    expect(waypoint.requests.some(({ attempts }) => attempts === 2)).toBe(true);
  });

  it("retries the statuses the route names, at most as often as it says, and flags the end", async () => {
    let calls = 0;
    let recovers = true;
    const address = await app((_request, response) => {
      calls += 1;
      response.statusCode = recovers && calls === 3 ? 200 : 503;
      response.end(`call ${calls}`);
    });
    await startWith(address, httpChain([routeOf(forwardTo("web", { retry: RETRY }))]));
    expect(await waypoint.get()).toMatchObject({ status: 200, body: "call 3" });
    recovers = false;
    expect((await waypoint.get()).status).toBe(503);
    expect(waypoint.requests).toMatchObject([
      { attempts: 3, flags: [] },
      { attempts: 3, flags: ["URX"], status: 503 },
    ]);
  });

  it("drops retries over the budget, and the answer carries the flag", async () => {
    const address = await app((_request, response) => {
      response.statusCode = 503;
      response.end();
    });
    const chain = httpChain([routeOf(forwardTo("web", { retry: RETRY }))]);
    const budget = { percent: 20, intervalMs: 10_000, minimumPerSecond: 0 };
    const cluster = clusterOf("web", [endpointAt(address)], {
      circuitBreakers: { ...clusterOf("x", []).circuitBreakers, retryBudget: budget },
    });
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [cluster]));
    for (let at = 0; at < 50; at++) await waypoint.get();
    const retries = waypoint.requests.reduce((sum, { attempts }) => sum + attempts - 1, 0);
    expect(retries).toBeGreaterThan(0);
    expect(retries).toBeLessThanOrEqual(10);
    expect(waypoint.requests.every(({ flags }) => flags.includes("URX"))).toBe(true);
  });

  it("ends a request that takes too long with 504 and UT", async () => {
    await startWith(await app(() => {}), httpChain([routeOf(forwardTo("web", { timeoutMs: 100 }))]));
    const answer = await waypoint.get();
    expect(answer).toMatchObject({ status: 504, body: "upstream request timeout" });
    expect(waypoint.requests).toMatchObject([{ flags: ["UT"], code: "REQUEST_TIMEOUT" }]);
  });

  it("never lets a truncated answer look complete", async () => {
    await startWith(
      await app((_request, response) => {
        response.write("half of it");
        setTimeout(() => response.destroy(), 20);
      }),
    );
    await expect(waypoint.get()).rejects.toMatchObject({ code: "H2_STREAM_RESET" });
    expect(waypoint.requests).toMatchObject([{ status: 200, flags: ["UC"] }]);
  });

  it("uses a connection again, and once more on a fresh one when the kept one was stale", async () => {
    let connections = 0;
    const server = createServer((_request, response) => response.end("ok"));
    server.on("connection", () => {
      connections += 1;
    });
    server.keepAliveTimeout = 60_000;
    await startWith(await listening(server));
    await waypoint.get();
    await waypoint.get();
    expect(connections).toBe(1);
    server.closeIdleConnections();
    expect((await waypoint.get()).status).toBe(200);
    expect(connections).toBe(2);
  });

  it("cancels the upstream when the client leaves, and logs it as the client's doing", async () => {
    const arrived = Promise.withResolvers<void>();
    const { promise, resolve } = Promise.withResolvers<void>();
    await startWith(
      await app((request) => {
        request.on("close", () => resolve());
        arrived.resolve();
      }),
    );
    const socket = await waypoint.dial();
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await arrived.promise;
    socket.destroy(new Error("left"));
    await promise;
    await until(() => waypoint.requests.length === 1, "the record");
    expect(waypoint.requests).toMatchObject([{ status: 0, flags: ["DC"] }]);
  });
});

describe("what routes do", () => {
  it("splits by weight, down to one in a thousand", async () => {
    const [stable, canary] = await Promise.all([
      app((_request, response) => void response.end("stable")),
      app((_request, response) => void response.end("canary")),
    ]);
    const action = forwardTo("stable", {
      clusters: [
        { ...forwardTo("stable").clusters[0]!, weight: 999 },
        { ...forwardTo("canary").clusters[0]!, weight: 1 },
      ],
    });
    let at = 0;
    const model = modelOf({ http: httpChain([routeOf(action)]) }, [
      clusterOf("stable", [endpointAt(stable)]),
      clusterOf("canary", [endpointAt(canary)]),
    ]);
    // Draws spread evenly over 0..1, so that a share is exact.
    waypoint = await TestWaypoint.start(model, { random: () => (at++ % 1_000) / 1_000 });
    const bodies = [];
    for (let i = 0; i < 50; i++) bodies.push((await waypoint.get()).body);
    expect(bodies.filter((body) => body === "stable").length).toBeGreaterThanOrEqual(49);
  });

  it("redirects and answers by itself", async () => {
    const redirect = routeOf({
      kind: "redirect",
      status: 302,
      scheme: "https",
      host: "new.example",
      port: undefined,
      path: undefined,
      stripsQuery: false,
    });
    await startWith(await mirrorApp(), httpChain([redirect]));
    expect(await waypoint.get("/x?y=1")).toMatchObject({
      status: 302,
      headers: { location: "https://new.example/x?y=1" },
    });
    waypoint.swap(
      modelOf({ http: httpChain([routeOf({ kind: "direct", status: 418, body: Buffer.from("short") })]) }, []),
    );
    expect(await waypoint.get()).toMatchObject({ status: 418, body: "short" });
  });

  it("redirects to the scheme that the user's client used", async () => {
    const redirect = routeOf({
      kind: "redirect",
      status: 301,
      scheme: undefined,
      host: undefined,
      port: undefined,
      path: undefined,
      stripsQuery: false,
    });
    await startWith(await mirrorApp(), httpChain([redirect]));
    expect((await waypoint.get("/a", { "x-forwarded-proto": "https" })).headers.location).toBe("https://web/a");
    expect((await waypoint.get("/a", { "x-forwarded-proto": "gopher" })).headers.location).toBe("http://web/a");
  });

  it("sends a copy to the mirror, whose failure nobody notices", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const shadow = await app((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += String(chunk);
      });
      request.on("end", () => {
        resolve(`${request.method} ${request.url} ${body}`);
        response.destroy();
      });
    });
    const action = forwardTo("web", { mirrors: [{ cluster: "shadow", fractionPerMillion: 1_000_000 }] });
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(action)]) }, [
        clusterOf("web", [endpointAt(await mirrorApp())]),
        clusterOf("shadow", [endpointAt(shadow)]),
      ]),
    );
    const answer = await waypoint.send({ method: "POST", path: "/m", body: "twice" });
    expect(answer.status).toBe(200);
    expect(await promise).toBe("POST /m twice");
  });

  it("injects faults as often as told", async () => {
    const fault = {
      delay: { ms: 50, perMillion: 1_000_000 },
      abort: { status: { kind: "http", code: 555 }, perMillion: 1_000_000 },
    } as const;
    await startWith(await mirrorApp(), httpChain([routeOf(forwardTo("web"), { fault })]));
    const started = performance.now();
    const answer = await waypoint.get();
    expect(performance.now() - started).toBeGreaterThanOrEqual(45);
    expect(answer.status).toBe(555);
    expect(waypoint.requests).toMatchObject([{ flags: ["DI", "FI"], attempts: 0 }]);
  });

  it("passes a WebSocket upgrade, then bytes both ways", async () => {
    const server = createServer();
    server.on("upgrade", (_request, socket: Socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome");
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    await startWith(await listening(server));
    const socket = await waypoint.dial();
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    const text = textOf(socket);
    await until(() => text().endsWith("welcome"), "the application's word");
    socket.write("ping");
    await until(() => text().endsWith("welcomeping"), "the echo");
    expect(text()).toMatch(/^HTTP\/1\.1 101 /);
    socket.end();
  });
});

describe("a change of policy while something runs", () => {
  const denyAll = {
    custom: [],
    rules: [{ action: "deny", enforced: [policy("stop", () => true)], dryRun: [] }],
  } as const;

  it("cuts the stream it would not let in, and names the policy", async () => {
    const address = await app((_request, response) => void response.write("first part"));
    await startWith(address);
    const socket = await waypoint.dial();
    const text = textOf(socket);
    const failed = new Promise((done) => socket.on("error", done));
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => text().includes("first part"), "the first part");
    waypoint.swap(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))], { authorization: denyAll }) }, [
        clusterOf("web", [endpointAt(address)]),
      ]),
    );
    await failed;
    await until(() => waypoint.requests.length === 1, "the record");
    expect(waypoint.requests).toMatchObject([{ code: "POLICY_DENIED", policy: "shop/stop" }]);
    expect(waypoint.refusals).toMatchObject([{ code: ErrorCode.POLICY_DENIED, policy: "shop/stop" }]);
  });

  it("lets what runs finish on the old routes", async () => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    await startWith(await app((_request, response) => resolve(response)));
    const pending = waypoint.get();
    const response = await promise;
    waypoint.swap(modelOf({ http: httpChain([]) }, []));
    response.end("finished");
    expect(await pending).toMatchObject({ status: 200, body: "finished" });
    expect((await waypoint.get()).status).toBe(404);
  });
});

describe("TCP through the waypoint", () => {
  const echo = (): Promise<SocketAddress> =>
    listening(createTcpServer({ allowHalfOpen: true }, (socket) => void socket.on("error", () => {}).pipe(socket)));

  it("passes bytes and half-closes, and counts them", async () => {
    waypoint = await TestWaypoint.start(
      modelOf({ tcp: tcpChain("db") }, [clusterOf("db", [endpointAt(await echo())])]),
    );
    const socket = await waypoint.dial();
    socket.end("bytes");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toBe("bytes");
    await until(() => waypoint.connections.length > 0, "the record");
    expect(waypoint.connections).toMatchObject([{ bytesFromDownstream: 5, bytesFromUpstream: 5, flags: [] }]);
  });

  it("lets a server speak first on a port whose protocol nobody declared", async () => {
    const address = await listening(
      createTcpServer((socket) => void socket.on("error", () => {}).end("220 hello\r\n")),
    );
    waypoint = await TestWaypoint.start(
      modelOf({ tcp: tcpChain("db"), http: httpChain([]) }, [clusterOf("db", [endpointAt(address)])]),
    );
    const socket = await waypoint.dial();
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toBe("220 hello\r\n");
  });

  it("refuses the tunnel itself when policy says no, and cuts a live one when it says so later", async () => {
    const cluster = clusterOf("db", [endpointAt(await echo())]);
    const deny = {
      custom: [],
      rules: [{ action: "deny", enforced: [policy("no-db", () => true)], dryRun: [] }],
    } as const;
    waypoint = await TestWaypoint.start(modelOf({ tcp: tcpChain("db") }, [cluster]));
    const live = await waypoint.dial();
    live.write("x");
    await once(live, "data");
    const closed = new Promise((done) => live.on("close", done));
    waypoint.swap(modelOf({ tcp: tcpChain("db", { authorization: deny }) }, [cluster]));
    await closed;
    await expect(waypoint.dial()).rejects.toThrow("401");
    expect(waypoint.refusals.map(({ policy: name }) => name)).toEqual(["shop/no-db", "shop/no-db"]);
    expect(waypoint.connections[0]).toMatchObject({ code: "POLICY_DENIED", policy: "shop/no-db" });
  });

  it("tries another endpoint when one cannot be reached", async () => {
    const cluster = clusterOf("db", [endpointAt(await nobody()), endpointAt(await echo())]);
    waypoint = await TestWaypoint.start(modelOf({ tcp: tcpChain("db") }, [cluster]));
    for (let at = 0; at < 3; at++) {
      const socket = await waypoint.dial();
      socket.end("x");
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      expect(text).toBe("x");
    }
  });
});

/** Bytes as they are: node's client would normalise them. */
async function rawGet(path: string): Promise<string> {
  const socket = await waypoint.dial(AUTHORITY);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}
