import { describe, expect, it } from "@jest/globals";
import type { RequestRules } from "./head-parser.ts";
import { parseRequestHead } from "./head-parser.ts";

const rules: RequestRules = {
  maxHeadBytes: 60 * 1024,
  maxFields: 100,
  underscores: "allow",
  acceptsHttp10: false,
  http10DefaultHost: undefined,
};
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const parse = (text: string, init: Partial<RequestRules> = {}) => parseRequestHead(bytes(text), { ...rules, ...init });

/** The status of the refusal; 0 = accepted, -1 = incomplete. */
function refusal(text: string, init: Partial<RequestRules> = {}): number {
  const parsed = parse(text, init);
  if (parsed.ok) return 0;
  return parsed.error === "incomplete" ? -1 : parsed.error.status;
}
const get = (fields: string): string => `GET / HTTP/1.1\r\nhost: a\r\n${fields}\r\n`;
const post = (fields: string): string => `POST / HTTP/1.1\r\nhost: a\r\n${fields}\r\n`;

describe("a request head", () => {
  it("becomes a head with lower-case names, in order, without what belongs to the connection", () => {
    const text =
      "POST /a?b=%20c HTTP/1.1\r\nHost: Shop.example:8080\r\nX-One: 1\r\nConnection: keep-alive, X-Drop\r\nx-drop: 2\r\n" +
      "Keep-Alive: timeout=5\r\nContent-Length: 12\r\nX-One:  spaced \t\r\nTE: trailers, gzip\r\nX-Empty:\r\n\r\n";
    const parsed = parse(`${text}body`);
    expect(parsed).toEqual({
      ok: true,
      value: {
        head: {
          version: "HTTP/1.1",
          method: "POST",
          scheme: "http",
          authority: "Shop.example:8080",
          path: "/a?b=%20c",
          headers: [
            ["x-one", "1"],
            ["content-length", "12"],
            ["x-one", "spaced"],
            ["x-empty", ""],
            ["te", "trailers"],
          ],
          expectsContinue: false,
        },
        framing: { kind: "length", bytes: 12 },
        keepAlive: true,
        end: text.length,
      },
    });
  });

  it.each<[string, string, object]>([
    ["chunked", post("Transfer-Encoding: Chunked\r\n"), { framing: { kind: "chunked" } }],
    ["no body", get(""), { framing: { kind: "length", bytes: 0 } }],
    ["a body on GET", get("content-length: 3\r\n"), { framing: { kind: "length", bytes: 3 } }],
    ["connection: close", get("connection: close\r\n"), { keepAlive: false }],
    ["expect", post("expect: 100-Continue\r\ncontent-length: 1\r\n"), { head: { expectsContinue: true } }],
    ["one leading empty line", `\r\n${get("")}`, { head: { path: "/" } }],
    ["a method of nobody's", "PURGE / HTTP/1.1\r\nhost: a\r\n\r\n", { head: { method: "PURGE" } }],
    ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", { head: { path: "*" } }],
    ["bytes above ASCII in a value", get("x: caf\u00e9\r\n"), { head: { headers: [["x", "caf\u00e9"]] } }],
    ["a field called __proto__", get("__proto__: x\r\n"), { head: { headers: [["__proto__", "x"]] } }],
    ["an IPv6 host", "GET / HTTP/1.1\r\nhost: [fd00::1]:80\r\n\r\n", { head: { authority: "[fd00::1]:80" } }],
    [
      "case 29: an absolute-form target, whose authority replaces Host",
      "GET http://B.example:81/x HTTP/1.1\r\nhost: a\r\n\r\n",
      { head: { authority: "B.example:81", path: "/x" } },
    ],
    [
      "case 29: an absolute-form target without a path",
      "GET http://b?q HTTP/1.1\r\nhost: a\r\n\r\n",
      { head: { authority: "b", path: "/?q" } },
    ],
    [
      "case 29: OPTIONS of a whole server in absolute form",
      "OPTIONS http://b HTTP/1.1\r\nhost: a\r\n\r\n",
      { head: { authority: "b", path: "*" } },
    ],
    [
      "case 29: upper case, trailing dot and port of a host, as they came",
      "GET / HTTP/1.1\r\nhost: EXAMPLE.com.:080\r\n\r\n",
      { head: { authority: "EXAMPLE.com.:080" } },
    ],
    [
      "case 28: a path that is to be normalised, as it came",
      "GET /a//b/./../%2e%2e/%2F\\;x=%252e HTTP/1.1\r\nhost: a\r\n\r\n",
      { head: { path: "/a//b/./../%2e%2e/%2F\\;x=%252e" } },
    ],
    ["an upgrade", get("connection: Upgrade\r\nupgrade: WebSocket\r\n"), { head: { upgrade: "websocket" } }],
  ])("is accepted with %s", (_, text, wanted) => {
    const parsed = parse(text);
    expect(parsed.ok && parsed.value).toMatchObject(wanted);
  });

  it.each<[string, string]>([
    ["h2c, which is never passed on", "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n"],
    ["an upgrade that Connection does not name", "upgrade: websocket\r\n"],
    ["a choice of protocols", "connection: upgrade\r\nupgrade: websocket, foo\r\n"],
    ["case 30: an upgrade with a body", "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n"],
  ])("is a plain request with %s", (_, fields) => {
    const parsed = parse(get(fields));
    expect(parsed.ok && parsed.value.head.upgrade).toBe(undefined);
    expect(parsed.ok && parsed.value.head.headers.map(([name]) => name).includes("http2-settings")).toBe(false);
  });

  it("keeps end-to-end fields that Connection must not remove", () => {
    const fields =
      "connection: authorization, cookie, traceparent, forwarded, x-forwarded-for, content-length, x-mine, host\r\n" +
      "authorization: a\r\ncookie: b\r\ntraceparent: c\r\nforwarded: d\r\nx-forwarded-for: e\r\ncontent-length: 0\r\nx-mine: f\r\n";
    const parsed = parse(post(fields));
    expect(parsed.ok && parsed.value.head.headers.map(([name]) => name)).toEqual([
      "authorization",
      "cookie",
      "traceparent",
      "forwarded",
      "x-forwarded-for",
      "content-length",
    ]);
  });

  it.each<[string, string, number]>([
    ["case 30: Content-Length and Transfer-Encoding", post("content-length: 3\r\ntransfer-encoding: chunked\r\n"), 400],
    ["case 30: Transfer-Encoding and Content-Length", post("transfer-encoding: chunked\r\ncontent-length: 3\r\n"), 400],
    ["case 30: two Content-Lengths", post("content-length: 5\r\ncontent-length: 6\r\n"), 400],
    ["case 30: the same Content-Length twice", post("content-length: 5\r\ncontent-length: 5\r\n"), 400],
    ["case 30: a list of Content-Lengths", post("content-length: 5, 5\r\n"), 400],
    ["case 30: Content-Length +5", post("content-length: +5\r\n"), 400],
    ["case 30: Content-Length -5", post("content-length: -5\r\n"), 400],
    ["case 30: Content-Length 0x5", post("content-length: 0x5\r\n"), 400],
    ["case 30: an empty Content-Length", post("content-length:\r\n"), 400],
    ["case 30: Content-Length 5 5", post("content-length: 5 5\r\n"), 400],
    ["case 30: Content-Length of 2^53", post("content-length: 9007199254740992\r\n"), 400],
    ["case 30: Content-Length of 30 digits", post("content-length: 999999999999999999999999999999\r\n"), 400],
    ["case 30: Transfer-Encoding twice", post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), 400],
    ["case 30: xchunked", post("transfer-encoding: xchunked\r\n"), 501],
    ["case 30: chunked, identity", post("transfer-encoding: chunked, identity\r\n"), 501],
    ["case 30: gzip, chunked", post("transfer-encoding: gzip, chunked\r\n"), 501],
    ["case 30: chunked with a tab", post("transfer-encoding:\tchunked\r\n"), 501],
    ["case 30: chunked with a tab behind", post("transfer-encoding: chunked\t\r\n"), 501],
    ["case 30: chunked with VT", post("transfer-encoding: \x0bchunked\r\n"), 400],
    ['case 30: "chunked" in quotes', post('transfer-encoding: "chunked"\r\n'), 501],
    ["case 30: an empty Transfer-Encoding", post("transfer-encoding:\r\n"), 501],
    ["case 30: obs-fold", get("x: a\r\n b\r\n"), 400],
    ["case 30: obs-fold with a tab", get("x: a\r\n\tb\r\n"), 400],
    ["case 30: a fold before any field", "GET / HTTP/1.1\r\n host: a\r\n\r\n", 400],
    ["case 30: a blank before the colon", post("content-length : 5\r\n"), 400],
    ["case 30: a tab before the colon", post("transfer-encoding\t: chunked\r\n"), 400],
    ["case 30: a bare LF after a field", "GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n", 400],
    ["case 30: bare LFs throughout", "GET / HTTP/1.1\nhost: a\n\n", 400],
    ["case 30: a bare CR in a value", get("x: a\rb\r\n"), 400],
    ["case 30: CR CR LF", get("x: a\r\r\n"), 400],
    ["case 30: a bare CR in the request line", "GET /\r HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 23: NUL in a value", get("x: a\0b\r\n"), 400],
    ["case 23: DEL in a value", get("x: a\x7fb\r\n"), 400],
    ["case 23: NUL in a name", get("x\0: a\r\n"), 400],
    ["a field line without a colon", get("nothing\r\n"), 400],
    ["an empty name", get(": a\r\n"), 400],
    ["a name with a blank", get("x y: a\r\n"), 400],
    ["a name above ASCII", get("caf\u00e9: a\r\n"), 400],
    ["case 29: no Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["case 29: two Hosts", get("host: b\r\n"), 400],
    ["case 29: the same Host twice", get("host: a\r\n"), 400],
    ["case 29: absolute form without Host", "GET http://a/ HTTP/1.1\r\n\r\n", 400],
    ["case 29: an empty Host", "GET / HTTP/1.1\r\nhost:\r\n\r\n", 400],
    ["case 29: a Host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400],
    ["case 29: a Host with user information", "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n", 400],
    ["case 29: a Host with a blank", "GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400],
    ["case 29: a Host with a comma", "GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", 400],
    ["case 29: a Host with a port of letters", "GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400],
    ["case 29: a Host with port 65536", "GET / HTTP/1.1\r\nhost: a:65536\r\n\r\n", 400],
    ["case 29: a Host with two ports", "GET / HTTP/1.1\r\nhost: a:1:2\r\n\r\n", 400],
    ["case 29: a Host that is no IPv6 address", "GET / HTTP/1.1\r\nhost: [::g]\r\n\r\n", 400],
    ["case 29: a target with user information", "GET http://u:p@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 29: a target without a host", "GET http:///x HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["a target of another scheme", "GET ftp://a/x HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["a target without a slash", "GET a HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 28: a fragment", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 28: a fragment in absolute form", "GET http://a/#b HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 28: a raw byte above ASCII", "GET /\xc0\xaf HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["a blank in the target", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["a tab instead of a blank", "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["two blanks", "GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["a blank behind the version", "GET / HTTP/1.1 \r\nhost: a\r\n\r\n", 400],
    ["* with GET", "GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 32: a lower-case method", "get / HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 32: a mixed-case method", "Post / HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["case 32: a method that is no token", "GE(T / HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["no method", " / HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 405],
    ["HTTP/0.9", "GET /\r\n\r\n", 400],
    ["HTTP/1.0", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", 426],
    ["HTTP/2.0 in text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
    ["HTTP/1.2", "GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505],
    ["http/1.1 in lower case", "GET / http/1.1\r\nhost: a\r\n\r\n", 400],
    ["an unknown expectation", post("expect: 200-ok\r\n"), 417],
    ["two expectations", post("expect: 100-continue\r\nexpect: 100-continue\r\n"), 417],
    ["a Connection that is no list of tokens", get("connection: a b\r\n"), 400],
    ["two leading empty lines", `\r\n\r\n${get("")}`, 400],
    ["case 36: a header of 1 MB", get(`x: ${"a".repeat(1_000_000)}\r\n`), 431],
    ["case 36: 10 000 headers", get("x: a\r\n".repeat(10_000)), 431],
    ["case 36: a URL of 64 KB", `GET /${"a".repeat(65_536)} HTTP/1.1\r\nhost: a\r\n\r\n`, 414],
    ["case 36: a URL without end", `GET /${"a".repeat(65_536)}`, 414],
    ["case 36: 101 headers", get("x: a\r\n".repeat(100)), 431],
  ])("is refused with %s", (_, text, status) => {
    expect(refusal(text)).toBe(status);
  });

  it("takes exactly as much as it may", () => {
    const head = get("x: a\r\n");
    expect(refusal(head, { maxHeadBytes: head.length })).toBe(0);
    expect(refusal(head, { maxHeadBytes: head.length - 1 })).toBe(431);
    expect(refusal(get("x: a\r\n".repeat(99)))).toBe(0);
  });

  it("takes HTTP/1.0 where it is allowed, without transfer codings and expectations", () => {
    const init = { acceptsHttp10: true, http10DefaultHost: "default" };
    expect(parse("GET / HTTP/1.0\r\n\r\n", init)).toMatchObject({
      ok: true,
      value: { head: { version: "HTTP/1.0", authority: "default" }, keepAlive: false },
    });
    expect(refusal("GET / HTTP/1.0\r\n\r\n", { acceptsHttp10: true })).toBe(400);
    expect(refusal("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", init)).toBe(400);
    const expecting = parse("POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n", init);
    expect(expecting.ok && expecting.value.head).toMatchObject({
      expectsContinue: false,
      headers: [["content-length", "1"]],
    });
  });

  it.each<["allow" | "drop" | "reject", number, number]>([
    ["allow", 0, 1],
    ["drop", 0, 0],
    ["reject", 400, 0],
  ])("with %s has its way with underscores", (underscores, status, fields) => {
    const parsed = parse(get("x_y: a\r\n"), { underscores });
    expect(refusal(get("x_y: a\r\n"), { underscores })).toBe(status);
    expect(parsed.ok ? parsed.value.head.headers.length : 0).toBe(fields);
  });
});
