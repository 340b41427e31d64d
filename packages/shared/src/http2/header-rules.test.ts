import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { HeaderList } from "./api.ts";
import { checkOutgoing, checkRequest, checkResponse, checkTrailers } from "./header-rules.ts";

const connect: HeaderList = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.1:80"],
];
const get: HeaderList = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", "a"],
];

const webSocket: HeaderList = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "http"],
  [":path", "/chat"],
  [":authority", "a"],
];

describe("extended CONNECT", () => {
  it("is a request with a path where it was announced, and nothing elsewhere", () => {
    expect(checkRequest(webSocket, true).ok).toBe(true);
    expect(checkRequest(webSocket).ok).toBe(false);
  });

  it.each<[string, HeaderList]>([
    [":protocol with GET", [...get, [":protocol", "websocket"]]],
    ["no :path", webSocket.filter(([name]) => name !== ":path")],
    ["a :protocol that is no token", webSocket.map(([name, value]) => [name, name === ":protocol" ? "a b" : value])],
    ["a plain CONNECT with a path", webSocket.filter(([name]) => name !== ":protocol")],
  ])("refuses %s", (_, headers) => {
    expect(checkRequest(headers, true).ok).toBe(false);
  });
});

describe("request headers", () => {
  it.each<[string, HeaderList]>([
    ["a CONNECT", connect],
    ["a GET", get],
    ["an empty baggage", [...connect, ["baggage", ""]]],
    ["te: trailers", [...connect, ["te", "trailers"]]],
    ["a field called __proto__", [...connect, ["__proto__", "x"]]],
    ["bytes above ASCII in a value", [...connect, ["x", "caf\u00e9"]]],
  ])("accepts %s", (_, headers) => {
    expect(checkRequest(headers)).toEqual({ ok: true, value: undefined });
  });

  it.each<[string, HeaderList]>([
    ["case 23: an upper-case name", [...connect, ["Baggage", "x"]]],
    ["case 23: a duplicate :authority", [...connect, [":authority", "10.0.0.2:80"]]],
    [
      "case 23: a pseudo-header after a regular field",
      [
        [":method", "CONNECT"],
        ["x", "y"],
        [":authority", "a:1"],
      ],
    ],
    ["case 23: CR in a value", [...connect, ["x", "a\rb"]]],
    ["case 23: LF in a value", [...connect, ["x", "a\nb"]]],
    ["case 23: NUL in a value", [...connect, ["x", "a\0b"]]],
    ["a blank at the end of a value", [...connect, ["x", "a "]]],
    ["a blank in a name", [...connect, ["x y", "a"]]],
    ["an empty name", [...connect, ["", "a"]]],
    ["a colon inside a name", [...connect, ["x:y", "a"]]],
    ["an unknown pseudo-header", [...connect, [":protocol", "websocket"]]],
    [":status in a request", [...connect, [":status", "200"]]],
    ["connection", [...connect, ["connection", "close"]]],
    ["transfer-encoding", [...connect, ["transfer-encoding", "chunked"]]],
    ["upgrade", [...connect, ["upgrade", "h2c"]]],
    ["te with gzip", [...connect, ["te", "gzip"]]],
    ["CONNECT with a :path", [...connect, [":path", "/"]]],
    ["CONNECT with a :scheme", [...connect, [":scheme", "https"]]],
    ["CONNECT without :authority", [[":method", "CONNECT"]]],
    [
      "CONNECT with an empty :authority",
      [
        [":method", "CONNECT"],
        [":authority", ""],
      ],
    ],
    ["no :method", get.slice(1)],
    ["GET without :path", get.filter(([name]) => name !== ":path")],
    ["GET with an empty :path", get.map(([name, value]) => [name, name === ":path" ? "" : value] as const)],
    ["nothing", []],
  ])("refuses %s", (_, headers) => {
    expect(checkRequest(headers).ok).toBe(false);
  });

  it("are judged totally", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.string())), (headers) => {
        expect(typeof checkRequest(headers).ok).toBe("boolean");
      }),
    );
  });
});

describe("response headers", () => {
  it("give the status", () => {
    expect(checkResponse([[":status", "200"]])).toEqual({ ok: true, value: 200 });
  });

  it.each<[string, HeaderList]>([
    ["no :status", []],
    [
      "two",
      [
        [":status", "200"],
        [":status", "200"],
      ],
    ],
    ["four digits", [[":status", "2000"]]],
    ["101", [[":status", "101"]]],
    [
      ":method",
      [
        [":status", "200"],
        [":method", "GET"],
      ],
    ],
  ])("refuse %s", (_, headers) => {
    expect(checkResponse(headers).ok).toBe(false);
  });
});

describe("trailers", () => {
  it("carry no pseudo-header", () => {
    expect(checkTrailers([["grpc-status", "0"]]).ok).toBe(true);
    expect(checkTrailers([[":status", "200"]]).ok).toBe(false);
  });
});

describe("outgoing headers", () => {
  it.each(["a\r\nx: y", "\0", "\u010a", " a", "a "])("refuse the value %j", (value) => {
    expect(checkOutgoing([["x", value]]).ok).toBe(false);
  });

  it("allow what HBONE sends", () => {
    expect(checkOutgoing([...connect, ["baggage", ""], ["forwarded", 'for="[fd00::1]:80"']]).ok).toBe(true);
  });
});
