/**
 * What our server takes for a request, node's parser takes for the same one: method, target, fields and body. It may take
 * more than we do; never anything else.
 */
import http from "node:http";
import { duplexPair } from "node:stream";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { defaultServeOptions, serveHttp } from "../src/http/index.ts";
import { DownstreamLog } from "./http-ends.ts";

interface Seen {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  readonly body: string;
}

/** Fields that are end-to-end in both views. */
const OF_CONNECTION = new Set([
  "connection",
  "keep-alive",
  "te",
  "upgrade",
  "transfer-encoding",
  "host",
  "proxy-connection",
]);

async function byUs(bytes: Buffer): Promise<Seen[]> {
  const seen: Seen[] = [];
  const [client, server] = duplexPair();
  client.on("error", () => {});
  client.resume();
  serveHttp(server, "http1", defaultServeOptions, (exchange) => {
    const log = new DownstreamLog(exchange);
    const { onEnd } = log;
    log.onEnd = (trailers) => {
      onEnd.call(log, trailers);
      const { method, path, headers } = exchange.head;
      const fields = headers.filter(([name]) => !OF_CONNECTION.has(name)).map(([name, value]) => `${name}: ${value}`);
      seen.push({ method, target: path, fields, body: log.body });
      exchange.sendHead({ status: 200, headers: [] }, 0);
      exchange.end();
    };
    exchange.receive(log);
  });
  client.write(bytes);
  await settle();
  client.destroy();
  server.destroy();
  return seen;
}

async function byNode(bytes: Buffer): Promise<Seen[]> {
  const seen: Seen[] = [];
  const [client, server] = duplexPair();
  client.on("error", () => {});
  server.on("error", () => {});
  client.resume();
  const node = http.createServer({ insecureHTTPParser: false, maxHeaderSize: 128 * 1024 }, (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString("latin1");
    });
    request.on("error", () => {});
    request.on("end", () => {
      const { method = "", url = "", rawHeaders } = request;
      const fields: string[] = [];
      for (let at = 0; at < rawHeaders.length; at += 2) {
        const name = (rawHeaders[at] as string).toLowerCase();
        if (!OF_CONNECTION.has(name)) fields.push(`${name}: ${rawHeaders[at + 1]}`);
      }
      seen.push({ method, target: url, fields, body });
      response.end();
    });
  });
  node.on("clientError", () => server.destroy());
  node.emit("connection", server);
  // Byte by byte: an error makes node forget what else was in the same piece.
  for (let at = 0; at < bytes.length; at++) {
    client.write(bytes.subarray(at, at + 1));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await settle();
  client.destroy();
  server.destroy();
  return seen;
}

/** Both ends live in this process; nothing waits on anything but turns of the loop. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const line = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("GET / HTTP/1.1", "POST /a?b HTTP/1.1", "PUT /%2e%2e/x HTTP/1.1") },
  fc.constantFrom("GET /a b HTTP/1.1", "GET  / HTTP/1.1", "DELETE //x HTTP/1.1", "GET /\tx HTTP/1.1", "get / HTTP/1.1"),
);
const field = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("x: 1", "X-Two:2 ", "x:", "cookie: a=b", "accept: */*, a") },
  fc.constantFrom(
    "content-length: 5",
    "Content-Length: 0",
    "content-length: 05",
    "content-length: +5",
    "content-length : 5",
  ),
  fc.constantFrom("transfer-encoding: chunked", "Transfer-Encoding: CHUNKED", "transfer-encoding:\tchunked"),
  fc.constantFrom("transfer-encoding: gzip, chunked", "transfer-encoding: xchunked", "transfer-encoding: chunked,"),
  fc.constantFrom(" folded", "\tfolded", "x y: 1", "x\x00: 1", "x: a\rb", "x: a\nb", "noColon", ": empty"),
  fc.constantFrom(
    "connection: close",
    "connection: keep-alive",
    "expect: 100-continue",
    "host: b",
    "connection: upgrade",
  ),
  fc
    .tuple(fc.string({ maxLength: 5, unit: "binary" }), fc.string({ maxLength: 8, unit: "binary" }))
    .map((pair) => pair.join(":")),
);
const end = fc.oneof(
  { weight: 40, arbitrary: fc.constant("\r\n") },
  fc.constantFrom("\n", "\r", "\r\r\n", "\n\r\n", " \r\n"),
);
const body = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom("", "hello", "5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n3;x\r\nllo\r\n0\r\nt: 1\r\n\r\n"),
  },
  fc.constantFrom(
    "5\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
  ),
  fc.constantFrom("0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n", "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
  fc.string({ maxLength: 12, unit: "binary" }),
);
const request = fc
  .tuple(line, fc.array(fc.tuple(field, end), { maxLength: 4 }), end, body)
  .map(([first, fields, last, rest]) => {
    const lines = fields.map(([text, eol]) => text + eol).join("");
    return `${first}\r\nhost: a\r\n${lines}${last}${rest}`;
  });
const stream = fc
  .array(request, { minLength: 1, maxLength: 3 })
  .map((requests) => Buffer.from(requests.join(""), "latin1"));

describe("the HTTP/1 server codec and node's", () => {
  it("read the same requests from the same bytes, or node reads none", async () => {
    let compared = 0;
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(stream, async (bytes) => {
        const [ours, theirs] = await Promise.all([byUs(bytes), byNode(bytes)]);
        const common = Math.min(ours.length, theirs.length);
        compared += common;
        accepted += ours.length;
        expect(ours.slice(0, common)).toEqual(theirs.slice(0, common));
      }),
      { numRuns: 1500 },
    );
    // It must have seen nearly all of ours for this to mean anything.
    expect(compared).toBeGreaterThan(600);
    expect(accepted - compared).toBeLessThan(compared / 4);
  }, 60_000);

  it("case 30: a corpus of smuggling: one request at most is seen, and never a hidden one", async () => {
    const hidden = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    const chunkedHidden = `0\r\n\r\n${hidden}`;
    const heads = [
      "content-length: 6\r\ntransfer-encoding: chunked\r\n",
      "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
      "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
      "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
      "transfer-encoding : chunked\r\n",
      "transfer-encoding: xchunked\r\n",
      "transfer-encoding:\x0bchunked\r\n",
      "transfer-encoding: chunked\x0b\r\n",
      "transfer-encoding\r\n : chunked\r\n",
      "x: y\r\n transfer-encoding: chunked\r\n",
      "x: y\ntransfer-encoding: chunked\r\n",
      "x: y\rtransfer-encoding: chunked\r\n",
      "transfer-encoding: chunked, identity\r\n",
      "transfer-encoding: 'chunked'\r\n",
      "\x00transfer-encoding: chunked\r\n",
      "content-length: 5\r\ncontent-length: 42\r\n",
      "content-length: 5,42\r\n",
      "content-length: 42 \x00\r\n",
      "content-length: 0x2a\r\n",
      "content-length: \r\n",
      "content-length: -1\r\n",
      "content-length: 1e1\r\n",
      "content_length: 5\r\ncontent-length: 5\r\ncontent-length: 5\r\n",
    ];
    for (const head of heads) {
      const bytes = Buffer.from(`POST / HTTP/1.1\r\nhost: a\r\n${head}\r\n${chunkedHidden}`, "latin1");
      expect({ head, seen: await byUs(bytes) }).toEqual({ head, seen: [] });
    }
  });
});
