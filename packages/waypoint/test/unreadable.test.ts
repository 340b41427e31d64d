/** What is no request, through a whole waypoint: each explains itself in the log, by a record, by its code; within bounds. */
import { once } from "node:events";
import { defaultH2Options } from "@ambit/shared/http2";
import { systemClock } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { compileAccessLog, type RequestRecord } from "../src/observe/index.ts";
import type { Route } from "../src/route/index.ts";
import { END_STREAM, RawPeer, rawFrame, T } from "./http-raw-peer.ts";
import { forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { Cleanup, dialPeer, identityUri, startTerminator, TestAuthority, WAYPOINT } from "./transport-fixtures.ts";

let waypoint: TestWaypoint | undefined;
const cleanup = new Cleanup();
afterEach(() => {
  waypoint?.stop();
  cleanup.run();
});

const start = async (routes: readonly Route[] = []): Promise<TestWaypoint> => {
  waypoint = await TestWaypoint.start(modelOf({ http: httpChain(routes) }, []));
  return waypoint;
};

const LINE = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "web"],
  [":path", "/"],
] as const;

const line = compileAccessLog({ format: "text", template: undefined });
const json = compileAccessLog({ format: "json", template: undefined });
const textOf = (record: RequestRecord): string => (line.ok ? line.value(record) : "");
const jsonOf = (record: RequestRecord): unknown => JSON.parse(json.ok ? json.value(record) : "");

describe("what is no request", () => {
  it.each([
    ["a field with an upper-case name", [...LINE, ["X-Upper", "case"] as const], "REQUEST_MALFORMED"],
    ["a connection-specific field", [...LINE, ["connection", "close"] as const], "REQUEST_MALFORMED"],
    ["no :path", LINE.slice(0, 3), "REQUEST_MALFORMED"],
    [
      "fields of more than 64 KiB",
      [...LINE, ...["x-a", "x-b"].map((name) => [name, "v".repeat(32_700)] as const)],
      "REQUEST_LIMIT_EXCEEDED",
    ],
  ])("%s: the stream is reset, and its record says why", async (_what, headers, code) => {
    const { dial, requests, refusals } = await start();
    const peer = await RawPeer.client(await dial.call(waypoint));
    peer.headers(1, END_STREAM, headers);
    await peer.next(({ streamId, type }) => streamId === 1 && type === T.RST);
    await eventually("the record", () => requests.length === 1);
    expect(requests).toMatchObject([{ status: 0, flags: ["DPE"], code, version: "HTTP/2" }]);
    expect(refusals).toMatchObject([{ code, message: expect.stringContaining("stream 1: ") }]);
    expect(await peer.alive()).toBe(true);
  });

  it("one more request at once than is allowed says so", async () => {
    const delay = { ms: 3_600_000, perMillion: 1_000_000 };
    const { dial, requests } = await start([routeOf(forwardTo("web"), { fault: { delay, abort: undefined } })]);
    const peer = await RawPeer.client(await dial.call(waypoint));
    for (let id = 1; id <= 201; id += 2) peer.headers(id, END_STREAM, LINE);
    await peer.next(({ streamId, type }) => streamId === 201 && type === T.RST);
    await eventually("the record", () => requests.length === 1);
    expect(requests).toMatchObject([{ status: 0, flags: ["DPE"], code: "REQUEST_LIMIT_EXCEEDED" }]);
  });

  it("a connection that breaks the rules is told once for itself", async () => {
    const { dial, requests, refusals } = await start();
    const peer = await RawPeer.client(await dial.call(waypoint));
    peer.write(rawFrame(T.PING, 0, 0, Buffer.alloc(7)));
    await eventually("the record", () => requests.length === 1);
    expect(requests).toMatchObject([
      { status: 0, flags: ["DPE"], code: "H2_FRAME_SIZE_ERROR", details: "http2.protocol_error" },
    ]);
    expect(refusals).toMatchObject([{ code: "H2_FRAME_SIZE_ERROR" }]);
  });

  it("is logged with what is known of it, as Envoy does", async () => {
    const { dial, requests } = await start();
    const socket = await dial.call(waypoint);
    socket.on("error", () => {}).write("GET / HTTP/1.1\r\n\r\n");
    await once(socket, "data");
    await eventually("the record", () => requests.length === 1);
    const [record] = requests as [RequestRecord];
    expect(textOf(record)).toMatch(/^\[[^\]]+\] "- - HTTP\/1\.1" 400 DPE /);
    expect(textOf(record)).toContain('reason="REQUEST_MALFORMED"');
    expect(jsonOf(record)).toMatchObject({ method: null, path: null, authority: null, request_id: null });
  });

  it("is counted always, and told a hundred times a second", async () => {
    let nowMs = 0;
    const clock = { ...systemClock, monotonic: () => nowMs };
    waypoint = await TestWaypoint.start(modelOf({ http: httpChain([]) }, []), { clock });
    const { requests, refusals } = waypoint;
    for (let connections = 0; connections < 3; connections++) {
      const peer = await RawPeer.client(await waypoint.dial());
      for (let id = 1; id <= 119; id += 2) peer.headers(id, END_STREAM, LINE.slice(0, 3));
      expect(await peer.alive()).toBe(true);
    }
    await eventually("the records", () => requests.length === 180);
    expect(refusals).toHaveLength(100);
    nowMs = 1_000;
    const peer = await RawPeer.client(await waypoint.dial());
    peer.headers(1, END_STREAM, LINE.slice(0, 3));
    await eventually("the next one", () => refusals.length === 101);
    expect(refusals.at(-1)?.message).toContain("(80 more were left out)");
  });
});

describe("an HBONE session that breaks the rules", () => {
  it("is told with who did it", async () => {
    const authority = await TestAuthority.create();
    const [web, own] = await Promise.all([authority.issue(identityUri("web")), authority.issue(WAYPOINT)]);
    const refusals: unknown[] = [];
    const { address } = await startTerminator(
      {
        material: async () => own,
        http2: { ...defaultH2Options, maxConcurrentStreams: 1 },
        onTunnel: () => {},
        onRefused: ({ error, peerPrincipal }) => void refusals.push([error.code, peerPrincipal]),
      },
      cleanup,
    );
    const peer = await dialPeer(address, web, cleanup);
    peer.open("10.0.0.1:80");
    const beyond = peer.open("10.0.0.1:80");
    await expect(beyond.answer).rejects.toMatchObject({ code: "H2_STREAM_REFUSED" });
    await eventually("it is told", () => refusals.length === 1);
    expect(refusals).toEqual([["H2_STREAM_REFUSED", identityUri("web")]]);
  });
});
