/** The HTTP/1.1 client codec against upstreams that answer as they must not. */
import { once } from "node:events";
import { connect } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { afterEach, describe, expect, it } from "@jest/globals";
import {
  type ConnectOptions,
  createUpstreamConnection,
  defaultConnectOptions,
  type OutgoingRequest,
  type UpstreamConnection,
} from "../src/http/index.ts";
import { cancelled, rawServer, type TextSocket, UpstreamLog, until } from "./http-ends.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

interface Ends {
  readonly connection: UpstreamConnection;
  readonly server: TextSocket;
  readonly told: string[];
}

/** A connection and its server's socket. */
async function ends(init: Partial<ConnectOptions> = {}): Promise<Ends> {
  let accepted: (socket: TextSocket) => void = () => {};
  const arriving = new Promise<TextSocket>((resolve) => {
    accepted = resolve;
  });
  const server = await rawServer((socket) => accepted(socket));
  const socket = connect({ port: server.port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  closers.push(() => {
    socket.destroy();
    server.close();
  });
  await once(socket, "connect");
  const told: string[] = [];
  const connection = createUpstreamConnection(socket, "http1", {
    ...defaultConnectOptions,
    onRoom: () => void told.push("room"),
    onRetired: () => void told.push("retired"),
    onClose: (error) => void told.push(`close ${error?.code ?? "clean"}`),
    ...init,
  });
  return { connection, server: await arriving, told };
}

const GET: OutgoingRequest = { method: "GET", scheme: "http", authority: "a", path: "/", headers: [] };
const POST: OutgoingRequest = { ...GET, method: "POST" };
const WEBSOCKET: OutgoingRequest = { ...GET, upgrade: "websocket" };

function ask(connection: UpstreamConnection, head = GET, bodyLength: number | "unknown" = 0): UpstreamLog {
  const log = new UpstreamLog();
  log.exchange = connection.request(head, bodyLength === "unknown" ? undefined : bodyLength, log);
  return log;
}

describe("a request", () => {
  it("is written in one piece with exact framing, and the connection is used again", async () => {
    const { connection, server, told } = await ends();
    const first = ask(connection, { ...POST, headers: [["x-a", "1"]] }, 3);
    expect([first.exchange?.reused, connection.hasRoom, connection.active]).toEqual([false, false, 1]);
    first.exchange?.write(Buffer.from("abc"));
    first.exchange?.end();
    await server.until(/^POST \/ HTTP\/1.1\r\nhost: a\r\nx-a: 1\r\ncontent-length: 3\r\n\r\nabc$/);
    server.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    await until("the answer", () => first.closed);
    expect(first).toMatchObject({ calls: ["head 200", "end", "close clean"], body: "ok", bodyLength: 2 });
    expect([connection.hasRoom, told]).toEqual([true, ["room"]]);
    const second = ask(connection);
    expect(second.exchange?.reused).toBe(true);
    await server.until(/abcGET \/ HTTP\/1.1\r\nhost: a\r\n\r\n$/);
  });

  it("of unknown length goes out chunked, with the trailers that may follow", async () => {
    const { connection, server } = await ends();
    const log = ask(connection, { ...POST, headers: [["te", "trailers"]] }, "unknown");
    log.exchange?.write(Buffer.from("abc"));
    log.exchange?.write(Buffer.from("d"));
    log.exchange?.end([
      ["x-t", "1"],
      ["content-length", "9"],
    ]);
    await server.until(
      /te: trailers\r\ntransfer-encoding: chunked\r\nconnection: te\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nx-t: 1\r\n\r\n$/,
    );
  });

  it("that has no body says so where one is usual", async () => {
    const { connection, server } = await ends();
    ask(connection, POST, 0);
    await server.until(/content-length: 0\r\n\r\n$/);
  });

  it.each<[string, OutgoingRequest, number]>([
    ["a value that splits it", { ...GET, headers: [["x", "a\r\ny: b"]] }, 0],
    ["a name that splits it", { ...GET, headers: [["x: a\r\ny", "b"]] }, 0],
    ["a path with a blank", { ...GET, path: "/a b" }, 0],
    ["a path with a line end", { ...GET, path: "/ HTTP/1.1\r\nx: y\r\n\r\n" }, 0],
    ["an authority with a line end", { ...GET, authority: "a\r\nx: y" }, 0],
    ["an empty method", { ...GET, method: "" }, 0],
    ["an upgrade with a body", WEBSOCKET, 3],
  ])("is never sent with %s", async (_, head, bodyLength) => {
    const { connection, server } = await ends();
    expect(() => ask(connection, head, bodyLength)).toThrow(MeshError);
    expect([connection.hasRoom, connection.active]).toEqual([true, 0]);
    ask(connection);
    expect(await server.until(/\r\n\r\n$/)).toBe("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  });

  it("is refused, safe to retry, while another runs", async () => {
    const { connection } = await ends();
    ask(connection);
    expect(() => ask(connection)).toThrow(expect.objectContaining({ retry: "safe" }));
  });

  it("that its owner cuts closes the connection", async () => {
    const { connection, server, told } = await ends();
    const log = ask(connection, POST, 10);
    log.exchange?.write(Buffer.from("abc"));
    await server.until(/abc$/);
    log.exchange?.abort(cancelled());
    await server.untilEnded();
    expect([log.calls, told]).toEqual([["close CANCELLED"], ["close CANCELLED"]]);
  });

  it.each(["ab", "abcdef"])("is cut when %s is not the length it announced", async (body) => {
    const { connection, server } = await ends();
    const log = ask(connection, POST, 4);
    log.exchange?.write(Buffer.from(body));
    log.exchange?.end();
    expect(log.error?.code).toBe(ErrorCode.INVARIANT_VIOLATED);
    await server.untilEnded();
  });
});

describe("a response that is malformed", () => {
  it.each<[string, string]>([
    ["case 30: CL and TE", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["case 30: two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n"],
    ["case 30: the same length twice", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"],
    ["case 30: an unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"],
    ["case 30: a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["case 30: obs-fold", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n"],
    ["case 30: bare LF", "HTTP/1.1 200 OK\nx: a\n\n"],
    ["case 30: a bad chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n"],
    ["case 30: an early 101", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"],
    ["NUL in a value", "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n"],
    ["no status line", "220 smtp.example ESMTP\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["status 600", "HTTP/1.1 600 OK\r\n\r\n"],
    ["HTTP/2 in text", "HTTP/2.0 200 OK\r\n\r\n"],
    ["case 36: a head of 1 MB", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(1_000_000)}\r\n\r\n`],
    ["case 36: 10 000 fields", `HTTP/1.1 200 OK\r\n${"x: a\r\n".repeat(10_000)}\r\n`],
    ["endless 1xx", "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000)],
  ])("fails the request and ends the connection: %s", async (_, text) => {
    const { connection, server, told } = await ends();
    const log = ask(connection);
    await server.until(/\r\n\r\n$/);
    server.send(text);
    await until("the end", () => log.closed);
    expect(log.error).toMatchObject({ code: ErrorCode.RESPONSE_MALFORMED, origin: "upstream", retry: "never" });
    expect([log.calls.includes("end"), connection.hasRoom, told.at(-1)]).toEqual([
      false,
      false,
      "close RESPONSE_MALFORMED",
    ]);
    await server.untilEnded();
  });
});

describe("a response", () => {
  it("has informational heads before it", async () => {
    const { connection, server } = await ends();
    const log = ask(connection);
    server.send(
      "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    );
    await until("the answer", () => log.closed);
    expect(log.calls).toEqual(["informational 103", "informational 100", "head 204", "end", "close clean"]);
    expect(log.informational[0]?.headers).toEqual([["link", "</x>"]]);
  });

  it.each<[string, string, string]>([
    ["to HEAD", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"],
    ["204", "GET", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n"],
    ["304", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"],
    ["304 chunked", "GET", "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["of length 0", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
    ["without a reason phrase", "GET", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"],
  ])("has no body and leaves the connection: %s", async (_, method, text) => {
    const { connection, server } = await ends();
    const log = ask(connection, { ...GET, method });
    server.send(text);
    await until("the answer", () => log.closed);
    expect([log.bodyLength, log.bytes, log.error, connection.hasRoom]).toEqual([0, 0, undefined, true]);
  });

  it("of unknown length ends with the connection", async () => {
    for (const version of ["1.0", "1.1"]) {
      const { connection, server, told } = await ends();
      const log = ask(connection);
      server.socket.end(`HTTP/${version} 200 OK\r\n\r\nall of it`);
      await until("the answer", () => log.closed);
      expect(log).toMatchObject({ body: "all of it", calls: ["head 200", "end", "close clean"] });
      expect([connection.hasRoom, told]).toEqual([false, ["retired", "close clean"]]);
    }
  });

  it("of unknown length that is reset is not complete", async () => {
    const { connection, server } = await ends();
    const log = ask(connection);
    server.send("HTTP/1.1 200 OK\r\n\r\npart");
    await until("a part", () => log.bytes > 0);
    server.socket.resetAndDestroy();
    await until("the end", () => log.closed);
    expect(log.calls).toEqual(["head 200", `close ${ErrorCode.UPSTREAM_RESET}`]);
  });

  it.each([
    ["in its body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart", "never"],
    ["between chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n", "never"],
    ["before the last CRLF", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n", "never"],
    ["in its head", "HTTP/1.1 200 OK\r\nx:", "never"],
    ["after 100", "HTTP/1.1 100 Continue\r\n\r\n", "never"],
    ["before it began", "", "if-session-reused"],
  ])("that ends %s is not complete", async (_, text, retry) => {
    const { connection, server } = await ends();
    const log = ask(connection);
    server.socket.end(text);
    await until("the end", () => log.closed);
    expect([log.calls.includes("end"), log.error?.code, log.error?.retry]).toEqual([
      false,
      ErrorCode.UPSTREAM_RESET,
      retry,
    ]);
  });

  it("has trailers", async () => {
    const { connection, server } = await ends();
    const log = ask(connection);
    server.send(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nGrpc-Status: 0\r\nset-cookie: a\r\n\r\n",
    );
    await until("the answer", () => log.closed);
    expect([log.body, log.trailers, connection.hasRoom]).toEqual(["ok", [["grpc-status", "0"]], true]);
  });

  it("that says close is the last", async () => {
    const { connection, server, told } = await ends();
    const log = ask(connection);
    server.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    await until("the answer", () => log.closed);
    expect([log.error, connection.hasRoom, told]).toEqual([undefined, false, ["retired", "close clean"]]);
    await server.untilEnded();
  });

  it("before the request's body stops it, and the connection is not used again", async () => {
    const { connection, server } = await ends();
    const log = ask(connection, POST, 100);
    log.exchange?.write(Buffer.from("abc"));
    await server.until(/abc$/);
    server.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
    await until("the answer", () => log.closed);
    expect(log.calls).toEqual(["head 413", "end", `close ${ErrorCode.CANCELLED}`]);
    expect([log.exchange?.write(Buffer.from("more")), connection.hasRoom]).toEqual([true, false]);
    await server.untilEnded();
  });

  it("with more bytes behind it is the last: they answer no request of ours", async () => {
    const { connection, server, told } = await ends();
    const log = ask(connection);
    server.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
    await until("the answer", () => log.closed);
    expect([log.body, connection.hasRoom, told]).toEqual(["ok", false, ["retired", "close clean"]]);
  });

  it("that nobody asked for ends an idle connection", async () => {
    const { connection, server, told } = await ends();
    server.send("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n");
    await until("the end", () => told.length > 0);
    expect([connection.hasRoom, told]).toEqual([false, ["close RESPONSE_MALFORMED"]]);
  });

  it("pauses while it is not consumed", async () => {
    const { connection, server } = await ends();
    const log = ask(connection);
    log.consumes = false;
    const length = 20_000_000;
    server.send(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`);
    server.send("x".repeat(length));
    await until("some", () => log.bytes > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(log.bytes).toBeLessThan(512 * 1024);
    log.consumes = true;
    log.exchange?.consume(log.bytes);
    await until("all", () => log.closed);
    expect([log.bytes, log.error]).toEqual([length, undefined]);
  });

  it("may be followed at once by the next request, from within its end", async () => {
    const { connection, server } = await ends();
    const first = ask(connection);
    let second: UpstreamLog | undefined;
    const { onClose } = first;
    first.onClose = (error) => {
      onClose.call(first, error);
      second = ask(connection, { ...GET, path: "/2" });
    };
    server.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    await server.until(/GET \/2 /);
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    await until("the second", () => second?.closed === true);
    expect(second?.calls).toEqual(["head 204", "end", "close clean"]);
  });
});

describe("a connection", () => {
  it("that the upstream closes while idle is over", async () => {
    const { connection, server, told } = await ends();
    server.socket.end();
    await until("the end", () => told.length > 0);
    expect([connection.hasRoom, told]).toEqual([false, ["close clean"]]);
    expect(() => ask(connection)).toThrow(expect.objectContaining({ retry: "safe" }));
  });

  it("drains: at once when idle, else after its exchange", async () => {
    const idle = await ends();
    idle.connection.drain();
    await idle.server.untilEnded();
    const busy = await ends();
    const log = ask(busy.connection);
    busy.connection.drain();
    busy.server.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    await until("the answer", () => log.closed);
    await busy.server.untilEnded();
    expect([log.error, busy.told]).toEqual([undefined, ["retired", "close clean"]]);
  });
});

describe("an upgrade", () => {
  it("that is agreed to turns both directions into bytes, each with an end of its own", async () => {
    const { connection, server } = await ends();
    const log = ask(connection, WEBSOCKET);
    await server.until(/sec-websocket-key: [A-Za-z0-9+/]{22}==\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n$/);
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nx: y\r\n\r\nhello");
    await until("its bytes", () => log.body === "hello");
    expect([log.calls, log.head?.headers]).toEqual([["upgraded"], [["x", "y"]]]);
    log.exchange?.write(Buffer.from("up"));
    log.exchange?.end();
    await server.until(/up$/);
    await server.untilEnded();
    server.socket.end(" down");
    await until("the end", () => log.closed);
    expect([log.body, log.calls]).toEqual(["hello down", ["upgraded", "end", "close clean"]]);
  });

  it("that is refused is answered as any request, and the connection is used again", async () => {
    const { connection, server } = await ends();
    const log = ask(connection, WEBSOCKET);
    server.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    await until("the answer", () => log.closed);
    expect([log.calls, connection.hasRoom]).toEqual([["head 403", "end", "close clean"], true]);
  });

  it.each(["upgrade: other\r\n", "upgrade: websocket, other\r\n", ""])(
    "to something else is malformed: %j",
    async (field) => {
      const { connection, server } = await ends();
      const log = ask(connection, WEBSOCKET);
      server.send(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n${field}\r\n`);
      await until("the end", () => log.closed);
      expect(log.error?.code).toBe(ErrorCode.RESPONSE_MALFORMED);
    },
  );
});
