/** What policies see, when they are asked, and what becomes of traffic when they change. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { connect as connectTls } from "node:tls";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { RouteModel } from "../src/model/route-model.ts";
import type { RbacPolicy, RuleSet } from "../src/policy/index.ts";
import { compilePattern, NO_MUTATIONS } from "../src/route/index.ts";
import { Apps, authorizer, deny, pause, textOf, until } from "./pipeline-apps.ts";
import {
  clusterOf,
  endpointAt,
  forwardTo,
  httpChain,
  modelOf,
  routeOf,
  TestWaypoint,
  tcpChain,
} from "./pipeline-fixtures.ts";

const apps = new Apps();
let waypoint: TestWaypoint;

afterEach(() => {
  waypoint?.stop();
  apps.close();
});

const costly: RbacPolicy["matches"] = () => {
  throw new MeshError(ErrorCode.REQUEST_LIMIT_EXCEEDED, "too long for an expression", { origin: "downstream" });
};
const echo = () => apps.tcp((socket) => void socket.pipe(socket));
const closed = (socket: Duplex): Promise<void> =>
  new Promise((resolve) => socket.on("error", () => {}).on("close", () => resolve()));
const hello = () => apps.http((_request, response) => void response.end("hello"));

describe("what policies and routes see", () => {
  it("case 35: an expression that would cost too much refuses the request, with the code that says so", async () => {
    const pattern = compilePattern("(?:[a-z]{1,900})+x");
    if (!pattern.ok) throw new Error(pattern.error);
    const matcher = { matches: (text: string) => pattern.value.matchesAll(text) };
    const match = { ...routeOf(forwardTo("web")).match, path: { kind: "pattern", matcher } as never };
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"), { match })]) }, [clusterOf("web", [])]),
    );
    expect((await waypoint.get(`/${"a".repeat(20_000)}`)).headers["x-ambit-reason"]).toBe("REQUEST_LIMIT_EXCEEDED");
    expect(waypoint.bugs).toEqual([]);
    expect(waypoint.requests).toMatchObject([{ status: 431, code: "REQUEST_LIMIT_EXCEEDED" }]);
  });

  it("is one text: the authority with its port, for header matchers of both", async () => {
    const seen: (string | undefined)[] = [];
    const authorityIn = (headers: readonly (readonly [string, string])[]) =>
      headers.find(([name]) => name === ":authority")?.[1];
    const route = routeOf(forwardTo("web"), {
      match: {
        ...routeOf(forwardTo("web")).match,
        headers: [{ name: ":authority", source: "", matches: (headers) => seen.push(authorityIn(headers)) > 0 }],
      },
    });
    const authorization = deny("none", ({ http }) => seen.push(authorityIn(http?.headers ?? [])) === 0);
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([route], { authorization }) }, [clusterOf("web", [endpointAt(await hello())])]),
    );
    await waypoint.get("/", { host: "WEB:80" });
    expect(seen).toEqual(["web:80", "web:80"]);
  });

  it.each([
    [undefined, "127.0.0.1"],
    [1, "10.9.9.1"],
    [2, "10.9.9.0"],
    [3, "127.0.0.1"],
  ] as const)("with %s trusted hops the remote address is %s", async (trustedHops, expected) => {
    const seen: string[] = [];
    const chain = httpChain([routeOf(forwardTo("web"))], {
      ...(trustedHops === undefined ? {} : { trustedHops }),
      authorization: deny("none", ({ remoteIp, sourceIp }) => seen.push(remoteIp, sourceIp) === 0),
    });
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(await hello())])]));
    await waypoint.get("/", { "x-forwarded-for": "10.9.9.0, 10.9.9.1 ,10.9.9.2" });
    expect(seen).toEqual([expected, "127.0.0.1"]);
  });

  it("a route's rules hold beside the chain's, and instead of those of a filter that it names", async () => {
    const saysNo = (name: string, filter: string) => ({ ...deny(name).rules[0]!, filter });
    const routeWith = (replaced: readonly string[], rules: readonly RuleSet[]) =>
      modelOf(
        {
          http: httpChain([routeOf(forwardTo("web"), { authorization: { replaced: new Set(replaced), rules } })], {
            authorization: { custom: [], rules: [saysNo("of-the-chain", "rbac")] },
          }),
        },
        [cluster],
      );
    const cluster = clusterOf("web", [endpointAt(await hello())]);
    waypoint = await TestWaypoint.start(routeWith(["route_rbac"], []));
    expect((await waypoint.get()).headers["x-ambit-reason"]).toBe("POLICY_DENIED shop/of-the-chain");
    waypoint.swap(routeWith(["rbac"], []));
    expect((await waypoint.get()).status).toBe(200);
    waypoint.swap(routeWith(["rbac"], [saysNo("of-the-route", "rbac")]));
    expect((await waypoint.get()).headers["x-ambit-reason"]).toBe("POLICY_DENIED shop/of-the-route");
  });

  it("tells a caller that may not come in nothing of the routes there are", async () => {
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([], { authorization: deny("no") }) }, []));
    expect((await waypoint.get("/unknown")).status).toBe(403);
  });

  it("sets what the route says on its own answers too", async () => {
    const added = { remove: [], set: [{ name: "x-route", value: ["direct"] }], append: [] };
    const headers = { ...NO_MUTATIONS, response: added };
    const route = routeOf({ kind: "direct", status: 200, body: Buffer.from("hi") }, { headers });
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([route]) }, []));
    expect(await waypoint.get()).toMatchObject({ body: "hi", headers: { "x-route": "direct" } });
  });
});

describe("a change of policy", () => {
  it("while an external authorizer is asked: the request is judged by it", async () => {
    const asked: ServerResponse[] = [];
    let reached = 0;
    const authz = await apps.http((_request, response) => void asked.push(response));
    const web = await apps.http((_request, response) => {
      reached += 1;
      response.end();
    });
    const clusters = [clusterOf("authz", [endpointAt(authz)]), clusterOf("web", [endpointAt(web)])];
    const custom = [authorizer("authz")];
    const routes = [routeOf(forwardTo("web"))];
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain(routes, { authorization: { custom, rules: [] } }) }, clusters),
    );
    const pending = waypoint.get();
    pending.catch(() => {});
    await until(() => asked.length === 1, "the question");
    waypoint.swap(modelOf({ http: httpChain(routes, { authorization: { ...deny("stop"), custom } }) }, clusters));
    asked[0]?.end();
    await expect(pending).rejects.toBeDefined();
    expect(reached).toBe(0);
    expect(waypoint.requests).toMatchObject([
      { code: "POLICY_DENIED", details: "policy_changed", policy: "shop/stop" },
    ]);
    expect(waypoint.traffic.live.size).toBe(0);
  });

  it.each([
    ["whose expression would cost too much", { authorization: deny("x", costly) }, "REQUEST_LIMIT_EXCEEDED"],
    ["of a chain that cannot be guarded", { unservable: "filter wasm" }, "CHAIN_UNSERVABLE"],
  ] as const)("%s cuts what runs, and nothing else breaks", async (_what, over, code) => {
    const address = await apps.http((_request, response) => void response.write("first part"));
    const clusters = [clusterOf("web", [endpointAt(address)])];
    const routes = [routeOf(forwardTo("web"))];
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain(routes) }, clusters));
    const sockets = [await waypoint.dial(), await waypoint.dial()];
    const texts = sockets.map(textOf);
    const failed = sockets.map((socket) => new Promise((done) => socket.on("error", done)));
    for (const socket of sockets) socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => texts.every((text) => text().includes("first part")), "both under way");
    waypoint.swap(modelOf({ http: httpChain(routes, over) }, clusters));
    await Promise.all(failed);
    await until(() => waypoint.requests.length === 2, "both records");
    expect(waypoint.requests).toMatchObject([{ code }, { code }]);
  });

  it("to plain TCP judges requests under way by its rules; new ones hear that there is no such port", async () => {
    const held: ServerResponse[] = [];
    const address = await apps.http((_request, response) => void held.push(response));
    const clusters = [clusterOf("web", [endpointAt(address)])];
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, clusters));
    const socket = await waypoint.dial();
    const first = waypoint.send({}, socket);
    await until(() => held.length === 1, "the request under way");
    waypoint.swap(modelOf({ tcp: tcpChain("web") }, clusters));
    held[0]?.end("done");
    expect((await first).body).toBe("done");
    waypoint.swap(modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, clusters));
    const kept = await waypoint.dial();
    const text = textOf(kept);
    kept.write("GET /1 HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => held.length === 2, "another");
    held[1]?.end("one");
    await until(() => text().includes("one"), "its answer");
    waypoint.swap(modelOf({}, clusters));
    kept.write("GET /2 HTTP/1.1\r\nhost: web\r\n\r\n");
    await until(() => text().includes("HTTP/1.1 404 "), "the refusal");
    await until(() => waypoint.requests.at(-1)?.status === 404, "its record");
    expect(waypoint.requests.at(-1)).toMatchObject({ status: 404, code: "TUNNEL_DESTINATION_UNKNOWN", path: "/2" });
  });
});

describe("TCP", () => {
  const startTcp = async (model: RouteModel): Promise<void> => {
    waypoint = await TestWaypoint.start(model);
  };

  it("refuses a connection whose policy cannot be evaluated, and lives on", async () => {
    const cluster = clusterOf("db", [endpointAt(await echo())]);
    await startTcp(modelOf({ tcp: tcpChain("db", { authorization: deny("x", costly) }) }, [cluster]));
    await expect(waypoint.dial()).rejects.toThrow("401");
    expect(waypoint.connections).toMatchObject([{ code: "REQUEST_LIMIT_EXCEEDED" }]);
  });

  it("answers a chain that it cannot guard with 503", async () => {
    await startTcp(modelOf({ tcp: tcpChain("db", { unservable: "filter x" }) }, []));
    await expect(waypoint.dial()).rejects.toThrow("503");
  });

  it("judges what still dials when policy changes", async () => {
    const cluster = clusterOf("db", [endpointAt(await echo())]);
    const dialling = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    await startTcp(modelOf({ tcp: tcpChain("db") }, [cluster]));
    const { traffic } = waypoint;
    const open = traffic.open.bind(traffic);
    traffic.open = async (...init) => {
      dialling.resolve();
      await go.promise;
      return open(...init);
    };
    const socket = await waypoint.dial();
    socket.on("error", () => {});
    await dialling.promise;
    waypoint.swap(modelOf({ tcp: tcpChain("db", { authorization: deny("late") }) }, [cluster]));
    go.resolve();
    await closed(socket);
    expect(waypoint.connections).toMatchObject([
      { code: "POLICY_DENIED", policy: "shop/late", bytesFromUpstream: 0, flags: [] },
    ]);
    expect(waypoint.refusals).toHaveLength(1);
    expect(traffic.balancers.status()[0]?.breakers.connections.active).toBe(0);
  });

  it("is cut by policy without blame on either side, and ends when the port becomes HTTP", async () => {
    const cluster = clusterOf("db", [endpointAt(await echo())]);
    await startTcp(modelOf({ tcp: tcpChain("db") }, [cluster]));
    const sockets = [await waypoint.dial(), await waypoint.dial()];
    for (const socket of sockets) {
      socket.on("error", () => {}).write("x");
      await once(socket, "data");
    }
    const bothClosed = Promise.all(sockets.map(closed));
    waypoint.swap(modelOf({ http: httpChain([]) }, [cluster]));
    await bothClosed;
    await until(() => waypoint.connections.length === 2, "both records");
    expect(waypoint.connections).toMatchObject([
      { code: "TUNNEL_DESTINATION_UNKNOWN", bytesFromDownstream: 1 },
      { code: "TUNNEL_DESTINATION_UNKNOWN", bytesFromDownstream: 1 },
    ]);
    expect(waypoint.connections.flatMap(({ flags }) => flags)).toEqual([]);
  });

  it("ends idle connections in order: neither side failed", async () => {
    const cluster = clusterOf("db", [endpointAt(await echo())]);
    await startTcp(modelOf({ tcp: tcpChain("db", { idleTimeoutMs: 50 }) }, [cluster]));
    const socket = await waypoint.dial();
    await closed(socket);
    await until(() => waypoint.connections.length === 1, "the record");
    expect(waypoint.connections).toMatchObject([{ flags: [], code: undefined, details: "idle_timeout" }]);
  });

  it("keeps a client on one endpoint where its address is hashed", async () => {
    const answers = await Promise.all(
      ["a", "b", "c", "d"].map((name) => apps.tcp((socket: Socket) => void socket.end(name))),
    );
    const cluster = clusterOf(
      "db",
      answers.map((address) => endpointAt(address)),
      { algorithm: { kind: "maglev", tableSize: 251 } },
    );
    await startTcp(modelOf({ tcp: tcpChain("db", { hashesSourceIp: true }) }, [cluster]));
    const names = new Set<string>();
    for (let at = 0; at < 8; at++) {
      const socket = await waypoint.dial();
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      names.add(text);
    }
    expect(names.size).toBe(1);
  });

  it("judges by the TLS server name on a declared port too, and tells of it", async () => {
    const cluster = clusterOf("db", [endpointAt(await echo())]);
    const authorization = deny("bad-name", ({ sni }) => sni === "bad.example", { readsServerName: true });
    await startTcp(modelOf({ tcp: tcpChain("db", { authorization }) }, [cluster]));
    for (const servername of ["good.example", "bad.example"]) {
      // The application echoes its hello, or policy cuts it: it ends either way.
      const client = connectTls({ socket: await waypoint.dial(), servername });
      await closed(client);
    }
    await until(() => waypoint.connections.length === 2, "both records");
    expect(waypoint.connections).toMatchObject([
      { requestedServerName: "good.example", policy: undefined },
      { requestedServerName: "bad.example", code: "POLICY_DENIED", policy: "shop/bad-name" },
    ]);
  });

  it("cannot be talked past a server name by waiting, or by naming it bit by bit", async () => {
    let reached = 0;
    const address = await apps.tcp(
      (socket) =>
        void socket.on("data", (chunk: Buffer) => {
          reached += chunk.length;
        }),
    );
    const authorization = deny("bad-name", ({ sni }) => sni === "bad.example", { readsServerName: true });
    waypoint = await TestWaypoint.start(
      modelOf({ tcp: tcpChain("db", { authorization }) }, [clusterOf("db", [endpointAt(address)])]),
      { limits: { sniffTimeoutMs: 1_000, maxUpstreamConnections: 100, replayBytes: 1024 * 1024 } },
    );
    const hello = await clientHello("bad.example");
    for (const first of [0, 40]) {
      const socket = await waypoint.dial();
      if (first > 0) socket.write(hello.subarray(0, first));
      await pause(1_300);
      socket.write(hello.subarray(first));
      await closed(socket);
    }
    await until(() => waypoint.connections.length === 2, "both records");
    expect(waypoint.connections.map(({ policy, requestedServerName }) => [policy, requestedServerName])).toEqual([
      ["shop/bad-name", "bad.example"],
      ["shop/bad-name", "bad.example"],
    ]);
    expect(reached).toBe(40);
  });

  it("goes exactly where the tunnel pointed in clusters without endpoints", async () => {
    const at = (port: number): string => `127.0.0.3:${port}`;
    const { port } = await apps.tcp((socket) => void socket.pipe(socket), "0.0.0.0");
    const model = modelOf({}, [clusterOf("direct", [], { original: true })]);
    await startTcp({ ...model, findChains: () => ({ tcp: tcpChain("direct") }) });
    const socket = await waypoint.dial(at(port));
    socket.write("there");
    expect(String(await once(socket, "data"))).toBe("there");
    socket.destroy();
    const http = await apps.http((_request, response) => void response.end("hello"), "0.0.0.0");
    waypoint.swap({ ...model, findChains: () => ({ http: httpChain([routeOf(forwardTo("direct"))]) }) });
    expect((await waypoint.send({}, await waypoint.dial(at(http.port)))).body).toBe("hello");
    expect(waypoint.requests).toMatchObject([{ upstreamHost: at(http.port) }]);
  });
});

describe("what is no request", () => {
  it("is counted and told once, with the status it was answered with", async () => {
    const chain = httpChain([routeOf(forwardTo("web"))]);
    const address = await apps.http((request, response) => void request.pipe(response));
    waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(address)])]));
    const answers: string[] = [];
    for (const text of [
      "GET / HTTP/1.1\r\n\r\n",
      "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
    ]) {
      const socket = await waypoint.dial();
      socket.on("error", () => {}).write(text);
      answers.push(String((await once(socket, "data"))[0]).slice(9, 12));
    }
    await until(() => waypoint.requests.length === 3, "the records");
    await pause(20);
    expect(answers).toEqual(["400", "405", "400"]);
    expect(waypoint.requests).toMatchObject([
      { status: 400, flags: ["DPE"], code: "REQUEST_MALFORMED", method: "" },
      { status: 405, flags: ["DPE"], method: "" },
      { status: 400, flags: ["DPE"], code: "REQUEST_MALFORMED", method: "POST" },
    ]);
    expect(waypoint.refusals).toHaveLength(3);
  });
});

describe("draining", () => {
  it("serves the request that comes in a tunnel accepted just before, and says that it was the last", async () => {
    waypoint = await TestWaypoint.start(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [clusterOf("web", [endpointAt(await hello())])]),
    );
    const socket = await waypoint.dial();
    waypoint.traffic.drain();
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toContain("hello");
  });

  it("counts our own calls, and forgets them when they end", async () => {
    const cluster = clusterOf("own", [endpointAt(await echo())]);
    waypoint = await TestWaypoint.start(modelOf({}, [cluster, clusterOf("none", [endpointAt(await apps.nobody())])]));
    const active = () =>
      waypoint.traffic.balancers.status().reduce((sum, { breakers }) => sum + breakers.connections.active, 0);
    const stream = await waypoint.traffic.dialCluster("own");
    expect(active()).toBe(1);
    stream.destroy();
    await once(stream, "close");
    expect(active()).toBe(0);
    await expect(waypoint.traffic.dialCluster("none")).rejects.toMatchObject({ code: "UPSTREAM_CONNECT_FAILED" });
    expect(active()).toBe(0);
  });
});

/** What a TLS client says first. */
async function clientHello(servername: string): Promise<Buffer> {
  const [near, far] = duplexPair();
  connectTls({ socket: near, servername }).on("error", () => {});
  const [hello] = (await once(far, "data")) as [Buffer];
  near.destroy();
  return hello;
}
