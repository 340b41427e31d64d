/**
 * Request smuggling, through a whole waypoint to an application that keeps every byte. What policy allowed, what went over
 * the wire, and what the application's parser and a parser without any leniency made of it are the same requests: the
 * same number, in the same order, each with the same method, target, authority, fields and length of body.
 */
import { METHODS } from "node:http";
import { ipOf } from "@ambit/shared/net";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { converse, type Judged, ownFields, statusesOf, turnsOfTheLoop, witness } from "./hostile-client.ts";
import { rawServer, until } from "./http-ends.ts";
import { END_STREAM, RawPeer, T } from "./http-raw-peer.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { type RecordingBackend, recordingBackend, type SeenRequest, strictRequests } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let backend: RecordingBackend;
let judged: Judged[];
const raws: { close(): void }[] = [];

afterEach(() => {
  for (const raw of raws.splice(0)) raw.close();
  waypoint?.stop();
  backend?.close();
});

/** Denies `/admin` and whoever says `x-deny`. */
async function start(): Promise<void> {
  backend = await recordingBackend((_request, response) => response.end("ok"));
  const seen = witness(
    ({ target, fields }) => /^\/admin\b/.test(target) || fields.some((text) => /^x-deny: /.test(text)),
  );
  judged = seen.judged;
  const chain = httpChain([routeOf(forwardTo("web"))], { authorization: seen.authorization });
  const http = { ...clusterOf("x", []).http, protocol: "http1" } as const;
  waypoint = await TestWaypoint.start(
    modelOf({ http: chain }, [clusterOf("web", [endpointAt(backend.address)], { http })]),
  );
}

/** All that arrived since the last call. */
class Arrivals {
  #allowed = 0;
  #parsed = 0;
  readonly #raw: number[] = [];

  allowed(): readonly Judged[] {
    const fresh = judged.filter((one) => one.allowed).slice(this.#allowed);
    this.#allowed += fresh.length;
    return fresh;
  }
  parsed(): readonly SeenRequest[] {
    const fresh = backend.requests.slice(this.#parsed);
    this.#parsed += fresh.length;
    return fresh;
  }
  /** By the strict reader, of each connection from where it stood: a request that was cut short ends its connection. */
  strict(): readonly SeenRequest[] {
    return backend.raw().flatMap((bytes, at) => {
      const all = strictRequests(bytes);
      const fresh = all.slice(this.#raw[at] ?? 0);
      this.#raw[at] = all.length;
      return fresh;
    });
  }
}

const shape = ({ method, target, authority, fields }: Omit<Judged, "allowed">): string =>
  [`${method} ${target} ${authority}`, ...[...ownFields(fields)].sort()].join("\n");
const shapes = (requests: readonly Omit<Judged, "allowed">[]): readonly string[] => requests.map(shape);

/** Both readers of the application agree, and what they read was allowed, in that order. Node refuses methods it does not know. */
async function compare(arrivals: Arrivals): Promise<number> {
  await until("all requests are over", () => waypoint.running === 0);
  await turnsOfTheLoop();
  const [allowed, parsed, strict] = [arrivals.allowed(), arrivals.parsed(), arrivals.strict()];
  const known = strict.filter(({ method }) => METHODS.includes(method));
  expect(known.map((one) => `${shape(one)}\n\n${one.body}`).sort()).toEqual(
    parsed.map((one) => `${shape(one)}\n\n${one.body}`).sort(),
  );
  // One that was allowed may not have come through whole: its body was broken, or its sender left.
  const rest = [...shapes(allowed)];
  for (const one of shapes(strict)) {
    const at = rest.indexOf(one);
    expect({ arrived: one, allowed: at >= 0 || rest }).toEqual({ arrived: one, allowed: true });
    rest.splice(0, at + 1);
  }
  expect(backend.faults.filter((code) => code !== "HPE_INVALID_METHOD")).toEqual([]);
  return parsed.length;
}

const CORPUS: readonly (readonly [string, string])[] = [
  ["CL.TE", "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["TE.CL", "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n5c\r\n"],
  ["TE.TE", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n"],
  ["two equal lengths", "content-length: 0\r\ncontent-length: 0\r\n\r\n"],
  ["two lengths", "content-length: 0\r\ncontent-length: 44\r\n\r\n"],
  ["a list of lengths", "content-length: 0, 44\r\n\r\n"],
  ["a negative length", "content-length: -1\r\n\r\n"],
  ["a length that overflows", "content-length: 18446744073709551616\r\n\r\n"],
  ["a length in hex", "content-length: 0x0\r\n\r\n"],
  ["a length with a sign", "content-length: +0\r\n\r\n"],
  ["an unknown coding", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"],
  ["a coding behind a vertical tab", "transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n"],
  ["a blank before the colon", "transfer-encoding : chunked\r\n\r\n0\r\n\r\n"],
  ["a folded coding", "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"],
  ["a coding folded into another field", "x-own: a\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["a coding behind a bare LF", "x-own: a\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["a coding behind a bare CR", "x-own: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["a head ended by bare LFs", "x-own: a\n\n"],
  ["a NUL in a name", "\0x: a\r\n\r\n"],
  ["a chunk size that overflows", "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n"],
  ["a negative chunk size", "transfer-encoding: chunked\r\n\r\n-1\r\n"],
  ["a chunk size in 0x", "transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n"],
  ["a chunk ended by LF", "transfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"],
  ["a chunk without its line end", "transfer-encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n"],
  ["a bare LF in an extension", "transfer-encoding: chunked\r\n\r\n1;a\n\r\nx\r\n0\r\n\r\n"],
  ["a trailer that is no field", "transfer-encoding: chunked\r\n\r\n0\r\nbroken\r\n\r\n"],
  ["a length removed by Connection", "connection: content-length\r\ncontent-length: 5\r\n\r\n"],
  ["an upgrade with a body", "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n\r\n"],
  ["an upgrade to h2c", "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n"],
  ["Expect of something else", "expect: 100-continue, x\r\ncontent-length: 0\r\n\r\n"],
];

describe("smuggling through a waypoint", () => {
  it.each(CORPUS)("case 30: %s hides no request", async (_what, rest) => {
    await start();
    const arrivals = new Arrivals();
    const hidden = "GET /admin/hidden HTTP/1.1\r\nhost: web\r\n\r\n";
    const text = await converse(waypoint, `POST /first HTTP/1.1\r\nhost: web\r\n${rest}${hidden}`);
    await compare(arrivals);
    expect(backend.raw().join("")).not.toMatch(/(^|\r\n)GET \/admin/);
    // Whatever came of the first, a second is either not read, or read by policy as what it is.
    expect(
      statusesOf(text)
        .slice(1)
        .every((status) => status === 403 || status === 400),
    ).toBe(true);
  });

  it("case 30: a chunk extension of 1 MB is cut off, and no byte of it goes on", async () => {
    await start();
    const arrivals = new Arrivals();
    const head = "POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n5;";
    await converse(waypoint, `${head}${"e".repeat(1 << 20)}\r\nhello\r\n0\r\n\r\n`, {
      quietMs: 100,
      patienceMs: 2_000,
    });
    expect(await compare(arrivals)).toBe(0);
    expect(backend.raw().join("")).not.toContain("eee");
    expect(waypoint.requests.map(({ code }) => code)).toEqual(["REQUEST_MALFORMED"]);
  });

  it("case 30: extensions and trailers of chunks are framing, and frame anew", async () => {
    await start();
    const arrivals = new Arrivals();
    const head = "POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    const text = await converse(waypoint, `${head}2;a=b\r\nhe\r\n3 ;c="\r\n`);
    expect(statusesOf(text)).toEqual([400]);
    expect(statusesOf(await converse(waypoint, `${head}2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nx-deny: 1\r\n\r\n`))).toEqual([
      200,
    ]);
    expect(await compare(arrivals)).toBe(1);
    expect(backend.requests).toMatchObject([{ body: "hello" }]);
    expect(backend.raw().join("")).not.toContain("a=b");
  });

  it("case 30: bytes sent along with an upgrade wait until the application agreed to it", async () => {
    await start();
    const head = "GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    const text = await converse(waypoint, `${head}GET /admin HTTP/1.1\r\nhost: web\r\n\r\n`);
    // The application did not agree: what followed was never its business.
    expect(backend.raw().join("")).not.toContain("/admin");
    expect(statusesOf(text)[0]).toBe(200);
    expect(
      statusesOf(text)
        .slice(1)
        .every((status) => status === 403),
    ).toBe(true);
  });

  it("case 30: a 101 nobody asked for opens no way around the next request's policy", async () => {
    const rogue = await recordingBackend((request) => {
      request.socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    });
    await start();
    const http = { ...clusterOf("x", []).http, protocol: "http1" } as const;
    const { authorization } = witness(({ target }) => target.startsWith("/admin"));
    const chain = httpChain([routeOf(forwardTo("web"))], { authorization });
    waypoint.swap(modelOf({ http: chain }, [clusterOf("web", [endpointAt(rogue.address)], { http })]));
    const text = await converse(
      waypoint,
      "GET / HTTP/1.1\r\nhost: web\r\n\r\nGET /admin HTTP/1.1\r\nhost: web\r\n\r\n",
    );
    expect(statusesOf(text)[0]).toBe(502);
    expect(rogue.raw().join("")).not.toContain("/admin");
    rogue.close();
  });
});

describe("answers nobody asked for", () => {
  const LOOT = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-for: nobody\r\n\r\npoison";

  /** Answers each request with these bytes, as they are; `late` ones after a while. */
  async function startRaw(answer: string, late = ""): Promise<() => number> {
    let connections = 0;
    const server = await rawServer((socket) => {
      connections += 1;
      let answered = 0;
      socket.socket.on("data", () => {
        for (; answered < socket.text.split("\r\n\r\n").length - 1; answered += 1) {
          socket.send(answer);
          if (late !== "") setTimeout(() => socket.send(late), 20);
        }
      });
    });
    await start();
    const http = { ...clusterOf("x", []).http, protocol: "http1" } as const;
    const address = { ip: ipOf("127.0.0.1"), port: server.port };
    waypoint.swap(
      modelOf({ http: httpChain([routeOf(forwardTo("web"))]) }, [clusterOf("web", [endpointAt(address)], { http })]),
    );
    raws.push(server);
    return () => connections;
  }

  it.each([
    ["behind one with a length", `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok${LOOT}`, ""],
    ["behind one in chunks", `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${LOOT}`, ""],
    ["behind one without a body", `HTTP/1.1 204 No Content\r\n\r\n${LOOT}`, ""],
    ["on a connection that waits", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", LOOT],
  ])("case 30: %s never reach the next request", async (_what, answer, late) => {
    const connections = await startRaw(answer, late);
    for (let at = 0; at < 4; at++) {
      const { headers, body } = await waypoint.get(`/${at}`);
      expect([headers["x-for"], body === "poison"]).toEqual([undefined, false]);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    expect(connections()).toBe(4);
  });

  it.each([
    ["both framings", "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["two lengths", "content-length: 2\r\ncontent-length: 100\r\n\r\nok"],
    ["a coding nobody knows", "transfer-encoding: xchunked\r\n\r\nok"],
    ["a folded field", "x: a\r\n b\r\ncontent-length: 0\r\n\r\n"],
    ["a bare LF", "x: a\ncontent-length: 0\r\n\r\n"],
    ["a bare CR in a value", "x: a\rset-cookie: admin=1\r\ncontent-length: 0\r\n\r\n"],
    ["a length that is none", "content-length: 0x2\r\n\r\nok"],
  ])("case 30: with %s are 502, and their connection is not used again", async (_what, rest) => {
    const connections = await startRaw(`HTTP/1.1 200 OK\r\n${rest}${LOOT}`);
    for (let at = 0; at < 2; at++) {
      const answer = await waypoint.get(`/${at}`);
      expect([answer.status, answer.headers["x-for"], answer.headers["set-cookie"]]).toEqual([
        502,
        undefined,
        undefined,
      ]);
    }
    expect(connections()).toBe(2);
  });
});

const TARGETS = [
  "/",
  "/a?b=c",
  "/%2e%2e/x",
  "/a/../b",
  "/admin",
  "/a/..%2fadmin",
  "//x",
  "/a;b?",
  "http://web/abs",
  "*",
  "/a b",
];
const field = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom("x-own: 1", "X-Two:2 ", "x-none:", "cookie: a=b", "cookie: c", "accept: */*, a"),
  },
  fc.constantFrom(
    "content-length: 5",
    "Content-Length: 0",
    "content-length: 05",
    "content-length: +5",
    "content-length : 5",
  ),
  fc.constantFrom("transfer-encoding: chunked", "Transfer-Encoding: CHUNKED", "transfer-encoding: gzip, chunked"),
  fc.constantFrom(
    "x-deny: 1",
    "X-DENY:\t1",
    "connection: x-own",
    "connection: close",
    "te: trailers",
    "host: web",
    "host: b",
  ),
  fc.constantFrom(
    " folded",
    "x y: 1",
    "x\0: 1",
    "x-own: a\rb",
    "x-own: a\nx-deny: 1",
    "noColon",
    "x-own: \x80\xff",
    "_x_: 1",
  ),
  fc
    .tuple(fc.string({ maxLength: 5, unit: "binary" }), fc.string({ maxLength: 8, unit: "binary" }))
    .map((pair) => `x-${pair.join(":")}`),
);
const lineEnd = fc.oneof(
  { weight: 60, arbitrary: fc.constant("\r\n") },
  fc.constantFrom("\n", "\r", "\r\r\n", " \r\n"),
);
const body = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "",
      "",
      "hello",
      "5\r\nhello\r\n0\r\n\r\n",
      "2;x\r\nhe\r\n3\r\nllo\r\n0\r\nt: 1\r\n\r\n",
    ),
  },
  fc.constantFrom("5\nhello\r\n0\r\n\r\n", "0\r\n\r\nGET /admin HTTP/1.1\r\nhost: web\r\n\r\n", "5\r\nhello0\r\n\r\n"),
);
const request = fc
  .record({
    method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "get", "QUERY"),
    target: fc.constantFrom(...TARGETS),
    version: fc.oneof(
      { weight: 20, arbitrary: fc.constant("HTTP/1.1") },
      fc.constantFrom("HTTP/1.0", "HTTP/2.0", "http/1.1"),
    ),
    fields: fc.array(fc.tuple(field, lineEnd), { maxLength: 3 }),
    last: lineEnd,
    body,
  })
  .map(({ method, target, version, fields, last, body: rest }) => {
    const lines = fields.map((pair) => pair.join("")).join("");
    return `${method} ${target} ${version}\r\nHost: web\r\n${lines}${last}${rest}`;
  });

describe("any bytes at all", () => {
  // The first use of such strings takes seconds, in which no handshake would go on.
  beforeAll(() => void fc.sample(fc.string({ unit: "binary" }), 1));

  it("case 30: over HTTP/1 are to the application what they were to policy", async () => {
    await start();
    const arrivals = new Arrivals();
    let arrived = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 3 }), async (requests) => {
        await converse(waypoint, requests.join(""), { quietMs: 12, patienceMs: 60 });
        arrived += await compare(arrivals);
      }),
      { numRuns: 600 },
    );
    expect(arrived).toBeGreaterThan(60);
    expect(judged.filter(({ allowed }) => !allowed).length).toBeGreaterThan(10);
    expect(waypoint.bugs).toEqual([]);
  }, 60_000);

  const wireText = fc.oneof(
    { weight: 16, arbitrary: fc.constantFrom("1", "a, b", "", "chunked", "5", "close", "x-own", "web") },
    fc.constantFrom("1\r\nx-deny: 1", "1\nx-deny: 1", "a\0b", " 1", "1 ", "\x7f", "\r\n\r\nGET /admin HTTP/1.1"),
    fc.string({ maxLength: 8, unit: "binary" }),
  );
  const wireName = fc.oneof(
    { weight: 16, arbitrary: fc.constantFrom("x-own", "x-two", "cookie", "accept", "x-deny") },
    fc.constantFrom(
      "te",
      "host",
      "content-length",
      "transfer-encoding",
      "connection",
      "upgrade",
      "X-Own",
      "x own",
      "x:own",
      "x\r\nown",
    ),
  );
  const wireRequest = fc.record({
    method: fc.oneof(
      { weight: 24, arbitrary: fc.constantFrom("GET", "POST", "QUERY") },
      fc.constantFrom("get", "GET /admin HTTP/1.1\r\nx:", "CONNECT", ""),
    ),
    path: fc.oneof(
      { weight: 24, arbitrary: fc.constantFrom("/", "/a?b", "/admin", "/a/../admin", "/%61dmin", "*") },
      fc.constantFrom(
        "/ HTTP/1.1\r\nx-deny: 1\r\nx:",
        "/\tx",
        "/a b",
        "http://web/",
        "",
        "/#x",
        "/a\r\n\r\nGET /admin HTTP/1.1",
      ),
    ),
    authority: fc.oneof(
      { weight: 24, arbitrary: fc.constant("web") },
      fc.constantFrom("web\r\nx-deny: 1", "a b", "WEB.", "u@web"),
    ),
    fields: fc.array(fc.tuple(wireName, wireText), { maxLength: 3 }),
    body: fc.constantFrom("", "hello", "0\r\n\r\nGET /admin HTTP/1.1\r\nhost: web\r\n\r\n"),
  });

  it("case 30: over HTTP/2 are to an application of HTTP/1 what they were to policy", async () => {
    await start();
    const arrivals = new Arrivals();
    let arrived = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(wireRequest, { minLength: 1, maxLength: 3 }), async (requests) => {
        const socket = await waypoint.dial();
        const peer = await RawPeer.client(socket);
        for (const [at, { method, path, authority, fields, body: content }] of requests.entries()) {
          const streamId = 2 * at + 1;
          const line = [
            [":method", method],
            [":scheme", "http"],
            [":authority", authority],
            [":path", path],
          ] as const;
          peer.headers(streamId, content === "" ? END_STREAM : 0, [...line, ...fields]);
          if (content !== "") peer.frame(T.DATA, END_STREAM, streamId, Buffer.from(content));
          const isOver = (): boolean =>
            peer.ended ||
            peer.frames.some(
              (one) =>
                one.streamId === streamId &&
                (one.type === T.RST ||
                  ((one.type === T.HEADERS || one.type === T.DATA) && (one.flags & END_STREAM) !== 0)),
            );
          await until("the stream is over", isOver);
        }
        socket.destroy();
        arrived += await compare(arrivals);
      }),
      { numRuns: 400 },
    );
    expect(arrived).toBeGreaterThan(40);
    expect(waypoint.bugs).toEqual([]);
  }, 60_000);

  it("case 30: empty crumbs of a cookie leave no blank that policy sees and the application does not", async () => {
    await start();
    const peer = await RawPeer.client(await waypoint.dial());
    const crumbs = ["", "a=1", "", "b=2", ""].map((crumb) => ["cookie", crumb] as const);
    const line = [
      [":method", "GET"],
      [":scheme", "http"],
      [":authority", "web"],
      [":path", "/"],
    ] as const;
    peer.headers(1, END_STREAM, [...line, ...crumbs]);
    await until("it arrived", () => backend.requests.length === 1);
    expect(ownFields(judged[0]?.fields ?? [])).toEqual(["cookie: a=1; b=2"]);
    expect(ownFields(strictRequests(backend.raw().join(""))[0]?.fields ?? [])).toEqual(["cookie: a=1; b=2"]);
  });
});
