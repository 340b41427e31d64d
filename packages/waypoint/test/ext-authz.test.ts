/** External authorizers: real gRPC and HTTP servers on loopback, asked as the pipeline asks them. */
import { once } from "node:events";
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { ExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import { RBACSchema as HttpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { ExtAuthzSchema as NetworkExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import {
  Authorization,
  type CheckRequest,
  type CheckResponse,
  CheckResponseSchema,
} from "@ambit/envoy-api/envoy/service/auth/v3/external_auth";
import { grpcServiceDefinition } from "@ambit/shared/grpc";
import { eventually } from "@ambit/testing/eventually";
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import {
  Server as GrpcServer,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "@jest/globals";
import { ManualClock } from "../src/balance/test-cluster.ts";
import { evaluateHttp, evaluateTcp } from "../src/policy/evaluate.ts";
import type { ExternalCheck, HttpCheck } from "../src/policy/external/check.ts";
import { externalAuthorizerFromProto } from "../src/policy/external/from-proto.ts";
import { bodyBytesWanted, ExternalAuthorizers, type ExternalVerdict } from "../src/policy/external-authorizer.ts";
import { customPoliciesFromProto, EVERY_REQUEST } from "../src/policy/from-proto.ts";
import type { CustomAuthorization, ExternalAuthorizer, PolicyAttributes } from "../src/policy/model.ts";
import { request } from "./policy-builders.ts";

type Check = (call: CheckRequest) => CheckResponse | Error | undefined | Promise<CheckResponse>;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function grpcServer(check: Check): Promise<{ port: number; calls: CheckRequest[]; server: GrpcServer }> {
  const server = new GrpcServer();
  const calls: CheckRequest[] = [];
  server.addService(grpcServiceDefinition(Authorization), {
    check: async (call: ServerUnaryCall<CheckRequest, CheckResponse>, reply: sendUnaryData<CheckResponse>) => {
      calls.push(call.request);
      const answer = await check(call.request);
      if (answer instanceof Error) reply(answer);
      else if (answer !== undefined) reply(null, answer);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  cleanups.push(() => server.forceShutdown());
  return { port, calls, server };
}

const answer = (json: JsonValue): CheckResponse => fromJson(CheckResponseSchema, json);
const OK = (ok: JsonValue = {}): CheckResponse => answer({ status: {}, okResponse: ok });

async function httpServer(
  handle: (incoming: IncomingMessage, response: ServerResponse) => void,
): Promise<{ port: number; server: HttpServer; connections: () => number }> {
  let connections = 0;
  const server = createServer(handle).on("connection", () => connections++);
  await once(server.listen(0, "127.0.0.1"), "listening");
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port, connections: () => connections };
}

/** Streams to a port of loopback. */
function dialPort(port: number): () => Promise<Duplex> {
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(socket));
    });
}

function authorizers(dial: (cluster: string) => Promise<Duplex>, maxPending?: number): ExternalAuthorizers {
  const created = new ExternalAuthorizers({ dial, ...(maxPending === undefined ? {} : { maxPending }) });
  cleanups.push(() => created.close());
  return created;
}

function authorizer(json: JsonValue): ExternalAuthorizer {
  const parsed = externalAuthorizerFromProto(fromJson(ExtAuthzSchema, json));
  if (!parsed.ok) throw new TypeError(parsed.error);
  return parsed.value;
}
const grpc = (more: Readonly<Record<string, JsonValue>> = {}, timeout = "5s"): CustomAuthorization[] => [
  {
    when: EVERY_REQUEST,
    dryRun: false,
    provider: authorizer({
      grpcService: { envoyGrpc: { clusterName: "outbound|9000||authz.shop", authority: "authz.shop" }, timeout },
      transportApiVersion: "V3",
      ...more,
    }),
  },
];
const http = (
  service: Readonly<Record<string, JsonValue>> = {},
  more: Readonly<Record<string, JsonValue>> = {},
): CustomAuthorization[] => [
  {
    when: EVERY_REQUEST,
    dryRun: false,
    provider: authorizer({
      httpService: { serverUri: { uri: "http://authz.shop", cluster: "authz", timeout: "5s" }, ...service },
      ...more,
    }),
  },
];

const check = (
  attributes: PolicyAttributes = request(),
  more: Partial<HttpCheck> = {},
  signal?: AbortSignal,
): ExternalCheck => ({
  attributes,
  http: { id: "id-1", scheme: "http", protocol: "HTTP/1.1", query: "a=1", ...more },
  ...(signal === undefined ? {} : { signal }),
});

const granted = (verdict: ExternalVerdict): Extract<ExternalVerdict, { kind: "permit" }> => {
  if (verdict.kind !== "permit") throw new Error(verdict.message);
  return verdict;
};

describe("an authorizer asked by gRPC", () => {
  it("is told of the request, and its consent lets it pass", async () => {
    const { port, calls } = await grpcServer(() => OK());
    const attributes = request({
      method: "POST",
      path: "/cart",
      extra: [
        ["x-a", "1"],
        ["x-a", "2"],
        ["cookie", "a=1"],
        ["cookie", "b=2"],
      ],
    });
    const custom = grpc({ includePeerCertificate: true });
    const asked = { ...check(attributes), peerCertificatePem: "-----BEGIN\n" };
    const verdict = granted(await authorizers(dialPort(port)).check(custom, asked));
    expect(calls[0]?.attributes).toMatchObject({
      source: {
        principal: "spiffe://cluster.local/ns/shop/sa/cart",
        certificate: "-----BEGIN%0A",
        address: { address: { value: { address: "10.0.0.7" } } },
      },
      destination: { address: { address: { value: { address: "10.96.0.1", portSpecifier: { value: 80 } } } } },
      request: {
        http: {
          id: "id-1",
          method: "POST",
          path: "/cart?a=1",
          host: "web.shop",
          scheme: "http",
          protocol: "HTTP/1.1",
          headers: { ":method": "POST", ":path": "/cart?a=1", "x-a": "1,2", cookie: "a=1; b=2" },
        },
      },
    });
    expect(verdict).toMatchObject({ query: "a=1", responseHeaders: [], failures: [] });
    expect(verdict.headers).toEqual(attributes.http?.headers.slice(4));
    expect(evaluateHttp({ custom, rules: [] }, attributes, verdict.permit).kind).toBe("permit");
    expect(evaluateHttp({ custom, rules: [] }, attributes).kind).toBe("refuse");
  });

  it("changes the request and the response", async () => {
    const { port } = await grpcServer(() =>
      OK({
        headers: [
          { header: { key: "X-User", value: "al\u00efce" } },
          { header: { key: "x-add", value: "2" }, append: true },
          { header: { key: "x-there", value: "new" }, appendAction: "ADD_IF_ABSENT" },
          { header: { key: "x-raw", rawValue: Buffer.from([0x61, 0xff]).toString("base64") } },
          { header: { key: ":path", value: "/admin" } },
          { header: { key: "host", value: "evil" } },
          { header: { key: "content-length", value: "5" } },
          { header: { key: "transfer-encoding", value: "chunked" } },
        ],
        headersToRemove: ["X-Secret", "host", ":method"],
        responseHeadersToAdd: [
          { header: { key: "x-seen", value: "1" } },
          { header: { key: "content-length", value: "0" } },
        ],
        queryParametersToSet: [{ key: "a", value: "2&b=3" }],
      }),
    );
    const attributes = request({
      extra: [
        ["x-user", "root"],
        ["x-add", "1"],
        ["x-there", "old"],
        ["x-secret", "s"],
      ],
    });
    expect(granted(await authorizers(dialPort(port)).check(grpc(), check(attributes)))).toMatchObject({
      headers: [
        ["x-add", "1"],
        ["x-there", "old"],
        ["x-user", "al\u00c3\u00afce"],
        ["x-add", "2"],
        ["x-raw", "a\u00ff"],
      ],
      query: "a=2%26b%3D3",
      responseHeaders: [["x-seen", "1"]],
    });
  });

  it("denies in its own words", async () => {
    const { port } = await grpcServer(() =>
      answer({
        status: { code: 7 },
        deniedResponse: {
          status: { code: "Unauthorized" },
          headers: [
            { header: { key: "www-authenticate", value: "Bearer" } },
            { header: { key: "content-length", value: "9999" } },
          ],
          body: "no \u2713",
        },
      }),
    );
    expect(await authorizers(dialPort(port)).check(grpc(), check())).toMatchObject({
      kind: "refuse",
      code: "EXTERNAL_AUTHORIZATION_DENIED",
      status: 401,
      headers: [["www-authenticate", "Bearer"]],
      body: Buffer.from("no \u2713"),
      authorizer: "outbound|9000||authz.shop",
    });
  });

  it("denies with 403 when it says no more than that", async () => {
    const { port } = await grpcServer(() => answer({ status: { code: 7 } }));
    expect(await authorizers(dialPort(port)).check(grpc(), check())).toMatchObject({ kind: "refuse", status: 403 });
  });

  it.each([
    ["a status is missing", answer({ okResponse: {} })],
    ["it denies and says OK", answer({ status: {}, deniedResponse: {} })],
    ["it denies with 200", answer({ status: { code: 7 }, deniedResponse: { status: { code: "OK" } } })],
    ["a header would split the request", OK({ headers: [{ header: { key: "x", value: "a\r\nx-admin: 1" } }] })],
    ["a header name is none", OK({ headers: [{ header: { key: "x y", value: "a" } }] })],
    [
      "a response header would split the response",
      OK({ responseHeadersToAdd: [{ header: { key: "x", value: "a\n" } }] }),
    ],
    [
      "a denial's header would split it",
      answer({ status: { code: 7 }, deniedResponse: { headers: [{ header: { key: "x", value: "\r\n" } }] } }),
    ],
  ])("case 40: refuses when %s, even where failures pass", async (_, response) => {
    const { port } = await grpcServer(() => response);
    const verdict = await authorizers(dialPort(port)).check(grpc({ failureModeAllow: true }), check());
    expect(verdict).toMatchObject({ kind: "refuse", code: "EXTERNAL_AUTHORIZATION_FAILED", status: 403 });
  });

  it("keeps one connection for many checks, and more when that is full", async () => {
    const server = await grpcServer(() => OK());
    let dials = 0;
    const dial = dialPort(server.port);
    const pool = authorizers(() => {
      dials++;
      return dial();
    });
    await Promise.all(Array.from({ length: 150 }, () => pool.check(grpc(), check())));
    expect(dials).toBe(1);
    const many = await Promise.all(Array.from({ length: 900 }, () => pool.check(grpc(), check())));
    expect(many.every(({ kind }) => kind === "permit")).toBe(true);
    expect(dials).toBeLessThan(8);
  });

  it("dials again when the server went away", async () => {
    const first = await grpcServer(() => OK());
    let port = first.port;
    const pool = authorizers(() => dialPort(port)());
    granted(await pool.check(grpc(), check()));
    const second = await grpcServer(() => OK());
    port = second.port;
    first.server.forceShutdown();
    await eventually("the second one is asked", async () => {
      const verdict = await pool.check(grpc(), check());
      return verdict.kind === "permit" && second.calls.length > 0;
    });
    expect(second.calls.length).toBe(1);
  });
});

describe("case 38: an authorizer in trouble", () => {
  const silent = () => grpcServer(() => undefined);
  const FAILED = { kind: "refuse", code: "EXTERNAL_AUTHORIZATION_FAILED" };

  it("case 38: is given its time and no more", async () => {
    const { port } = await silent();
    const startedAt = performance.now();
    const custom = grpc({ statusOnError: { code: "ServiceUnavailable" } }, "0.2s");
    const verdict = await authorizers(dialPort(port)).check(custom, check());
    expect(verdict).toMatchObject({ ...FAILED, status: 503 });
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  it("case 38: is given its time when it cannot be dialled, too", async () => {
    const never = new Promise<Duplex>(() => {});
    expect(await authorizers(() => never).check(grpc({}, "0.1s"), check())).toMatchObject(FAILED);
    expect(
      await authorizers(() => never).check(
        http({ serverUri: { uri: "http://a", cluster: "a", timeout: "0.1s" } }),
        check(),
      ),
    ).toMatchObject(FAILED);
  });

  it("case 38: is dialled anew when a dial never ends, and what that brings late is closed", async () => {
    const { port } = await grpcServer(() => OK());
    const clock = new ManualClock();
    const late = Promise.withResolvers<Duplex>();
    let dials = 0;
    const pool = new ExternalAuthorizers({ clock, dial: () => (dials++ === 0 ? late.promise : dialPort(port)()) });
    cleanups.push(() => pool.close());
    const first = pool.check(grpc(), check());
    clock.advance(5_000);
    expect(await first).toMatchObject(FAILED);
    clock.advance(5_000);
    await setImmediate();
    granted(await pool.check(grpc(), check()));
    const [ours] = duplexPair();
    late.resolve(ours);
    await once(ours, "close");
    expect(dials).toBe(2);
  });

  it("case 38: does not dial for ever what closes at once", async () => {
    let dials = 0;
    const pool = authorizers(async () => {
      dials++;
      const [ours, theirs] = duplexPair();
      theirs.destroy();
      return ours;
    });
    expect(await pool.check(grpc(), check())).toMatchObject(FAILED);
    expect(dials).toBeLessThan(20);
  });

  it("case 38: passes in its absence only where that is asked for", async () => {
    const gone = (): Promise<Duplex> => Promise.reject(new Error("nobody there"));
    expect(await authorizers(gone).check(grpc(), check())).toMatchObject({ ...FAILED, status: 403 });
    const open = granted(await authorizers(gone).check(grpc({ failureModeAllow: true }), check()));
    expect(open.failures).toEqual(["outbound|9000||authz.shop: nobody there"]);
    const { port } = await grpcServer(() => Object.assign(new Error("busy"), { code: status.UNAVAILABLE }));
    expect(await authorizers(dialPort(port)).check(grpc(), check())).toMatchObject(FAILED);
    granted(await authorizers(dialPort(port)).check(grpc({ failureModeAllow: true }), check()));
  });

  it("case 38: a flood does not open what fails open", async () => {
    const { port } = await silent();
    const pool = authorizers(dialPort(port), 2);
    const custom = grpc({ failureModeAllow: true }, "0.3s");
    const verdicts = await Promise.all([1, 2, 3].map(() => pool.check(custom, check())));
    expect(verdicts.map(({ kind }) => kind)).toEqual(["permit", "permit", "refuse"]);
    // And is over when those are.
    granted(await pool.check(custom, check()));
  });

  it("case 38: answers with garbage", async () => {
    const server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 200 OK\r\n\r\n\0\0garbage");
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    expect(await authorizers(dialPort(port)).check(grpc(), check())).toMatchObject(FAILED);
  });

  it("case 38: answers at length", async () => {
    const { port } = await grpcServer(() => OK({ headers: [{ header: { key: "x", value: "y".repeat(2_000_000) } }] }));
    expect(await authorizers(dialPort(port)).check(grpc(), check())).toMatchObject(FAILED);
    const endless = await httpServer((_, response) => {
      response.writeHead(403);
      const timer = setInterval(() => response.write("x".repeat(1_000_000)), 1);
      response.on("close", () => clearInterval(timer));
    });
    expect(await authorizers(dialPort(endless.port)).check(http(), check())).toMatchObject(FAILED);
  });

  it("case 38: is not waited for once the client has left", async () => {
    const { port } = await silent();
    const left = new AbortController();
    const pending = authorizers(dialPort(port)).check(grpc(), check(request(), {}, left.signal));
    setTimeout(() => left.abort(), 50);
    await expect(pending).rejects.toMatchObject({ code: "CANCELLED" });
  });
});

describe("case 38: bodies", () => {
  const withBody = (more: Readonly<Record<string, JsonValue>> = {}) =>
    grpc({ withRequestBody: { maxRequestBytes: 8, ...more } });

  it("case 38: tells how much it wants", () => {
    expect(bodyBytesWanted(withBody(), request())).toBe(8);
    expect(bodyBytesWanted(grpc(), request())).toBe(0);
    expect(bodyBytesWanted([{ ...withBody()[0]!, when: [] }], request())).toBe(0);
    expect(bodyBytesWanted(grpc({ withRequestBody: { maxRequestBytes: 4_000_000_000 } }), request())).toBe(16_777_216);
  });

  it("case 38: one that is too long is 413, or cut where that is allowed", async () => {
    const { port, calls } = await grpcServer(() => OK());
    const pool = authorizers(dialPort(port));
    const long = check(request(), { body: { bytes: Buffer.from("12345678"), isComplete: false } });
    expect(await pool.check(withBody(), long)).toMatchObject({ code: "REQUEST_LIMIT_EXCEEDED", status: 413 });
    expect(calls).toHaveLength(0);
    granted(await pool.check(withBody({ allowPartialMessage: true }), long));
    expect(calls[0]?.attributes?.request?.http).toMatchObject({
      body: "12345678",
      headers: { "x-envoy-auth-partial-body": "true" },
    });
  });

  it("case 38: one that was not kept counts as cut", async () => {
    const { port, calls } = await grpcServer(() => OK());
    const pool = authorizers(dialPort(port));
    expect(await pool.check(withBody(), check())).toMatchObject({ status: 413 });
    granted(await pool.check(withBody({ allowPartialMessage: true }), check()));
    expect(calls[0]?.attributes?.request?.http?.headers["x-envoy-auth-partial-body"]).toBe("true");
  });

  it("case 23: a header named __proto__ is a header", async () => {
    const { port, calls } = await grpcServer(() => OK());
    const attributes = request({
      extra: [
        ["__proto__", "x"],
        ["constructor", "y"],
      ],
    });
    const verdict = granted(await authorizers(dialPort(port)).check(grpc(), check(attributes)));
    expect(verdict.headers).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    const seen = Object.entries(calls[0]?.attributes?.request?.http?.headers ?? {});
    expect(seen).toEqual(expect.arrayContaining([["constructor", "y"]]));
  });

  it("case 38: text that is not UTF-8 cannot break the question", async () => {
    const { port, calls } = await grpcServer(() => OK());
    const pool = authorizers(dialPort(port));
    const attributes = request({
      path: "/\xff",
      extra: [
        ["x-\u0062", "caf\xe9"],
        ["x-utf8", "caf\xc3\xa9"],
        ["x-envoy-auth-partial-body", "no"],
      ],
    });
    const body = { bytes: Buffer.from([0x61, 0xff, 0xc0]), isComplete: true };
    granted(await pool.check(withBody(), check(attributes, { body })));
    expect(calls[0]?.attributes?.request?.http).toMatchObject({
      path: "/\ufffd?a=1",
      body: "a\ufffd\ufffd",
      headers: { "x-b": "caf\ufffd", "x-utf8": "caf\u00e9", "x-envoy-auth-partial-body": "false" },
    });
    granted(await pool.check(withBody({ packAsBytes: true }), check(attributes, { body })));
    const packed = calls[1]?.attributes?.request?.http;
    expect([packed?.body, Buffer.from(packed?.rawBody ?? []).toString("hex")]).toEqual(["", "61ffc0"]);
  });
});

describe("an authorizer asked by HTTP", () => {
  const LISTS = {
    pathPrefix: "/check",
    authorizationRequest: { headersToAdd: [{ key: "X-From", value: "mesh" }] },
    authorizationResponse: {
      allowedUpstreamHeaders: { patterns: [{ exact: "X-User" }, { prefix: "x-team-" }] },
      allowedUpstreamHeadersToAppend: { patterns: [{ exact: "x-more" }] },
      allowedClientHeaders: { patterns: [{ exact: "x-reason" }] },
      allowedClientHeadersOnSuccess: { patterns: [{ exact: "set-cookie" }] },
    },
  };

  it("is sent the request's head, and what it adds is taken over", async () => {
    const seen: IncomingMessage[] = [];
    const { port } = await httpServer((incoming, response) => {
      seen.push(incoming);
      response.writeHead(200, [
        ...["x-user", "alice", "x-team-a", "1", "x-more", "2", "x-other", "3"],
        ...["set-cookie", "a", "set-cookie", "b", "x-envoy-auth-headers-to-remove", "x-secret, Host"],
      ]);
      response.end("ignored");
    });
    const attributes = request({
      method: "DELETE",
      path: "/cart",
      extra: [
        ["authorization", "Bearer t"],
        ["x-user", "root"],
        ["x-more", "1"],
        ["x-secret", "s"],
        ["x-token", "t"],
        ["x-from", "client"],
        ["cookie", "c=1"],
      ],
    });
    const custom = http(LISTS, { allowedHeaders: { patterns: [{ exact: "X-Token" }, { exact: "x-from" }] } });
    const verdict = granted(await authorizers(dialPort(port)).check(custom, check(attributes)));
    const [incoming] = seen;
    expect([incoming?.method, incoming?.url]).toEqual(["DELETE", "/check/cart?a=1"]);
    expect(incoming?.headers).toEqual({
      host: "web.shop",
      "content-length": "0",
      authorization: "Bearer t",
      "x-token": "t",
      "x-from": "mesh",
      connection: "keep-alive",
    });
    expect(verdict.headers).toEqual([
      ["authorization", "Bearer t"],
      ["x-more", "1"],
      ["x-token", "t"],
      ["x-from", "client"],
      ["cookie", "c=1"],
      ["x-user", "alice"],
      ["x-team-a", "1"],
      ["x-more", "2"],
    ]);
    expect(verdict.responseHeaders).toEqual([
      ["set-cookie", "a"],
      ["set-cookie", "b"],
    ]);
  });

  it("denies in its own words, as far as the client may see them", async () => {
    const { port } = await httpServer((_, response) => {
      response.writeHead(302, { location: "/login", "x-reason": "none", "x-internal": "1" }).end("go");
    });
    const pool = authorizers(dialPort(port));
    const shown = async (custom: CustomAuthorization[]) => {
      const verdict = await pool.check(custom, check());
      return verdict.kind === "refuse" && [verdict.status, verdict.headers.map(([name]) => name), String(verdict.body)];
    };
    expect(await shown(http(LISTS))).toEqual([302, ["location", "x-reason"], "go"]);
    expect(await shown(http())).toEqual([302, ["location", "x-reason", "x-internal", "date"], "go"]);
  });

  it("is sent a body when it wants one", async () => {
    const bodies: string[] = [];
    const { port } = await httpServer((incoming, response) => {
      incoming.setEncoding("utf8").on("data", (chunk) => bodies.push(`${incoming.headers["content-length"]} ${chunk}`));
      incoming.on("end", () => response.end());
    });
    const custom = http({}, { withRequestBody: { maxRequestBytes: 4, allowPartialMessage: true } });
    const body = { bytes: Buffer.from("12345"), isComplete: true };
    granted(await authorizers(dialPort(port)).check(custom, check(request({ method: "POST" }), { body })));
    expect(bodies).toEqual(["4 1234"]);
  });

  it.each([500, 503, 204, 101])("fails when it answers %d", async (code) => {
    const { port } = await httpServer((incoming, response) => {
      if (code === 101) incoming.socket.end("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
      else response.writeHead(code).end();
    });
    expect(await authorizers(dialPort(port)).check(http(), check())).toMatchObject({
      kind: "refuse",
      code: "EXTERNAL_AUTHORIZATION_FAILED",
    });
  });

  it("uses its connections again, and asks again when one had gone stale", async () => {
    const { port, connections, server } = await httpServer((_, response) => response.end());
    const pool = authorizers(dialPort(port));
    granted(await pool.check(http(), check()));
    granted(await pool.check(http(), check()));
    expect(connections()).toBe(1);
    server.closeAllConnections();
    granted(await pool.check(http(), check()));
    expect(connections()).toBe(2);
  });

  it("is reached over streams that are no sockets", async () => {
    const { server } = await httpServer((_, response) => response.end());
    let dials = 0;
    const pool = authorizers(async () => {
      dials++;
      const [ours, theirs] = duplexPair();
      server.emit("connection", theirs);
      return ours;
    });
    for (let i = 0; i < 3; i++) granted(await pool.check(http(), check()));
    expect(dials).toBe(1);
  });
});

describe("policies that ask", () => {
  const shadow = {
    shadowRules: {
      action: "DENY",
      policies: {
        "istio-ext-authz-mine-ns[shop]-policy[ask]-rule[0]": {
          permissions: [{ urlPath: { path: { prefix: "/admin" } } }],
          principals: [{ any: true }],
        },
        "istio-ext-authz-other-ns[shop]-policy[else]-rule[0]": {
          permissions: [{ any: true }],
          principals: [{ any: true }],
        },
      },
    },
    shadowRulesStatPrefix: "istio_ext_authz_",
  };

  it("are those of the provider's name, and are named in a refusal", async () => {
    const when = customPoliciesFromProto(fromJson(HttpRbacSchema, shadow), "istio-ext-authz-mine");
    if (!when.ok) throw new TypeError(when.error);
    const { port, calls } = await grpcServer(() => answer({ status: { code: 7 } }));
    const pool = authorizers(dialPort(port));
    const custom = [{ ...grpc()[0]!, when: when.value }];
    granted(await pool.check(custom, check()));
    expect(calls).toHaveLength(0);
    expect(await pool.check(custom, check(request({ path: "/admin" })))).toMatchObject({ policy: "shop/ask" });
    granted(await pool.check([{ ...custom[0]!, dryRun: true }], check(request({ path: "/admin" }))));
  });

  it("of the next authorizer see what the one before made of the request", async () => {
    const first = await grpcServer(() => OK({ headers: [{ header: { key: "x-role", value: "admin" } }] }));
    const second = await grpcServer(() => answer({ status: { code: 7 } }));
    const pool = authorizers((cluster) => dialPort(cluster === "second" ? second.port : first.port)());
    const policy = {
      permissions: [{ header: { name: "x-role", stringMatch: { exact: "admin" } } }],
      principals: [{ any: true }],
    };
    const rbac = fromJson(HttpRbacSchema, { shadowRules: { action: "DENY", policies: { p: policy } } });
    const when = customPoliciesFromProto(rbac, "p");
    if (!when.ok) throw new TypeError(when.error);
    const provider = authorizer({ grpcService: { envoyGrpc: { clusterName: "second" }, timeout: "5s" } });
    granted(await pool.check([{ when: when.value, dryRun: false, provider }], check()));
    const verdict = await pool.check([...grpc(), { when: when.value, dryRun: false, provider }], check());
    expect(verdict).toMatchObject({ kind: "refuse", authorizer: "second", policy: "p" });
    expect(second.calls[0]?.attributes?.request?.http?.headers["x-role"]).toBe("admin");
  });

  it("ask about connections, too", async () => {
    const { port, calls } = await grpcServer(() => answer({ status: { code: 7 } }));
    const parsed = externalAuthorizerFromProto(
      fromJson(NetworkExtAuthzSchema, {
        statPrefix: "tcp.",
        grpcService: { envoyGrpc: { clusterName: "authz" }, timeout: "5s" },
        transportApiVersion: "V3",
      }),
    );
    if (!parsed.ok) throw new TypeError(parsed.error);
    const custom = [{ when: EVERY_REQUEST, dryRun: false, provider: parsed.value }];
    const attributes = { ...request(), http: undefined };
    expect(await authorizers(dialPort(port)).check(custom, { attributes })).toMatchObject({ kind: "refuse" });
    expect(calls[0]?.attributes?.request?.http).toBeUndefined();
    expect(evaluateTcp({ custom, rules: [] }, attributes).kind).toBe("refuse");
  });
});

describe("filters that are not understood", () => {
  const GRPC = { grpcService: { envoyGrpc: { clusterName: "a" } } };
  it.each([
    ["no service", {}],
    ["no cluster", { grpcService: { envoyGrpc: {} } }],
    ["Google's gRPC", { grpcService: { googleGrpc: { targetUri: "a" } } }],
    ["a share of requests", { ...GRPC, filterEnabled: { defaultValue: { numerator: 1 } } }],
    ["raw headers", { ...GRPC, encodeRawHeaders: true }],
    ["rules for changes", { ...GRPC, decoderHeaderMutationRules: {} }],
    ["a status that is no error", { ...GRPC, statusOnError: { code: "OK" } }],
    ["no time", { grpcService: { envoyGrpc: { clusterName: "a" }, timeout: "0s" } }],
    [
      "a path prefix that is none",
      { httpService: { serverUri: { uri: "x", cluster: "a", timeout: "1s" }, pathPrefix: "/a?b" } },
    ],
    [
      "a header that splits",
      {
        httpService: {
          serverUri: { uri: "x", cluster: "a", timeout: "1s" },
          authorizationRequest: { headersToAdd: [{ key: "x", value: "a\r\nb: c" }] },
        },
      },
    ],
    ["a matcher that is none", { ...GRPC, allowedHeaders: { patterns: [{}] } }],
  ] as [string, JsonValue][])("are refused: %s", (_, json) => {
    expect(externalAuthorizerFromProto(fromJson(ExtAuthzSchema, json))).toMatchObject({ ok: false });
  });

  it("an empty network filter, too", () => {
    expect(externalAuthorizerFromProto(create(NetworkExtAuthzSchema, {}))).toMatchObject({ ok: false });
  });
});
