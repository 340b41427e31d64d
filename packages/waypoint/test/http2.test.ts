/** The HTTP/2 codecs, frame by frame against peers that break rules, and against each other. */
import { once } from "node:events";
import { connect } from "node:net";
import { ErrorCode } from "@ambit/shared/errors";
import { H2Code, type HeaderList } from "@ambit/shared/http2";
import { afterEach, describe, expect, it } from "@jest/globals";
import {
  defaultHttp2Options,
  type OutgoingRequest,
  type ServeOptions,
  type UpstreamConnection,
} from "../src/http/index.ts";
import {
  answer,
  cancelled,
  type DownstreamLog,
  type OwnServer,
  ownClient,
  ownServer,
  rawServer,
  UpstreamLog,
  until,
} from "./http-ends.ts";
import { END_HEADERS, END_STREAM, RawPeer, rawFields, rawFrame, T, u32 } from "./http-raw-peer.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

const GET: HeaderList = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a"],
];
const POST: HeaderList = [[":method", "POST"], ...GET.slice(1)];
const WEBSOCKET: HeaderList = [[":method", "CONNECT"], [":protocol", "websocket"], ...GET.slice(1)];
const without = (list: HeaderList, gone: string): HeaderList => list.filter(([name]) => name !== gone);
const changed = (list: HeaderList, name: string, value: string): HeaderList =>
  list.map((field) => (field[0] === name ? [name, value] : field));

interface Ends {
  readonly server: OwnServer;
  readonly peer: RawPeer;
}

async function served(handler: (log: DownstreamLog) => void, init: Partial<ServeOptions> = {}): Promise<Ends> {
  const server = await ownServer("http2", handler, init);
  const socket = connect({ port: server.port, host: "127.0.0.1", noDelay: true });
  closers.push(() => {
    socket.destroy();
    server.close();
  });
  await once(socket, "connect");
  return { server, peer: await RawPeer.client(socket) };
}
const receive = (log: DownstreamLog): void => log.exchange.receive(log);

/** Literal fields of a response as our encoder writes them are not decoded here; only texts are looked for. */
const headersOf = async (peer: RawPeer, streamId: number): Promise<string> =>
  (await peer.next(({ type, streamId: id }) => type === T.HEADERS && id === streamId)).payload.toString("latin1");

describe("a request by HTTP/2", () => {
  it("becomes the same head as by HTTP/1, its cookie in one piece", async () => {
    const { server, peer } = await served(receive);
    const fields: HeaderList = [
      ["cookie", "a=1"],
      ["x-one", "1"],
      ["cookie", "b=2"],
      ["te", "trailers"],
      ["host", "a"],
      ["content-length", "3"],
      ["cookie", "c=3"],
    ];
    peer.headers(1, 0, [...changed(POST, ":path", "/x?y"), ...fields]);
    await until("the request", () => server.logs.length === 1);
    expect(server.logs[0]?.exchange.head).toEqual({
      version: "HTTP/2",
      method: "POST",
      scheme: "http",
      authority: "a",
      path: "/x?y",
      headers: [
        ["cookie", "a=1; b=2; c=3"],
        ["x-one", "1"],
        ["te", "trailers"],
        ["content-length", "3"],
      ],
      expectsContinue: false,
    });
    expect(server.logs[0]?.exchange.bodyLength).toBe(3);
  });

  it.each<[string, HeaderList]>([
    ["case 23: an upper-case name", [...GET, ["X-One", "1"]]],
    ["case 23: a duplicate :authority", [...GET, [":authority", "b"]]],
    ["case 23: a pseudo-header after a field", [...without(GET, ":path"), ["x", "y"], [":path", "/"]]],
    ["case 23: CR and LF in a value", [...GET, ["x", "a\r\ny: b"]]],
    ["case 23: NUL in a value", [...GET, ["x", "a\0"]]],
    ["case 23: a control character in a value", [...GET, ["x", "a\x01b"]]],
    ["case 23: LF in a name", [...GET, ["x\ny", "a"]]],
    ["case 23: connection", [...GET, ["connection", "close"]]],
    ["case 23: transfer-encoding", [...POST, ["transfer-encoding", "chunked"]]],
    ["case 23: te other than trailers", [...GET, ["te", "gzip"]]],
    ["case 23: no :path", without(GET, ":path")],
    ["case 23: an empty :path", changed(GET, ":path", "")],
    ["case 23: no :method", without(GET, ":method")],
    ["case 23: no :scheme", without(GET, ":scheme")],
    ["case 23: a :path with a blank", changed(GET, ":path", "/a HTTP/1.1")],
    ["case 23: a :path with a line end", changed(GET, ":path", "/a\r\nx: y")],
    ["case 23: a :path without a slash", changed(GET, ":path", "a")],
    ["case 23: * with GET", changed(GET, ":path", "*")],
    ["case 28: a :path with a fragment", changed(GET, ":path", "/a#b")],
    ["case 32: a lower-case method", changed(GET, ":method", "get")],
    ["case 32: a method with a line end", changed(GET, ":method", "GET / HTTP/1.1\r\nx: y")],
    ["case 30: two Content-Lengths", [...POST, ["content-length", "3"], ["content-length", "3"]]],
    ["case 30: Content-Length +3", [...POST, ["content-length", "+3"]]],
    ["two Hosts", [...GET, ["host", "a"], ["host", "a"]]],
    [":protocol with GET", [...GET, [":protocol", "websocket"]]],
  ])("is reset, and the connection lives: %s", async (_, fields) => {
    const { server, peer } = await served(receive);
    peer.headers(1, END_STREAM, fields);
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    expect([server.logs.length, await peer.alive()]).toEqual([0, true]);
  });

  it.each<[string, HeaderList, number]>([
    ["case 29: :authority and Host that differ", [...GET, ["host", "b"]], 400],
    ["case 29: neither", without(GET, ":authority"), 400],
    ["case 29: user information in :authority", changed(GET, ":authority", "u@a"), 400],
    ["case 29: a path in :authority", changed(GET, ":authority", "a/b"), 400],
    [
      "CONNECT",
      [
        [":method", "CONNECT"],
        [":authority", "a:1"],
      ],
      405,
    ],
    ["an unknown expectation", [...GET, ["expect", "wonders"]], 417],
    ["case 36: 101 fields", [...GET, ...Array<readonly [string, string]>(101).fill(["x", "y"])], 431],
    ["case 36: 62 KiB of fields", [...GET, ["x", "y".repeat(62_000)]], 431],
  ])("is answered by the codec: %s", async (_, fields, status) => {
    const { server, peer } = await served(receive);
    peer.headers(1, END_STREAM, fields);
    await headersOf(peer, 1);
    expect(server.logs.length).toBe(0);
    expect(server.refused.map(({ context }) => context["status"])).toEqual([status]);
    // The request had ended: nothing is left to reset.
    expect(await peer.alive()).toBe(true);
    expect(peer.frames.filter(({ type }) => type === T.RST)).toEqual([]);
  });

  it.each([
    ["longer", "4", [["abcde", 0]]],
    ["shorter", "4", [["abc", END_STREAM]]],
    ["shorter, by trailers", "4", [["abc", 0], "trailers"]],
    ["absent", "4", [["", END_STREAM]]],
  ] as const)("whose body is %s than its Content-Length is reset and never complete", async (_, length, frames) => {
    const { server, peer } = await served(receive);
    peer.headers(1, 0, [...POST, ["content-length", length]]);
    for (const frame of frames) {
      if (frame === "trailers") peer.headers(1, END_STREAM, [["x-t", "1"]]);
      else peer.frame(T.DATA, frame[1], 1, Buffer.from(frame[0]));
    }
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    await until("the end", () => server.logs[0]?.closed === true);
    expect(server.logs[0]?.calls).toEqual([`close ${ErrorCode.REQUEST_MALFORMED}`]);
    expect(server.logs[0]?.body.length).toBeLessThan(4);
  });

  it("with a Content-Length and no body at all is reset", async () => {
    const { server, peer } = await served(receive);
    peer.headers(1, END_STREAM, [...POST, ["content-length", "4"]]);
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    expect(server.logs.length).toBe(0);
  });

  it("gives its trailers, without what may not be one", async () => {
    const { server, peer } = await served(receive);
    peer.headers(1, 0, POST);
    peer.frame(T.DATA, 0, 1, Buffer.from("abc"));
    peer.headers(1, END_STREAM, [
      ["x-t", "1"],
      ["content-length", "3"],
      ["host", "b"],
    ]);
    await until("the end", () => server.logs[0]?.calls.includes("end") === true);
    expect([server.logs[0]?.body, server.logs[0]?.trailers]).toEqual(["abc", [["x-t", "1"]]]);
  });

  it("case 24: keeps a body until somebody receives it, bounded by the stream's window", async () => {
    const { server, peer } = await served(() => {});
    peer.headers(1, 0, POST);
    for (let sent = 0; sent < 65_535; sent += 13_107) peer.frame(T.DATA, 0, 1, Buffer.alloc(13_107, "x"));
    await peer.alive();
    const log = server.logs[0] as DownstreamLog;
    expect(log.bytes).toBe(0);
    receive(log);
    expect(log.bytes).toBe(65_535);
  });

  it("case 17: resets beyond the limit end the connection", async () => {
    const { peer } = await served(receive);
    for (let id = 1; id < 400; id += 2) {
      peer.headers(id, END_STREAM, GET);
      peer.frame(T.RST, 0, id, u32(H2Code.CANCEL));
    }
    expect(await peer.goaway()).toBe(H2Code.ENHANCE_YOUR_CALM);
  });

  it("case 26: the hundred and first stream is refused, safely", async () => {
    const { server, peer } = await served(receive);
    for (let id = 1; id <= 201; id += 2) peer.headers(id, END_STREAM, GET);
    expect(await peer.reset(201)).toBe(H2Code.REFUSED_STREAM);
    expect(server.logs.length).toBe(100);
  });
});

describe("an answer by HTTP/2", () => {
  it("without a body ends with its head: gRPC's trailers-only", async () => {
    const { server, peer } = await served((log) => {
      receive(log);
      log.exchange.sendHead({ status: 200, headers: [["grpc-status", "12"]] }, 0);
      log.exchange.end();
    });
    peer.headers(1, END_STREAM, POST);
    const frame = await peer.next(({ type }) => type === T.HEADERS);
    expect([frame.flags & END_STREAM, frame.payload.toString("latin1").includes("grpc-status")]).toEqual([1, true]);
    await until("the end", () => server.logs[0]?.closed === true);
    expect(server.logs[0]?.calls).toEqual(["end", "close clean"]);
  });

  it("that is complete before its request resets it with NO_ERROR", async () => {
    const { server, peer } = await served((log) => answer(log, "no", 413));
    peer.headers(1, 0, POST);
    expect(await peer.reset(1)).toBe(H2Code.NO_ERROR);
    const types = peer.frames.filter(({ streamId }) => streamId === 1).map(({ type }) => type);
    expect(types.at(-1)).toBe(T.RST);
    expect(server.logs[0]?.calls).toEqual([`close ${ErrorCode.CANCELLED}`]);
  });

  it("that its owner cuts is reset", async () => {
    const { server, peer } = await served((log) => {
      receive(log);
      log.exchange.sendHead({ status: 200, headers: [] }, undefined);
      log.exchange.write(Buffer.from("part"));
      setTimeout(() => log.exchange.abort(cancelled()), 10);
    });
    peer.headers(1, END_STREAM, GET);
    expect(await peer.reset(1)).toBe(H2Code.CANCEL);
    expect(server.logs[0]?.error?.code).toBe(ErrorCode.CANCELLED);
  });

  it("leaves out what belongs to one connection, and never carries a header that splits it", async () => {
    const { server, peer } = await served((log) => {
      receive(log);
      const bad: HeaderList = log.exchange.head.path === "/bad" ? [["x", "a\r\nb"]] : [];
      const fields: HeaderList = [["connection", "x"], ["transfer-encoding", "chunked"], ["keep-alive", "1"], ...bad];
      log.exchange.sendHead({ status: 200, headers: fields }, 0);
      log.exchange.end();
    });
    peer.headers(1, END_STREAM, GET);
    expect(await headersOf(peer, 1)).not.toMatch(/connection|chunked|keep-alive/);
    peer.headers(3, END_STREAM, changed(GET, ":path", "/bad"));
    expect(await peer.reset(3)).toBe(H2Code.INTERNAL_ERROR);
    expect(server.logs[1]?.error?.code).toBe(ErrorCode.INVARIANT_VIOLATED);
  });

  it("is given up when the client resets it", async () => {
    const { server, peer } = await served(receive);
    peer.headers(1, END_STREAM, GET);
    await until("the request", () => server.logs.length === 1);
    peer.frame(T.RST, 0, 1, u32(H2Code.CANCEL));
    await until("the end", () => server.logs[0]?.closed === true);
    expect(server.logs[0]?.error).toMatchObject({ code: ErrorCode.DOWNSTREAM_RESET, origin: "downstream" });
  });
});

describe("a connection by HTTP/2", () => {
  it("gets back the credit of bodies that nobody wanted", async () => {
    const http2 = { ...defaultHttp2Options, connectionWindowBytes: 65_535 };
    const { server, peer } = await served(
      (log) => {
        log.exchange.sendHead({ status: 403, headers: [] }, 0);
        setTimeout(() => log.exchange.end(), 5);
      },
      { http2 },
    );
    for (let id = 1; id < 60; id += 2) {
      const refused = id % 4 === 1;
      peer.headers(id, 0, refused ? [...POST, ["expect", "wonders"]] : POST);
      peer.frame(T.DATA, END_STREAM, id, Buffer.alloc(12_000));
      await peer.alive();
      if (!refused) await until("the answer", () => server.logs.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 8));
    }
    expect(peer.frames.filter(({ type }) => type === T.GOAWAY)).toEqual([]);
    expect(await peer.alive()).toBe(true);
  });

  it("drains with GOAWAY and lets its streams end", async () => {
    const { server, peer } = await served(receive);
    peer.headers(1, END_STREAM, GET);
    await until("the request", () => server.logs.length === 1);
    server.connections[0]?.drain();
    expect(await peer.goaway()).toBe(H2Code.NO_ERROR);
    const log = server.logs[0] as DownstreamLog;
    log.exchange.sendHead({ status: 200, headers: [] }, 0);
    log.exchange.end();
    await until("the end", () => peer.ended);
    expect([log.calls, server.closes]).toEqual([["end", "close clean"], [undefined]]);
  });

  it("is closed when idle for too long, never while a stream runs", async () => {
    const { server, peer } = await served(receive, { idleTimeoutMs: 700 });
    peer.headers(1, END_STREAM, GET);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(peer.ended).toBe(false);
    const log = server.logs[0] as DownstreamLog;
    log.exchange.sendHead({ status: 200, headers: [] }, 0);
    log.exchange.end();
    await until("the end", () => peer.ended);
  });
});

describe("extended CONNECT", () => {
  it("is announced, becomes an upgrade, and carries bytes both ways with an end each", async () => {
    const { server, peer } = await served(receive);
    const settings = await peer.next(({ type, flags }) => type === T.SETTINGS && flags === 0);
    expect(settings.payload.toString("hex")).toContain("000800000001");
    peer.headers(1, 0, WEBSOCKET);
    peer.frame(T.DATA, 0, 1, Buffer.from("early"));
    await until("the request", () => server.logs.length === 1);
    await peer.alive();
    const log = server.logs[0] as DownstreamLog;
    expect(log.exchange.head).toMatchObject({ method: "GET", upgrade: "websocket", path: "/" });
    expect([log.body, log.exchange.bodyLength]).toEqual(["", 0]);
    log.exchange.acceptUpgrade({
      status: 101,
      headers: [
        ["sec-websocket-accept", "x"],
        ["sec-websocket-protocol", "p"],
      ],
    });
    expect(log.body).toBe("early");
    expect(await headersOf(peer, 1)).not.toContain("sec-websocket-accept");
    log.exchange.write(Buffer.from("hello"));
    log.exchange.end();
    peer.frame(T.DATA, END_STREAM, 1, Buffer.from(" late"));
    await until("the end", () => log.closed);
    expect([log.body, log.calls]).toEqual(["early late", ["end", "close clean"]]);
  });

  it("that is refused never lets its bytes through", async () => {
    const { server, peer } = await served((log) => {
      receive(log);
      setTimeout(() => answer(log, "no", 403), 20);
    });
    peer.headers(1, 0, WEBSOCKET);
    peer.frame(T.DATA, 0, 1, Buffer.from("early"));
    expect(await peer.reset(1)).toBe(H2Code.NO_ERROR);
    expect([server.logs[0]?.body, server.logs[0]?.calls]).toEqual(["", ["close clean"]]);
  });
});

const REQUEST: OutgoingRequest = { method: "GET", scheme: "http", authority: "a", path: "/", headers: [] };

function ask(connection: UpstreamConnection, head = REQUEST, bodyLength: number | "unknown" = 0): UpstreamLog {
  const log = new UpstreamLog();
  log.exchange = connection.request(head, bodyLength === "unknown" ? undefined : bodyLength, log);
  return log;
}

interface Upstream {
  readonly connection: UpstreamConnection;
  readonly peer: RawPeer;
  readonly told: string[];
}

/** Our client and a server written frame by frame. */
async function upstream(settings: readonly (readonly [number, number])[] = []): Promise<Upstream> {
  let accepted: (peer: Promise<RawPeer>) => void = () => {};
  const arriving = new Promise<RawPeer>((resolve) => {
    accepted = resolve;
  });
  const server = await rawServer(({ socket }) => {
    socket.removeAllListeners("data");
    accepted(RawPeer.server(socket, settings));
  });
  const told: string[] = [];
  const { connection, socket } = await ownClient("http2", server.port, {
    onRoom: () => void told.push("room"),
    onRetired: () => void told.push("retired"),
    onClose: (error) => void told.push(`close ${error?.code ?? "clean"}`),
  });
  closers.push(() => {
    socket.destroy();
    server.close();
  });
  return { connection, peer: await arriving, told };
}
const head = (fields: HeaderList, flags: number, streamId = 1): Buffer =>
  rawFrame(T.HEADERS, END_HEADERS | flags, streamId, rawFields(fields));

describe("a response by HTTP/2", () => {
  it("has informational heads, a body of unknown length and trailers", async () => {
    const { connection, peer } = await upstream();
    const log = ask(connection);
    peer.write(
      head(
        [
          [":status", "103"],
          ["link", "</x>"],
        ],
        0,
      ),
      head([[":status", "200"]], 0),
      rawFrame(T.DATA, 0, 1, Buffer.from("body")),
      head(
        [
          ["grpc-status", "0"],
          ["content-type", "x"],
        ],
        END_STREAM,
      ),
    );
    await until("the answer", () => log.closed);
    expect(log).toMatchObject({
      calls: ["informational 103", "head 200", "end", "close clean"],
      body: "body",
      bodyLength: undefined,
      trailers: [["grpc-status", "0"]],
    });
  });

  it.each<[string, HeaderList, readonly (readonly [string, number])[]]>([
    [
      "a longer body",
      [
        [":status", "200"],
        ["content-length", "2"],
      ],
      [["abc", 0]],
    ],
    [
      "a shorter body",
      [
        [":status", "200"],
        ["content-length", "4"],
      ],
      [["abc", END_STREAM]],
    ],
    ["a body of 204", [[":status", "204"]], [["abc", END_STREAM]]],
    [
      "a Content-Length of no number",
      [
        [":status", "200"],
        ["content-length", "x"],
      ],
      [],
    ],
    [
      "a control character",
      [
        [":status", "200"],
        ["x", "a\x01"],
      ],
      [],
    ],
    [
      "a connection field",
      [
        [":status", "200"],
        ["connection", "close"],
      ],
      [],
    ],
    ["101", [[":status", "101"]], []],
  ])("with %s is malformed and never complete", async (_, fields, frames) => {
    const { connection, peer } = await upstream();
    const log = ask(connection);
    peer.write(head(fields, 0), ...frames.map(([text, flags]) => rawFrame(T.DATA, flags, 1, Buffer.from(text))));
    await until("the end", () => log.closed);
    expect([log.calls.includes("end"), log.error?.origin]).toEqual([false, "upstream"]);
    expect([ErrorCode.RESPONSE_MALFORMED, ErrorCode.H2_PROTOCOL_ERROR]).toContain(log.error?.code);
    expect(await peer.reset(1)).toBe(H2Code.PROTOCOL_ERROR);
    expect(connection.hasRoom).toBe(true);
  });

  it("to HEAD may tell a length that it does not have", async () => {
    const { connection, peer } = await upstream();
    const log = ask(connection, { ...REQUEST, method: "HEAD" });
    peer.write(
      head(
        [
          [":status", "200"],
          ["content-length", "5"],
        ],
        END_STREAM,
      ),
    );
    await until("the answer", () => log.closed);
    expect([log.bodyLength, log.error, log.head?.headers]).toEqual([0, undefined, [["content-length", "5"]]]);
  });

  it("case 25: after GOAWAY, and REFUSED_STREAM, the request is safe to send again", async () => {
    const { connection, peer, told } = await upstream();
    const first = ask(connection);
    const second = ask(connection);
    peer.write(rawFrame(T.RST, 0, 1, u32(H2Code.REFUSED_STREAM)));
    peer.write(rawFrame(T.GOAWAY, 0, 0, Buffer.concat([u32(1), u32(0)])));
    await until("both", () => first.closed && second.closed);
    for (const { error } of [first, second])
      expect(error).toMatchObject({ code: ErrorCode.H2_STREAM_REFUSED, retry: "safe" });
    expect([connection.hasRoom, told.filter((what) => what === "retired").length]).toEqual([false, 1]);
  });

  it("that the peer resets is not safe to retry", async () => {
    const { connection, peer } = await upstream();
    const log = ask(connection);
    peer.write(rawFrame(T.RST, 0, 1, u32(H2Code.INTERNAL_ERROR)));
    await until("the end", () => log.closed);
    expect(log.error).toMatchObject({ code: ErrorCode.H2_STREAM_RESET, origin: "upstream", retry: "never" });
  });

  it("that is complete before its request ends it", async () => {
    const { connection, peer } = await upstream();
    const log = ask(connection, { ...REQUEST, method: "POST" }, 100);
    log.exchange?.write(Buffer.from("abc"));
    peer.write(head([[":status", "413"]], END_STREAM));
    await until("the end", () => log.closed);
    expect(log.calls).toEqual(["head 413", "end", `close ${ErrorCode.CANCELLED}`]);
    expect([await peer.reset(1), connection.hasRoom]).toEqual([H2Code.CANCEL, true]);
  });

  it("keeps to the peer's limit of streams", async () => {
    const { connection, peer } = await upstream([[3, 2]]);
    await peer.alive();
    ask(connection);
    ask(connection);
    expect([connection.hasRoom, connection.active]).toEqual([false, 2]);
    expect(() => ask(connection)).toThrow(expect.objectContaining({ retry: "safe" }));
  });

  it("gives an upgrade only where the peer takes extended CONNECT", async () => {
    const webSocket: OutgoingRequest = { ...REQUEST, upgrade: "websocket", headers: [["sec-websocket-key", "x"]] };
    const taking = await upstream([[8, 1]]);
    const log = ask(taking.connection, webSocket);
    const asked = await taking.peer.next(({ type }) => type === T.HEADERS);
    expect(asked.payload.toString("latin1")).toMatch(/CONNECT[\s\S]*:protocol[\s\S]*websocket/);
    expect(asked.payload.toString("latin1")).not.toContain("sec-websocket-key");
    taking.peer.write(head([[":status", "200"]], 0), rawFrame(T.DATA, 0, 1, Buffer.from("hi")));
    await until("its bytes", () => log.body === "hi");
    log.exchange?.end();
    taking.peer.write(rawFrame(T.DATA, END_STREAM, 1, Buffer.from(" end")));
    await until("the end", () => log.closed);
    expect([log.body, log.calls]).toEqual(["hi end", ["upgraded", "end", "close clean"]]);

    const refusing = await upstream();
    const failed = new UpstreamLog();
    try {
      failed.exchange = refusing.connection.request(webSocket, 0, failed);
      await until("the refusal", () => failed.closed);
    } catch (error) {
      failed.onClose(error as never);
    }
    expect(failed.error?.code).toBe(ErrorCode.UPGRADE_REFUSED);
  });

  it("to an upgrade that is refused is an answer like any other", async () => {
    const { connection, peer } = await upstream([[8, 1]]);
    await peer.alive();
    const log = ask(connection, { ...REQUEST, upgrade: "websocket" });
    peer.write(head([[":status", "403"]], 0), rawFrame(T.DATA, END_STREAM, 1, Buffer.from("no")));
    await until("the end", () => log.closed);
    expect([log.body, log.calls]).toEqual(["no", ["head 403", "end", "close clean"]]);
  });

  it("drains: streams run to their end", async () => {
    const { connection, peer, told } = await upstream();
    const log = ask(connection);
    connection.drain();
    expect(connection.hasRoom).toBe(false);
    peer.write(head([[":status", "204"]], END_STREAM));
    await until("the end", () => log.closed && told.at(-1) === "close clean");
    expect(log.error).toBe(undefined);
  });
});
