/** Events of a request in orders that nobody plans: each side leaves, ends and answers when it likes. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Clock, systemClock } from "@ambit/shared/time";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../src/balance/model.ts";
import type { RetryPolicy } from "../src/retry/index.ts";
import { Apps, authorizer, deny, pause, textOf, until } from "./pipeline-apps.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";

const apps = new Apps();
let waypoint: TestWaypoint;

afterEach(() => {
  waypoint?.stop();
  apps.close();
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

/** Limits of 15 s and 60 s pass in an instant. */
const hurriedClock: Clock = {
  ...systemClock,
  after: (ms, task) => systemClock.after(ms >= 10_000 ? 1_000 : ms, task),
};

const withLimits = (over: Partial<Cluster["circuitBreakers"]>): Partial<Cluster> => ({
  circuitBreakers: { ...clusterOf("x", []).circuitBreakers, ...over },
});

/** Attempts that the balancers count as under way. */
const underWay = (): number =>
  waypoint.traffic.balancers.status().reduce((sum, { breakers }) => sum + breakers.requests.active, 0);

describe("a client that leaves", () => {
  it("while an external authorizer is asked: no bug, nothing kept, told as the client's doing", async () => {
    const asked = Promise.withResolvers<void>();
    const address = await apps.http(() => asked.resolve());
    const chain = httpChain([routeOf(forwardTo("web"))], {
      authorization: { custom: [authorizer("authz")], rules: [] },
    });
    waypoint = await TestWaypoint.start(
      modelOf({ http: chain }, [clusterOf("authz", [endpointAt(address)]), clusterOf("web", [])]),
    );
    const socket = await waypoint.dial();
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await asked.promise;
    socket.destroy(new Error("left"));
    await until(() => waypoint.requests.length > 0, "the record");
    await pause(20);
    expect(waypoint.bugs).toEqual([]);
    expect(waypoint.traffic.live.size).toBe(0);
    expect(waypoint.requests).toMatchObject([
      { status: 0, flags: ["DC"], code: "DOWNSTREAM_RESET", details: "downstream_remote_disconnect" },
    ]);
  });

  it("during a fault's delay: neither upstream nor mirror hears of it", async () => {
    let reached = 0;
    const address = await apps.http((_request, response) => {
      reached += 1;
      response.end();
    });
    const fault = { delay: { ms: 1_500, perMillion: 1_000_000 }, abort: undefined } as const;
    const action = forwardTo("web", { mirrors: [{ cluster: "web", fractionPerMillion: 1_000_000 }] });
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(action, { fault })]) }, [clusterOf("web", [endpointAt(address)])]),
    );
    const socket = await waypoint.dial();
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => waypoint.traffic.live.size === 1, "the request to wait");
    socket.destroy(new Error("left"));
    await pause(1_800);
    expect(reached).toBe(0);
    expect(waypoint.mirrored).toEqual([]);
    expect(waypoint.traffic.live.size).toBe(0);
    expect(underWay()).toBe(0);
  });

  it("while a retry waits: it is not sent", async () => {
    let calls = 0;
    const address = await apps.http((_request, response) => {
      calls += 1;
      response.writeHead(503, { "retry-after": "1" }).end();
    });
    const chain = httpChain([routeOf(forwardTo("web", { retry: RETRY }))]);
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(address)])]));
    const socket = await waypoint.dial();
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => calls === 1, "the first attempt");
    await pause(50);
    socket.destroy(new Error("left"));
    await pause(1_700);
    expect(calls).toBe(1);
    expect(underWay()).toBe(0);
    expect(waypoint.traffic.balancers.status()[0]?.breakers.retries.active).toBe(0);
  });
});

describe("an answer that comes early", () => {
  it("ends a request that is not complete, as an answer and not as a failure", async () => {
    const address = await apps.http((_request, response) => void response.writeHead(413).end("too much"));
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [clusterOf("web", [endpointAt(address)])]),
    );
    const socket = await waypoint.dial();
    const text = textOf(socket);
    socket.write("POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    await until(() => waypoint.requests.length > 0, "the record");
    await until(() => text().includes("413"), "the answer");
    expect(waypoint.requests).toMatchObject([{ status: 413, code: undefined, flags: [], details: "via_upstream" }]);
    await until(() => underWay() === 0, "the attempt's end");
  });

  it("of ours to an unfinished request keeps its own reason in the log", async () => {
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))], { authorization: deny("no") }) }, [clusterOf("web", [])]),
    );
    const socket = await waypoint.dial();
    socket.write("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 9\r\n\r\nx");
    await until(() => waypoint.requests.length > 0, "the record");
    expect(waypoint.requests).toMatchObject([
      { status: 403, code: "POLICY_DENIED", flags: [], details: "rbac_access_denied" },
    ]);
  });

  it("keeps the connection for the next request once the rest of the first came", async () => {
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))], { authorization: deny("no") }) }, [clusterOf("web", [])]),
    );
    const socket = await waypoint.dial();
    const text = textOf(socket);
    socket.write("POST /1 HTTP/1.1\r\nhost: web\r\ncontent-length: 9\r\n\r\nx");
    await until(() => waypoint.requests.length === 1, "the first answer");
    socket.write("yyyyyyyyGET /2 HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => waypoint.requests.length === 2, "the second answer");
    await until(() => text().match(/HTTP\/1\.1 403/g)?.length === 2, "both answers");
    expect(waypoint.requests.map(({ path }) => path)).toEqual(["/1", "/2"]);
  });
});

describe("answers of our own", () => {
  it("end the connection where the request made no sense, and say so", async () => {
    const chain = httpChain([routeOf(forwardTo("web"))], {
      path: { normalization: "base", escapedSlashes: "reject" },
    });
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [])]));
    const socket = await waypoint.dial();
    const text = textOf(socket);
    const ended = once(socket, "end");
    socket.write("GET /a%2fb HTTP/1.1\r\nhost: web\r\n\r\nGET /next HTTP/1.1\r\nhost: web\r\n\r\n");
    await ended;
    expect(text()).toMatch(/^HTTP\/1\.1 400 [\s\S]*connection: close\r\n/);
    expect(waypoint.requests.map(({ path }) => path)).toEqual(["/a%2fb"]);
  });

  it("to a browser of another origin can be read by its page, whatever failed", async () => {
    const cors = {
      allowOrigins: [{ matches: (origin: string) => origin === "https://shop.example", source: "" }],
      allowMethods: "GET",
      allowHeaders: "",
      exposeHeaders: "",
      maxAge: "",
      allowCredentials: false,
      forwardsUnmatchedPreflights: false,
    };
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"), { cors })]) }, [
        clusterOf("web", [endpointAt(await apps.nobody())]),
      ]),
    );
    expect(await waypoint.get("/", { origin: "https://shop.example" })).toMatchObject({
      status: 503,
      headers: { "access-control-allow-origin": "https://shop.example", vary: "origin" },
    });
  });
});

describe("what is told of an end in the middle", () => {
  it("an upstream that breaks off is the upstream's doing", async () => {
    const address = await apps.http((_request, response) => {
      response.write("half of it");
      setTimeout(() => response.destroy(), 20);
    });
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [clusterOf("web", [endpointAt(address)])]),
    );
    await expect(waypoint.get()).rejects.toBeDefined();
    expect(waypoint.requests).toMatchObject([
      { status: 200, flags: ["UC"], code: "UPSTREAM_RESET", details: "upstream_reset_after_response_started" },
    ]);
  });

  it("an idle stream has the flag SI, before the answer and within it", async () => {
    const address = await apps.http((request, response) => {
      if (request.url === "/started") response.write("a part");
    });
    const chain = httpChain([routeOf(forwardTo("web"))], { streamIdleTimeoutMs: 1_000 });
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(address)])]));
    expect(await waypoint.get("/silent")).toMatchObject({ status: 408, body: "stream timeout" });
    await expect(waypoint.get("/started")).rejects.toBeDefined();
    expect(waypoint.requests).toMatchObject([
      { status: 408, flags: ["SI"], code: "REQUEST_TIMEOUT" },
      { status: 200, flags: ["SI"], code: "REQUEST_TIMEOUT", details: "stream_idle_timeout" },
    ]);
    await until(() => underWay() === 0, "the attempts' end");
  });

  it("a deadline that a gRPC caller named ends with DEADLINE_EXCEEDED, counted from the request's head", async () => {
    const address = await apps.http2(() => {});
    const chain = httpChain([routeOf(forwardTo("web", { maximumGrpcTimeoutMs: 0 }))]);
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(address)])]));
    const session = await waypoint.http2();
    const stream = session.request({
      ":method": "POST",
      ":path": "/a/b",
      "content-type": "application/grpc",
      "grpc-timeout": "100m",
    });
    // A stream whose client never half-closes.
    stream.write("x");
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "4" });
    stream.close();
    await until(() => waypoint.requests.length === 1, "the record");
    expect(waypoint.requests).toMatchObject([{ flags: ["UT"], grpcStatus: 4 }]);
  });
});

describe("tries", () => {
  it("have their time-out from when the upstream has the whole request", async () => {
    const address = await apps.http((request, response) => {
      request.resume().on("end", () => response.end("thanks"));
    });
    const retry = { ...RETRY, perTryTimeoutMs: 1_500 };
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web", { retry }))]) }, [clusterOf("web", [endpointAt(address)])]),
    );
    const socket = await waypoint.dial();
    const text = textOf(socket);
    socket.write("PUT / HTTP/1.1\r\nhost: web\r\ncontent-length: 4\r\n\r\n");
    for (const byte of "slow") {
      await pause(450);
      socket.write(byte);
    }
    await until(() => text().includes("thanks"), "the answer");
    expect(waypoint.requests).toMatchObject([{ status: 200, attempts: 1 }]);
  });

  it("that are retries hold their place until they are over, and give it back", async () => {
    const waiting: ServerResponse[] = [];
    let calls = 0;
    const address = await apps.http((request, response) => {
      calls += 1;
      if (request.headers["x-ambit-attempt"] === undefined) response.writeHead(503).end();
      else waiting.push(response);
    });
    const chain = httpChain([routeOf(forwardTo("web", { retry: RETRY }))]);
    const cluster = clusterOf("web", [endpointAt(address)], withLimits({ maximumRetries: 1 }));
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [cluster]));
    const first = waypoint.get();
    await until(() => waiting.length === 1, "the retry under way");
    expect((await waypoint.get()).status).toBe(503);
    expect(calls).toBe(3);
    expect(waypoint.requests).toMatchObject([{ attempts: 1, flags: ["UO"] }]);
    expect(waypoint.limits).toEqual(["web retries"]);
    waiting[0]?.end("at last");
    expect((await first).body).toBe("at last");
    expect(waypoint.traffic.balancers.status()[0]?.breakers.retries.active).toBe(0);
  });

  it("are refused by a full circuit breaker, and metrics hear of it", async () => {
    const held: ServerResponse[] = [];
    const address = await apps.http((_request, response) => void held.push(response));
    const cluster = clusterOf("web", [endpointAt(address)], withLimits({ maximumRequests: 1 }));
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [cluster]));
    const first = waypoint.get();
    await until(() => held.length === 1, "the first to be under way");
    expect(await waypoint.get()).toMatchObject({ status: 503, headers: { "x-envoy-overloaded": "true" } });
    expect(waypoint.limits).toEqual(["web requests"]);
    held[0]?.end();
    await first;
    expect(underWay()).toBe(0);
  });
});

describe("connections to a cluster with few of them", () => {
  it("serve one request after another, and refuse more than may wait", async () => {
    const held: ServerResponse[] = [];
    let connections = 0;
    const server = createServer((_request, response) => void held.push(response));
    server.on("connection", () => {
      connections += 1;
    });
    const limits = withLimits({ maximumConnections: 1, maximumPendingRequests: 1 });
    const cluster = clusterOf("web", [endpointAt(await apps.listening(server))], limits);
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [cluster]));
    const first = waypoint.get();
    await until(() => held.length === 1, "the first");
    const second = waypoint.get();
    await until(() => waypoint.traffic.balancers.status()[0]?.breakers.pending.active === 1, "the second to wait");
    expect((await waypoint.get()).status).toBe(503);
    expect(waypoint.requests).toMatchObject([{ flags: ["UO"], code: "CIRCUIT_OPEN" }]);
    expect(waypoint.limits).toEqual(["web pending"]);
    held[0]?.end("1");
    expect((await first).body).toBe("1");
    await until(() => held.length === 2, "the second");
    held[1]?.end("2");
    expect((await second).body).toBe("2");
    expect(connections).toBe(1);
  });

  it("forget a client that leaves while it waits", async () => {
    const held: ServerResponse[] = [];
    const address = await apps.http((_request, response) => void held.push(response));
    const cluster = clusterOf("web", [endpointAt(address)], withLimits({ maximumConnections: 1 }));
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [cluster]));
    const first = waypoint.get();
    await until(() => held.length === 1, "the first");
    const socket = await waypoint.dial();
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => waypoint.traffic.live.size === 2, "the second to wait");
    socket.destroy(new Error("left"));
    await until(() => waypoint.requests.length === 1, "its record");
    const third = waypoint.get();
    held[0]?.end("1");
    await first;
    await until(() => held.length === 2, "the third");
    held[1]?.end("3");
    expect((await third).body).toBe("3");
    expect(underWay()).toBe(0);
    expect(waypoint.traffic.balancers.status()[0]?.breakers.pending.active).toBe(0);
  });
});

describe("an upgraded connection", () => {
  it("lets the client speak on after the upstream's half-close, and then counts as over", async () => {
    const received = Promise.withResolvers<string>();
    const server = createServer();
    server.on("upgrade", (_request, socket: Socket) => {
      socket.on("error", () => {});
      const text = textOf(socket);
      socket.on("end", () => received.resolve(text()));
      socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nlast words");
    });
    const address = await apps.listening(server);
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [clusterOf("web", [endpointAt(address)])]),
    );
    const socket = await waypoint.dial();
    const text = textOf(socket);
    const ended = once(socket, "end");
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    await ended;
    expect(text()).toMatch(/last words$/);
    socket.end("mine");
    expect(await received.promise).toBe("mine");
    await until(() => underWay() === 0 && waypoint.traffic.live.size === 0, "its end");
    expect(waypoint.requests).toMatchObject([{ status: 101, flags: [], code: undefined }]);
  });
});

describe("a mirror", () => {
  it("that never answers is cut, and its endpoint is counted while it runs", async () => {
    const silent = await apps.http(() => {});
    const address = await apps.http((_request, response) => void response.end("ok"));
    const action = forwardTo("web", { mirrors: [{ cluster: "shadow", fractionPerMillion: 1_000_000 }] });
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(action)]) }, [
        clusterOf("web", [endpointAt(address)]),
        clusterOf("shadow", [endpointAt(silent)]),
      ]),
      { clock: hurriedClock },
    );
    expect((await waypoint.get()).body).toBe("ok");
    expect(underWay()).toBe(1);
    await until(() => waypoint.mirrored.length === 1, "the mirror's end");
    expect(waypoint.mirrored).toEqual([{ cluster: "shadow", code: "CANCELLED" }]);
    expect(underWay()).toBe(0);
  });

  it("is no copy of an upgrade", async () => {
    const server = createServer();
    let upgrades = 0;
    server.on("upgrade", (_request, socket: Socket) => {
      upgrades += 1;
      socket
        .on("error", () => {})
        .end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    });
    const address = await apps.listening(server);
    const action = forwardTo("web", { mirrors: [{ cluster: "web", fractionPerMillion: 1_000_000 }] });
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(action)]) }, [clusterOf("web", [endpointAt(address)])]),
    );
    const socket = await waypoint.dial();
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    await once(socket, "data");
    await pause(50);
    expect(upgrades).toBe(1);
  });
});

describe("a body that an authorizer must see", () => {
  async function startWithAuthorizer(over: Parameters<typeof httpChain>[1] = {}): Promise<string[]> {
    const seen: string[] = [];
    const authz = await apps.http((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        seen.push(Buffer.concat(chunks).toString());
        response.end();
      });
    });
    const address = await apps.http((request, response) => void request.pipe(response));
    const custom = [authorizer("authz", { maximumBodyBytes: 1024 })];
    const chain = httpChain([routeOf(forwardTo("web"))], { authorization: { custom, rules: [] }, ...over });
    waypoint = await TestWaypoint.start(
      modelOf({ http: chain }, [clusterOf("authz", [endpointAt(authz)]), clusterOf("web", [endpointAt(address)])]),
    );
    return seen;
  }

  it("is asked for when its sender holds it back", async () => {
    const seen = await startWithAuthorizer();
    const socket = await waypoint.dial();
    const text = textOf(socket);
    socket.write("POST / HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    await until(() => text().includes("100 Continue"), "the go-ahead");
    socket.write("hello");
    await until(() => text().includes("hello"), "the answer");
    expect(seen).toEqual(["hello"]);
  });

  it("case 38: may not drip for ever", async () => {
    const seen = await startWithAuthorizer({ streamIdleTimeoutMs: 100 });
    const socket = await waypoint.dial();
    const text = textOf(socket);
    socket.write("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 500\r\n\r\n");
    const drip = setInterval(() => socket.write("x"), 20);
    await until(() => text() !== "", "the refusal");
    clearInterval(drip);
    expect(text()).toMatch(/^HTTP\/1\.1 408 /);
    expect(waypoint.requests).toMatchObject([{ status: 408, flags: ["SI"] }]);
    expect(seen).toEqual([]);
  });

  it("is asked for in vain of an authorizer that is away: the failure that lets it pass is in the log", async () => {
    const address = await apps.http((_request, response) => void response.end("ok"));
    const custom = [authorizer("authz", { failsOpen: true })];
    const chain = httpChain([routeOf(forwardTo("web"))], { authorization: { custom, rules: [] } });
    waypoint = await TestWaypoint.start(
      modelOf({ http: chain }, [
        clusterOf("authz", [endpointAt(await apps.nobody())]),
        clusterOf("web", [endpointAt(address)]),
      ]),
    );
    expect((await waypoint.get()).body).toBe("ok");
    expect(waypoint.requests[0]?.dryRun).toHaveLength(1);
  });
});

describe("a long gRPC stream", () => {
  it("has its messages counted while it runs", async () => {
    const address = await apps.http2((stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.from([0, 0, 0, 0, 1, 42]));
    });
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [clusterOf("web", [endpointAt(address)])]),
      { clock: { ...systemClock, after: (ms, task) => systemClock.after(ms === 5_000 ? 50 : ms, task) } },
    );
    const session = await waypoint.http2();
    const stream = session.request({ ":method": "POST", ":path": "/a/b", "content-type": "application/grpc" });
    stream.on("error", () => {});
    await once(stream, "data");
    await until(() => waypoint.progress.includes(1), "the count");
    stream.close();
    await until(() => waypoint.requests.length === 1, "the record");
    expect(waypoint.requests[0]?.messagesCounted).toEqual({ request: 0, response: 1 });
  });
});
