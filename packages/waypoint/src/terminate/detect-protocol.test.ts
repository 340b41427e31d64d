import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { detectProtocol, detectUnfinished, MAX_PEEK_BYTES } from "./detect-protocol.ts";
import { clientHello, records } from "./test-client-hello.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

describe("detectProtocol", () => {
  it.each([
    ["a request", "GET / HTTP/1.1\r\n", "http1"],
    ["HTTP/1.0", "POST /a?b=c HTTP/1.0\r\n", "http1"],
    ["a bare line feed", "GET / HTTP/1.1\n", "http1"],
    ["an empty line first", "\r\nGET / HTTP/1.1\r\n", "http1"],
    ["an absolute target", "GET http://cart:80/ HTTP/1.1\r\n", "http1"],
    ["CONNECT", "CONNECT cart:80 HTTP/1.1\r\n", "http1"],
    ["an unusual method", "M-SEARCH * HTTP/1.1\r\n", "http1"],
    ["a request with a blank in its target", "GET /a b HTTP/1.1\r\n", "http1"],
    ["a version nobody has", "GET / HTTP/9.9\r\n", "http1"],
    ["PRI that is no preface", "PRI /x HTTP/1.1\r\n", "http1"],
    ["the preface", PREFACE, "http2"],
    ["the preface and more", `${PREFACE}\0\0\0\u0004`, "http2"],
    ["a greeting", "EHLO example.org\r\n", "other"],
    ["Redis, inline", "GET key\r\n", "other"],
    ["Redis", "*1\r\n$4\r\nPING\r\n", "other"],
    ["a line without a blank", "PING\r\n", "other"],
    ["a null byte", "\0\0\0\u0001", "other"],
    ["a control character in the target", "GET /\u0001", "other"],
    ["a method that is too long", "A".repeat(33), "other"],
    ["a SSH banner", "SSH-2.0-OpenSSH_9.2\r\n", "other"],
    ["a PostgreSQL start", "\0\0\0\u0008\u0004\u00d2\u0016\u002f", "other"],
    ["an alert of TLS", "\u0015\u0003\u0001\0\u0002\u0001\0", "other"],
    ["a handshake that is no hello", "\u0016\u0003\u0001\0\u0004\u0002\0\0\0", "other"],
    ["a record of another major version", "\u0016\u0002\u0001", "other"],
  ])("knows %s", (_label, text, kind) => {
    expect(detectProtocol(bytes(text)).kind).toBe(kind);
  });

  it.each([
    [""],
    ["G"],
    ["GET"],
    ["GET "],
    ["GET /long"],
    ["GET / HTTP/1.1"],
    ["GET / HTTP/1.1\r"],
    ["\r"],
    ["\r\n"],
    ["PRI * HTTP/2.0\r\n\r\nS"],
    ["\u0016"],
    ["\u0016\u0003\u0001"],
  ])("waits for more after %j", (text) => {
    expect(detectProtocol(bytes(text)).kind).toBe("need-more");
  });

  it("takes a request line without end for HTTP, which refuses it", () => {
    expect(detectProtocol(bytes(`GET /${"a".repeat(9000)}`)).kind).toBe("http1");
    expect(detectProtocol(bytes(`FOO /${"a".repeat(9000)}`)).kind).toBe("other");
  });

  it("reads the server name of a ClientHello", () => {
    expect(detectProtocol(records(clientHello("Cart.Example.com")))).toEqual({ kind: "tls", sni: "cart.example.com" });
    expect(detectProtocol(records(clientHello()))).toEqual({ kind: "tls" });
  });

  it("always decides within the bytes that are peeked at", () => {
    const begins = fc.constantFrom(PREFACE, "GET /", "\u0016\u0003\u0001\0\u0001\u0001", "\r\n", "A", "");
    fc.assert(
      fc.property(begins, fc.uint8Array({ minLength: MAX_PEEK_BYTES, maxLength: MAX_PEEK_BYTES }), (begin, rest) => {
        expect(detectProtocol(Buffer.concat([bytes(begin), rest])).kind).not.toBe("need-more");
      }),
      { numRuns: 50 },
    );
    const dribble = Buffer.concat(
      Array.from({ length: MAX_PEEK_BYTES }, () => bytes("\u0016\u0003\u0001\0\u0001\u0001")),
    );
    expect(detectProtocol(dribble.subarray(0, MAX_PEEK_BYTES)).kind).toBe("other");
  });

  it("never changes its answer when more comes", () => {
    const text = fc.oneof(
      fc.constantFrom("GET / HTTP/1.1\r\nhost: a\r\n\r\n", PREFACE, "EHLO a\r\n", "GET k\r\nGET / HTTP/1.1\r\n"),
      fc.string({
        unit: fc.constantFrom("G", "ET", " ", "/", "HTTP/1.1", "\r", "\n", "PRI *", "\u0016", "\u0003", "\0"),
      }),
    );
    fc.assert(
      fc.property(text, fc.nat(), (whole, cut) => {
        const all = bytes(whole);
        const first = detectProtocol(all.subarray(0, cut % (all.length + 1)));
        if (first.kind !== "need-more") expect(detectProtocol(all)).toEqual(first);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("detectUnfinished", () => {
  it.each([
    ["nothing", "", "other"],
    ["the beginning of a request", "GET /sec", "http1"],
    ["a method alone", "GET", "other"],
    ["the beginning of another text protocol", "EHLO exa", "other"],
    ["the beginning of the preface", "PRI * HTT", "http2"],
    ["the beginning of a handshake", "\u0016\u0003\u0001", "tls"],
    ["a single byte that a handshake begins with", "\u0016", "other"],
    ["a whole request", "GET / HTTP/1.1\r\n", "http1"],
  ])("takes %s for what it has begun to be", (_label, text, kind) => {
    expect(detectUnfinished(bytes(text)).kind).toBe(kind);
  });
});
