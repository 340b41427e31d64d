/** External authorizers that are slow, bodies that are long, and text that is none, through a whole waypoint. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  Authorization,
  type CheckRequest,
  type CheckResponse,
  CheckResponseSchema,
} from "@ambit/envoy-api/envoy/service/auth/v3/external_auth";
import { grpcServiceDefinition } from "@ambit/shared/grpc";
import { ipOf, type SocketAddress } from "@ambit/shared/net";
import { fromJson } from "@bufbuild/protobuf";
import { Server as GrpcServer, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "@jest/globals";
import { EVERY_REQUEST, type ExternalAuthorizer } from "../src/policy/index.ts";
import { converse, statusesOf } from "./hostile-client.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { type Handle, type RecordingBackend, recordingBackend } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let backend: RecordingBackend;
let cleanups: (() => unknown)[] = [];

afterEach(() => {
  waypoint?.stop();
  for (const cleanup of cleanups) cleanup();
  cleanups = [];
});

const OVER_HTTP: ExternalAuthorizer["transport"] = {
  kind: "http",
  cluster: "authz",
  pathPrefix: "",
  headersToAdd: [],
  upstreamHeaders: [],
  upstreamHeadersToAppend: [],
  clientHeaders: [],
  clientHeadersOnSuccess: [],
};
const OVER_GRPC: ExternalAuthorizer["transport"] = { kind: "grpc", cluster: "authz", authority: "authz" };

async function start(authz: SocketAddress, over: Partial<ExternalAuthorizer> = {}): Promise<void> {
  backend = await recordingBackend();
  cleanups.push(() => backend.close());
  const provider: ExternalAuthorizer = {
    name: "authz",
    transport: OVER_HTTP,
    allowedHeaders: undefined,
    disallowedHeaders: [],
    timeoutMs: 15_000,
    failsOpen: false,
    statusOnError: 403,
    maximumBodyBytes: 0,
    allowsPartialBody: false,
    packsBodyAsBytes: false,
    includesPeerCertificate: false,
    ...over,
  };
  const authorization = { custom: [{ when: EVERY_REQUEST, dryRun: false, provider }], rules: [] };
  const chain = httpChain([routeOf(forwardTo("web"))], { authorization });
  const clusters = [clusterOf("web", [endpointAt(backend.address)]), clusterOf("authz", [endpointAt(authz)])];
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, clusters));
}

async function httpAuthorizer(handle: Handle): Promise<RecordingBackend> {
  const authorizer = await recordingBackend(handle);
  cleanups.push(() => authorizer.close());
  return authorizer;
}

async function grpcAuthorizer(): Promise<{ address: SocketAddress; calls: CheckRequest[] }> {
  const server = new GrpcServer({ "grpc.max_receive_message_length": -1 });
  const calls: CheckRequest[] = [];
  server.addService(grpcServiceDefinition(Authorization), {
    check: (call: ServerUnaryCall<CheckRequest, CheckResponse>, reply: sendUnaryData<CheckResponse>) => {
      calls.push(call.request);
      reply(null, fromJson(CheckResponseSchema, { status: {}, okResponse: {} }));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  cleanups.push(() => server.forceShutdown());
  return { address: { ip: ipOf("127.0.0.1"), port }, calls };
}

const TEN_MB = Buffer.alloc(10 << 20, "0123456789abcdef");
const post = (body: Buffer, framing: string): Buffer =>
  Buffer.concat([Buffer.from(`POST /up HTTP/1.1\r\nhost: web\r\nconnection: close\r\n${framing}\r\n`), body]);
const asChunks = (body: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n0\r\n\r\n")]);
const PATIENT = { quietMs: 400, patienceMs: 4_000 };
const digest = (text: string | Buffer): string =>
  createHash("sha256")
    .update(typeof text === "string" ? Buffer.from(text, "latin1") : text)
    .digest("hex");

describe("an authorizer that is slow", () => {
  it.each([
    ["never answers", () => {}],
    ["begins to answer", (_request: unknown, response: { write(text: string): void }) => response.write("x")],
  ] as const)("case 38: that %s is given its time, then the request is refused", async (_what, handle) => {
    const authorizer = await httpAuthorizer(handle as Handle);
    await start(authorizer.address, { timeoutMs: 200, statusOnError: 418 });
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 10 }, () => waypoint.get("/")));
    const took = performance.now() - began;
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 418));
    expect(took).toBeGreaterThanOrEqual(190);
    expect(took).toBeLessThan(20_000);
    expect(backend.requests).toEqual([]);
  });

  it("case 38: holds back a body of 10 MB in bounded memory meanwhile", async () => {
    const authorizer = await httpAuthorizer(() => {});
    await start(authorizer.address, { timeoutMs: 4_000 });
    const socket = await waypoint.dial();
    socket.on("error", () => {});
    socket.write(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${TEN_MB.length}\r\n\r\n`);
    let written = 0;
    for (let at = 0; at < TEN_MB.length; at += 64 * 1024) {
      const took = new Promise((resolve) => socket.write(TEN_MB.subarray(at, at + 64 * 1024), resolve));
      const stuck = new Promise((resolve) => setTimeout(resolve, 200, "stuck"));
      if ((await Promise.race([took, stuck])) === "stuck") break;
      written = at;
    }
    expect(written).toBeLessThan(4 << 20);
    expect(backend.raw()).toEqual([]);
    await once(socket, "data");
    expect(backend.raw()).toEqual([]);
    socket.destroy();
  });
});

describe("a body of 10 MB", () => {
  it.each([
    ["with its length", post(TEN_MB, `content-length: ${TEN_MB.length}\r\n`)],
    ["in chunks", post(asChunks(TEN_MB), "transfer-encoding: chunked\r\n")],
  ])("case 38: %s is 413 where the authorizer wants all of it and may have 1 MB", async (_what, bytes) => {
    const authorizer = await httpAuthorizer((_request, response) => response.end());
    await start(authorizer.address, { maximumBodyBytes: 1 << 20 });
    expect(statusesOf(await converse(waypoint, bytes, PATIENT))).toEqual([413]);
    expect([authorizer.requests, backend.requests]).toEqual([[], []]);
  });

  it.each([
    ["with its length", post(TEN_MB, `content-length: ${TEN_MB.length}\r\n`)],
    ["in chunks", post(asChunks(TEN_MB), "transfer-encoding: chunked\r\n")],
  ])("case 38: %s is shown in part where that is allowed, and reaches the application whole", async (_what, bytes) => {
    const authorizer = await httpAuthorizer((_request, response) => response.end());
    await start(authorizer.address, { maximumBodyBytes: 1 << 20, allowsPartialBody: true });
    expect(statusesOf(await converse(waypoint, bytes, PATIENT))).toEqual([200]);
    expect(authorizer.requests.map(({ body }) => digest(body))).toEqual([digest(TEN_MB.subarray(0, 1 << 20))]);
    expect(backend.requests.map(({ body }) => digest(body))).toEqual([digest(TEN_MB)]);
    expect(authorizer.requests[0]?.fields).toContain("x-envoy-auth-partial-body: true");
    expect(backend.requests[0]?.fields.some((text) => text.startsWith("x-envoy-auth-partial-body"))).toBe(false);
  });

  it("case 38: the caller cannot say that the authorizer saw all of it", async () => {
    const authorizer = await httpAuthorizer((_request, response) => response.end());
    await start(authorizer.address, { maximumBodyBytes: 4, allowsPartialBody: true });
    const framing = "content-length: 8\r\nx-envoy-auth-partial-body: false\r\n";
    expect(statusesOf(await converse(waypoint, post(Buffer.from("12345678"), framing), PATIENT))).toEqual([200]);
    expect(authorizer.requests[0]?.fields.filter((text) => /partial-body/.test(text))).toEqual([
      "x-envoy-auth-partial-body: true",
    ]);
  });
});

describe("text that is not UTF-8", () => {
  it("case 38: in headers, path and body cannot break a question by gRPC, and the application gets the bytes", async () => {
    const { address, calls } = await grpcAuthorizer();
    await start(address, { transport: OVER_GRPC, maximumBodyBytes: 64, packsBodyAsBytes: false });
    const broken = Buffer.from([0xc3, 0x28, 0xff, 0xfe, 0xed, 0xa0, 0x80, 0xf4, 0x90, 0x80, 0x80]);
    const head = `POST /%ff%c3%28 HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: ${broken.length}\r\nx-text: `;
    const bytes = Buffer.concat([Buffer.from(head), broken, Buffer.from("\r\n\r\n"), broken]);
    expect(statusesOf(await converse(waypoint, bytes, PATIENT))).toEqual([200]);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.attributes?.request?.http).toMatchObject({ path: "/%ff%c3%28", method: "POST" });
    expect(backend.requests[0]?.body).toBe(broken.toString("latin1"));
    expect(backend.requests[0]?.fields).toContain(`x-text: ${broken.toString("latin1")}`);
  });
});
