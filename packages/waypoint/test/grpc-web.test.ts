/** gRPC-Web by a browser's HTTP/1.1, through a whole waypoint, to an application that speaks gRPC. */
import type { Server } from "node:http";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { HttpChain } from "../src/model/route-model.ts";
import { until } from "./http-ends.ts";
import { Apps } from "./pipeline-apps.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { header, rules } from "./policy-builders.ts";

const apps = new Apps();
let waypoint: TestWaypoint;
afterEach(() => {
  waypoint?.stop();
  apps.close();
});

/** A gRPC frame, or with 0x80 the trailers of gRPC-Web. */
function frame(text: string | Buffer, flag = 0): Buffer {
  const payload = Buffer.from(text as string);
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}
const TRAILERS = frame("grpc-status:0\r\ngrpc-message:fine\r\n", 0x80);

interface Seen {
  headers: Readonly<Record<string, unknown>>;
  body: Buffer;
}

/** Sends every call back as it came. */
async function start(over: Partial<HttpChain> = {}, answer?: (stream: ServerHttp2Stream) => void): Promise<Seen[]> {
  const seen: Seen[] = [];
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    if (answer) {
      answer(stream);
      return;
    }
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      seen.push({ headers, body: Buffer.concat(chunks) });
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "fine" }));
      stream.end(Buffer.concat(chunks));
    });
  });
  const address = await apps.listening(server as unknown as Server);
  const chain = httpChain([routeOf(forwardTo("web"))], { translatesGrpcWeb: true, ...over });
  const cluster = clusterOf("web", [endpointAt(address)]);
  const http2 = { ...cluster, http: { ...cluster.http, protocol: "http2" as const } };
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, [http2]));
  return seen;
}

const call = (body: string | Buffer, headers: Readonly<Record<string, string>>) =>
  waypoint.send({ method: "POST", path: "/shop.Cart/Add", headers, body });

/** Each piece of an answer is base64 by itself. */
const plain = (text: string): Buffer =>
  Buffer.concat((text.match(/[^=]+={0,2}/g) ?? []).map((piece) => Buffer.from(piece, "base64")));

describe("a call of gRPC-Web", () => {
  it("reaches the application as gRPC, and its answer's trailers come in the body", async () => {
    const seen = await start();
    const answer = await call(frame("hello"), { "content-type": "application/grpc-web+proto" });
    expect(answer).toMatchObject({ status: 200, headers: { "content-type": "application/grpc-web+proto" } });
    expect(answer.body).toBe(Buffer.concat([frame("hello"), TRAILERS]).toString());
    expect(answer.trailers).toEqual({});
    expect(seen[0]?.body).toEqual(frame("hello"));
    expect(seen[0]?.headers).toMatchObject({ "content-type": "application/grpc+proto", te: "trailers" });
    await until("the record", () => waypoint.requests.length === 1);
  });

  it("may be text, in pieces that were padded by themselves, of any size", async () => {
    const seen = await start();
    const message = frame("x".repeat(3_000_000));
    const pieces = [message.subarray(0, 1000), message.subarray(1000)].map((piece) => piece.toString("base64"));
    const answer = await call(pieces.join(""), { "content-type": "application/grpc-web-text" });
    expect(answer.headers["content-type"]).toBe("application/grpc-web-text+proto");
    expect(plain(answer.body).equals(Buffer.concat([message, TRAILERS]))).toBe(true);
    expect(seen[0]?.body.equals(message)).toBe(true);
  });

  it("that is no base64 never looks complete to the application", async () => {
    const seen = await start();
    await expect(call("!!!!", { "content-type": "application/grpc-web-text" })).rejects.toThrow();
    await until("the record", () => waypoint.requests.length === 1);
    expect(seen).toEqual([]);
    expect(waypoint.bugs).toEqual([]);
  });

  it("whose answer has no body is told its status by the head", async () => {
    await start({}, (stream) => {
      stream.resume();
      const head = { ":status": 200, "content-type": "application/grpc", "grpc-status": "12" };
      stream.respond(head, { endStream: true });
    });
    const answer = await call(frame(""), { "content-type": "application/grpc-web" });
    expect(answer).toMatchObject({ status: 200, body: "", headers: { "grpc-status": "12" } });
    expect(answer.headers["content-type"]).toBe("application/grpc-web+proto");
  });

  it("is judged as what it was sent as, and refused as HTTP", async () => {
    const ofWeb = header("content-type", { exact: "application/grpc-web" });
    await start({ authorization: { custom: [], rules: rules("DENY", { web: { permissions: [ofWeb] } }) } });
    expect((await call(frame(""), { "content-type": "application/grpc-web" })).status).toBe(403);
    expect((await call(frame(""), { "content-type": "application/grpc-web+proto" })).status).toBe(200);
  });

  it("is what it was where the chain does not translate", async () => {
    const seen = await start({ translatesGrpcWeb: false });
    const answer = await call("AAAA", { "content-type": "application/grpc-web-text" });
    expect([answer.body, answer.headers["content-type"]]).toEqual(["AAAA", "application/grpc"]);
    expect(seen[0]?.body.toString()).toBe("AAAA");
  });
});
