/** Any bytes give an answer, and the same one however they are split. */
import type { Duplex } from "node:stream";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { BodyReader } from "./body-reader.ts";
import { ChunkedDecoder, lastChunk } from "./chunked.ts";
import { formatRequest, formatResponse } from "./format-head.ts";
import { parseRequestHead, RequestHeadParser, type RequestRules } from "./head-parser.ts";
import { withoutNominated } from "./hop-by-hop.ts";
import { Http1Writer } from "./http1-writer.ts";
import { ResponseHeadParser } from "./response-head-parser.ts";

const rules: RequestRules = {
  maxHeadBytes: 400,
  maxFields: 8,
  underscores: "allow",
  acceptsHttp10: true,
  http10DefaultHost: "default",
};

/** Text near what heads are made of, so that most rules are met now and then. */
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("\r\n", "\r\n", "\r\n\r\n", "\n", "\r", " ", "\t", ":", ",", ";") },
  fc.constantFrom("GET / HTTP/1.1\r\n", "POST http://b/c HTTP/1.1\r\n", "get / HTTP/1.0\r\n", "HTTP/1.1 200 OK\r\n"),
  fc.constantFrom("host: a\r\n", "content-length: 5\r\n", "transfer-encoding: chunked\r\n", "x: y\r\n"),
  fc.constantFrom(
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "3;x=y\r\nabc\r\n",
    "0\r\nx-t: 1\r\n\r\n",
    "ffffffffffffffff\r\n",
    "\r\n0",
  ),
  fc.string({ maxLength: 12, unit: "binary" }),
  fc.integer({ min: 1, max: 300 }).map((length) => "x".repeat(length)),
);
const message = fc.oneof(
  fc.array(piece, { maxLength: 14 }).map((pieces) => Buffer.from(pieces.join(""), "latin1")),
  fc
    .array(piece, { maxLength: 8 })
    .map((pieces) => Buffer.from(`GET / HTTP/1.1\r\nhost: a\r\n${pieces.join("")}\r\n`, "latin1")),
  fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
);
const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 40 });

function split(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) break;
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at < bytes.length) parts.push(bytes.subarray(at));
  return parts;
}

interface Parser {
  read(chunk: Buffer, at: number): number;
  readonly parsed: unknown;
  readonly fault: unknown;
}

/** What a parser makes of the parts; `used` only where a head ended. */
function outcome(parser: Parser, parts: readonly Buffer[]): object {
  let used = 0;
  for (const part of parts) {
    used += parser.read(part, 0);
    if (parser.fault !== undefined) return { fault: parser.fault };
    if (parser.parsed !== undefined) return { parsed: parser.parsed, used };
  }
  return { incomplete: true };
}

describe("heads", () => {
  it("are read alike however the bytes are split", () => {
    fc.assert(
      fc.property(message, cuts, (bytes, sizes) => {
        const parts = split(bytes, sizes);
        expect(outcome(new RequestHeadParser(rules), parts)).toEqual(outcome(new RequestHeadParser(rules), [bytes]));
        expect(outcome(new ResponseHeadParser(rules), parts)).toEqual(outcome(new ResponseHeadParser(rules), [bytes]));
      }),
      { numRuns: 3000 },
    );
  });

  it("are read alike byte by byte", () => {
    fc.assert(
      fc.property(message, (bytes) => {
        const single = [...bytes].map((byte) => Buffer.from([byte]));
        expect(outcome(new RequestHeadParser(rules), single)).toEqual(outcome(new RequestHeadParser(rules), [bytes]));
      }),
      { numRuns: 1000 },
    );
  });

  it("cost work in proportion to their bytes, byte by byte", () => {
    const bytes = Buffer.from(`GET / HTTP/1.1\r\nhost: a\r\nx: ${"a".repeat(1_000_000)}`);
    const parser = new RequestHeadParser({ ...rules, maxHeadBytes: 1_100_000 });
    const started = performance.now();
    for (let at = 0; at < bytes.length; at++) parser.read(bytes.subarray(at, at + 1), 0);
    expect(parser.fault).toBe(undefined);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

const token = fc
  .string({ minLength: 1, maxLength: 8, unit: fc.constantFrom(..."abcxyz-019") })
  .map((text) => `x-${text}`);
const value = fc.string({ maxLength: 12, unit: fc.constantFrom(...'ab 1;,"=\u00e9') }).map((text) => text.trim());
const fields = fc.array(fc.tuple(token, value), { maxLength: 8 });

describe("what is written", () => {
  it("reads back as the same request", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("GET", "POST", "PURGE"),
        fc.constantFrom("/", "/a?b=c", "/%2F/../x"),
        fields,
        fc.option(fc.integer({ min: 0, max: 10_000 }), { nil: undefined }),
        (method, path, headers, bodyLength) => {
          const head = { method, scheme: "http", authority: "a:80", path, headers };
          const parsed = parseRequestHead(Buffer.from(formatRequest(head, bodyLength), "latin1"), {
            ...rules,
            maxHeadBytes: 4000,
            maxFields: 20,
          });
          if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
          const { framing } = parsed.value;
          const kept = parsed.value.head.headers.filter(([name]) => name !== "content-length");
          expect({ ...parsed.value.head, headers: kept }).toMatchObject(head);
          expect(framing).toEqual(
            bodyLength === undefined ? { kind: "chunked" } : { kind: "length", bytes: bodyLength },
          );
        },
      ),
    );
  });

  it("reads back as the same response", () => {
    const status = fc.constantFrom(200, 204, 304, 404, 503);
    const bodyLength = fc.option(fc.integer({ min: 0, max: 10_000 }), { nil: undefined });
    fc.assert(
      fc.property(status, fields, bodyLength, fc.constantFrom("GET", "HEAD"), (code, headers, length, method) => {
        const context = { requestMethod: method, http10: false, closes: false, date: "now" };
        const { text, framing } = formatResponse({ status: code, headers }, length, context);
        const parser = new ResponseHeadParser({ ...rules, maxHeadBytes: 4000, maxFields: 20 });
        parser.toHead = method === "HEAD";
        parser.read(Buffer.from(text, "latin1"), 0);
        expect(parser.parsed?.head.status).toBe(code);
        const own = new Set(["content-length", "date"]);
        expect(parser.parsed?.head.headers.filter(([name]) => !own.has(name))).toEqual(headers);
        const bodiless = method === "HEAD" || code === 204 || code === 304;
        if (bodiless) expect([framing, parser.parsed?.framing]).toEqual(["none", { kind: "length", bytes: 0 }]);
        else if (length === undefined) expect(parser.parsed?.framing).toEqual({ kind: "chunked" });
        else expect(parser.parsed?.framing).toEqual({ kind: "length", bytes: length });
      }),
    );
  });
});

function decode(parts: readonly Buffer[]): object {
  const data: Buffer[] = [];
  const decoder = new ChunkedDecoder({ maxFields: 8, underscores: "allow" }, (bytes) => data.push(Buffer.from(bytes)));
  let used = 0;
  for (const part of parts) {
    let at = 0;
    while (at < part.length && !decoder.done && decoder.fault === undefined) at = decoder.read(part, at);
    used += at;
  }
  const { done, fault } = decoder;
  const body = Buffer.concat(data).toString("latin1");
  return fault === undefined ? { done, body, trailers: decoder.trailers, used: done ? used : 0 } : { fault, body };
}

describe("the chunked coding", () => {
  it("is read alike however the bytes are split", () => {
    const body = fc.array(piece, { maxLength: 14 }).map((pieces) => Buffer.from(pieces.join(""), "latin1"));
    fc.assert(
      fc.property(body, cuts, (bytes, sizes) => {
        expect(decode(split(bytes, sizes))).toEqual(decode([bytes]));
      }),
      { numRuns: 3000 },
    );
  });

  it("gives back what was written, and stops where it ends", () => {
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 10 });
    fc.assert(
      fc.property(pieces, fields, cuts, (bodies, trailers, sizes) => {
        const written: Buffer[] = [];
        const transport = {
          destroyed: false,
          writableEnded: false,
          writableLength: 0,
          write: (bytes: Buffer | string) => written.push(Buffer.from(bytes as string, "latin1")),
        };
        const writer = new Http1Writer(transport as unknown as Duplex);
        for (const body of bodies) writer.writeChunk(Buffer.from(body));
        writer.writeText(lastChunk(trailers));
        writer.flush();
        const bytes = Buffer.concat([...written, Buffer.from("next")]);
        expect(decode(split(bytes, sizes))).toEqual({
          done: true,
          body: Buffer.concat(bodies).toString("latin1"),
          trailers,
          used: bytes.length - 4,
        });
      }),
    );
  });

  it.each<[string, string]>([
    ["case 30: a sign", "+5\r\nhello\r\n0\r\n\r\n"],
    ["case 30: a minus", "-5\r\nhello\r\n0\r\n\r\n"],
    ["case 30: 0x", "0x5\r\nhello\r\n0\r\n\r\n"],
    ["case 30: a leading blank", " 5\r\nhello\r\n0\r\n\r\n"],
    ["case 30: a trailing blank", "5 \r\nhello\r\n0\r\n\r\n"],
    ["case 30: a trailing tab", "5\t\r\nhello\r\n0\r\n\r\n"],
    ["case 30: a blank before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n"],
    ["case 30: 17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n"],
    ["case 30: 16 digits that overflow", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"],
    ["case 30: 2^53", "20000000000000\r\nhello\r\n0\r\n\r\n"],
    ["case 30: no digits", "\r\nhello\r\n0\r\n\r\n"],
    ["case 30: only an extension", ";a\r\nhello\r\n0\r\n\r\n"],
    ["case 30: letters that are no digits", "5g\r\nhello\r\n0\r\n\r\n"],
    ["case 30: a bare LF after the size", "5\nhello\r\n0\r\n\r\n"],
    ["case 30: a bare CR after the size", "5\rhello\r\n0\r\n\r\n"],
    ["case 30: a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"],
    ["case 30: NUL in an extension", "5;\0\r\nhello\r\n0\r\n\r\n"],
    ["case 30: content longer than its size", "5\r\nhello!\r\n0\r\n\r\n"],
    ["case 30: a bare LF after the content", "5\r\nhello\n0\r\n\r\n"],
    ["case 30: no line end after the content", "5\r\nhello0\r\n\r\n"],
    ["case 30: an extension of 1 MB", `5;${"a".repeat(1_000_000)}\r\nhello\r\n0\r\n\r\n`],
    ["case 30: many small extensions", `${"1;abcdefgh\r\nx\r\n".repeat(40)}0\r\n\r\n`],
    ["a fold in the trailers", "0\r\nx: a\r\n b\r\n\r\n"],
    ["a bare LF in the trailers", "0\r\nx: a\n\r\n"],
    ["trailers of 1 MB", `0\r\nx: ${"a".repeat(1_000_000)}\r\n\r\n`],
    ["nine trailers of eight", `0\r\n${"x: a\r\n".repeat(9)}\r\n`],
  ])("is refused with %s", (_, text) => {
    expect(decode([Buffer.from(text, "latin1")])).toHaveProperty("fault");
  });

  it("drops extensions, and trailers that came too late to count", () => {
    const text =
      "5;a=b;c\r\nhello\r\n0;last\r\nX-Sum: 1\r\ncontent-length: 9\r\nhost: b\r\ntransfer-encoding: chunked\r\n" +
      "authorization: x\r\ncontent-type: y\r\nx-forwarded-for: z\r\n\r\nGET";
    expect(decode([Buffer.from(text, "latin1")])).toEqual({
      done: true,
      body: "hello",
      trailers: [["x-sum", "1"]],
      used: text.length - 3,
    });
  });
});

describe("a body of known length", () => {
  it("ends where it says, whatever follows", () => {
    fc.assert(
      fc.property(fc.nat(60), fc.uint8Array({ maxLength: 100 }), cuts, (length, bytes, sizes) => {
        const got: Buffer[] = [];
        const reader = new BodyReader({ maxFields: 1, underscores: "allow" }, (part) => got.push(Buffer.from(part)));
        reader.begin({ kind: "length", bytes: length });
        let used = 0;
        for (const part of split(Buffer.from(bytes), sizes)) if (!reader.done) used += reader.read(part, 0);
        expect([used, reader.done]).toEqual([Math.min(length, bytes.length), bytes.length >= length]);
        expect(Buffer.concat(got)).toEqual(Buffer.from(bytes.subarray(0, used)));
      }),
    );
  });
});

describe("a Connection field", () => {
  const PROTECTED = [
    "host",
    "content-length",
    "authorization",
    "cookie",
    "traceparent",
    "forwarded",
    "x-forwarded-for",
  ];

  it("removes what it names, never what is protected, nothing else", () => {
    const name = fc.oneof(fc.constantFrom(...PROTECTED), token);
    fc.assert(
      fc.property(fc.array(name, { maxLength: 6 }), fc.array(name, { maxLength: 10 }), (options, names) => {
        const kept = withoutNominated(
          names.map((field) => [field, "v"] as const),
          options,
        ).map(([field]) => field);
        expect(kept).toEqual(names.filter((field) => PROTECTED.includes(field) || !options.includes(field)));
      }),
    );
  });
});
