/**
 * Compressed bodies are bytes to a waypoint: it neither unpacks nor packs any, so a bomb costs it what was sent, not what
 * it becomes. Spec: hardening case 39.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, describe, expect, it } from "@jest/globals";
import { converse, statusesOf } from "./hostile-client.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { type RecordingBackend, recordingBackend } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let backend: RecordingBackend;

afterEach(() => {
  waypoint?.stop();
  backend?.close();
});

const ZEROS = Buffer.alloc(64 << 20);
const BOMBS = [
  ["gzip", gzipSync(ZEROS)],
  ["br", brotliCompressSync(ZEROS)],
  ["zstd", zstdCompressSync(ZEROS)],
  ["gzip, gzip", gzipSync(gzipSync(ZEROS))],
] as const;
const digest = (bytes: Buffer | string): string =>
  createHash("sha256")
    .update(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes)
    .digest("hex");

async function start(answer: Buffer, encoding: string): Promise<void> {
  backend = await recordingBackend((_request, response) =>
    response.writeHead(200, { "content-encoding": encoding, "content-length": answer.length }).end(answer),
  );
  const chain = httpChain([routeOf(forwardTo("web"))]);
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, [clusterOf("web", [endpointAt(backend.address)])]));
}

describe("compressed bodies", () => {
  it.each(BOMBS)(
    "case 39: a bomb of %s passes as it is, both ways, and counts as what was sent",
    async (encoding, bomb) => {
      await start(bomb, encoding);
      const before = process.memoryUsage().rss;
      const headers = { "content-encoding": encoding, "accept-encoding": "gzip;q=0.5, br" };
      const head = `POST / HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: ${bomb.length}\r\n`;
      const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      const bytes = Buffer.concat([Buffer.from(`${head}${fields.join("")}\r\n`), bomb]);
      const text = await converse(waypoint, bytes, { quietMs: 300, patienceMs: 3_000 });
      const [seen] = backend.requests;
      expect(digest(seen?.body ?? "")).toBe(digest(bomb));
      expect(seen?.fields).toEqual(
        expect.arrayContaining([`content-encoding: ${encoding}`, "accept-encoding: gzip;q=0.5, br"]),
      );
      expect(statusesOf(text)).toEqual([200]);
      expect(text).toContain(`content-encoding: ${encoding}\r\n`);
      expect(digest(text.slice(text.indexOf("\r\n\r\n") + 4))).toBe(digest(bomb));
      expect(waypoint.requests).toMatchObject([{ requestBytes: bomb.length, responseBytes: bomb.length }]);
      expect(process.memoryUsage().rss - before).toBeLessThan(60 << 20);
    },
  );

  it("case 39: bytes that only claim to be compressed pass just as well", async () => {
    await start(Buffer.from("no gzip at all"), "gzip");
    const head =
      "POST / HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n";
    expect(await converse(waypoint, `${head}abc`)).toMatch(/\r\n\r\nno gzip at all$/);
    expect(backend.requests).toMatchObject([{ body: "abc" }]);
  });

  it.each(["gzip, chunked", "gzip", "deflate, chunked", "br"])(
    "case 39: a transfer coding of %s, which we would have to decode, is refused",
    async (coding) => {
      await start(Buffer.alloc(0), "identity");
      const head = `POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: ${coding}\r\n\r\n`;
      const status = statusesOf(await converse(waypoint, `${head}0\r\n\r\n`))[0];
      expect([400, 501]).toContain(status);
      expect(backend.requests).toEqual([]);
    },
  );

  it("case 39: no code of the waypoint can unpack anything", () => {
    const root = new URL("../src/", import.meta.url);
    const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
      /(?<!\.test)\.ts$/.test(name),
    );
    expect(files.length).toBeGreaterThan(100);
    const unpacks = /node:zlib|DecompressionStream|\b(gunzip|inflate|brotliDecompress|zstdDecompress)/;
    expect(files.filter((name) => unpacks.test(readFileSync(new URL(name, root), "utf8")))).toEqual([]);
  });
});
