/** Requests and answers of absurd size, through a whole waypoint: refused early, nothing passed on, others served. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, it } from "@jest/globals";
import { converse, statusesOf } from "./hostile-client.ts";
import { END_STREAM, RawPeer, T } from "./http-raw-peer.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { type Handle, type RecordingBackend, recordingBackend } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let backend: RecordingBackend;

afterEach(() => {
  waypoint?.stop();
  backend?.close();
});

async function start(handle?: Handle): Promise<void> {
  backend = await recordingBackend(handle);
  const chain = httpChain([routeOf(forwardTo("web"))]);
  const http = { ...clusterOf("x", []).http, protocol: "http1" } as const;
  waypoint = await TestWaypoint.start(
    modelOf({ http: chain }, [clusterOf("web", [endpointAt(backend.address)], { http })]),
  );
}

const LIMITS = { quietMs: 300, patienceMs: 3_000 };
const fields = (count: number): string => Array.from({ length: count }, (_, at) => `x-${at}: 1\r\n`).join("");

describe("a request that is too large", () => {
  it.each([
    ["a header of 1 MB", `GET / HTTP/1.1\r\nhost: web\r\nx-big: ${"v".repeat(1 << 20)}\r\n\r\n`, 431],
    ["a header name of 1 MB", `GET / HTTP/1.1\r\nhost: web\r\n${"n".repeat(1 << 20)}: 1\r\n\r\n`, 431],
    ["10 000 headers", `GET / HTTP/1.1\r\nhost: web\r\n${fields(10_000)}\r\n`, 431],
    ["101 headers", `GET / HTTP/1.1\r\nhost: web\r\n${fields(101)}\r\n`, 431],
    ["a URL of 64 KB", `GET /${"u".repeat(64 * 1024)} HTTP/1.1\r\nhost: web\r\n\r\n`, 414],
    ["a URL without end", `GET /${"u".repeat(1 << 20)}`, 414],
    ["a method without end", "M".repeat(1 << 20), 414],
    [
      "trailers of 1 MB",
      `POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ${"t".repeat(1 << 20)}\r\n\r\n`,
      400,
    ],
  ])("case 36: %s is refused, and nothing of it is passed on", async (_what, bytes, status) => {
    await start();
    const text = await converse(waypoint, bytes, LIMITS);
    expect([status, 431]).toContain(statusesOf(text)[0]);
    expect(backend.requests).toEqual([]);
    expect(backend.raw().join("").length).toBeLessThan(1_000);
    expect((await waypoint.get()).status).toBe(200);
  });

  it("case 36: over HTTP/2 it costs its own stream, not the session", async () => {
    await start();
    const peer = await RawPeer.client(await waypoint.dial());
    const line = [
      [":method", "GET"],
      [":scheme", "http"],
      [":authority", "web"],
    ] as const;
    const many = Array.from({ length: 101 }, (_, at) => [`x-${at}`, "1"] as const);
    peer.headers(1, END_STREAM, [...line, [":path", "/"], ...many]);
    peer.headers(3, END_STREAM, [...line, [":path", `/${"u".repeat(63 * 1024)}`]]);
    peer.headers(5, END_STREAM, [...line, [":path", "/fine"]]);
    await peer.next(({ streamId, type }) => streamId === 5 && type === T.HEADERS);
    expect(backend.requests.map(({ target }) => target)).toEqual(["/fine"]);
    expect(await peer.alive()).toBe(true);
  });

  it("case 36: a hundred clients that never end their heads are held within their bounds, and others are served", async () => {
    await start();
    const sockets: Duplex[] = [];
    const before = process.memoryUsage().rss;
    for (let at = 0; at < 100; at++) {
      const socket = await waypoint.dial();
      socket.on("error", () => {});
      socket.write(`GET / HTTP/1.1\r\nhost: web\r\nx: ${"h".repeat(50 * 1024)}`);
      sockets.push(socket);
    }
    expect((await waypoint.get()).status).toBe(200);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 << 20);
    for (const socket of sockets) socket.destroy();
  });
});

describe("an answer that is too large", () => {
  it.each([
    ["a header of 1 MB", `x: ${"v".repeat(1 << 20)}\r\n`],
    ["10 000 headers", fields(10_000)],
  ])("case 36: %s of the application is 502", async (_what, head) => {
    await start(({ socket }) => socket.write(`HTTP/1.1 200 OK\r\n${head}content-length: 0\r\n\r\n`));
    expect((await waypoint.get()).status).toBe(502);
    expect(waypoint.requests).toMatchObject([{ status: 502 }]);
  });

  it("case 36: an endless answer is passed on no faster than it is read", async () => {
    let written = 0;
    await start((_request, response) => {
      const chunk = Buffer.alloc(64 * 1024, 1);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) written += chunk.length;
        response.once("drain", more);
      };
      more();
    });
    const socket = await waypoint.dial();
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    await once(socket, "readable");
    // Until nothing more goes in.
    for (let before = -1; before !== written; ) {
      before = written;
      expect(written).toBeLessThan(16 << 20);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    socket.destroy();
  });
});
