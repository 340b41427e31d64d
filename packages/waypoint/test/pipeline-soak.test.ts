/** Hundreds of requests whose clients and upstreams do what they like, and what must hold once they are all over. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import { afterEach, describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { RetryPolicy } from "../src/retry/index.ts";
import { Apps, pause, until } from "./pipeline-apps.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";

const apps = new Apps();
let waypoint: TestWaypoint;

afterEach(() => {
  waypoint?.stop();
  apps.close();
});

const RETRY: RetryPolicy = {
  conditions: new Set(["connect-failure", "refused-stream", "reset", "retriable-status-codes"]),
  statusCodes: new Set([503]),
  retries: 2,
  perTryTimeoutMs: 150,
  backoff: { baseMs: 1, maximumMs: 20 },
  avoidsTriedEndpoints: true,
  hostSelectionAttempts: 5,
  explicit: true,
};

const UPSTREAM = ["answer", "early", "unavailable", "silent", "slow", "break-head", "break-body", "drop"] as const;
const CLIENT = ["wait", "leave", "leave-in-body", "half-close"] as const;

interface Story {
  readonly upstream: (typeof UPSTREAM)[number];
  readonly client: (typeof CLIENT)[number];
  readonly isHttp2: boolean;
  readonly bodyBytes: number;
  readonly afterMs: number;
}

const story: fc.Arbitrary<Story> = fc.record({
  upstream: fc.constantFrom(...UPSTREAM),
  client: fc.constantFrom(...CLIENT),
  isHttp2: fc.boolean(),
  bodyBytes: fc.constantFrom(0, 1, 1_000, 70_000, 400_000),
  afterMs: fc.integer({ min: 0, max: 60 }),
});

/** The path says what to do. */
function behave(request: IncomingMessage, response: ServerResponse): void {
  const answer = (): void => void response.end("answer");
  request.on("error", () => {});
  switch (request.url?.slice(1)) {
    case "answer":
      request.resume().on("end", answer);
      return;
    case "early":
      answer();
      return;
    case "unavailable":
      response.writeHead(503).end();
      return;
    case "silent":
      request.resume();
      return;
    case "slow":
      request.resume();
      response.write("part");
      setTimeout(answer, 40);
      return;
    case "break-head":
      response.destroy();
      return;
    case "break-body":
      response.write("part");
      setTimeout(() => response.destroy(), 5);
      return;
    default:
      request.socket.resetAndDestroy();
  }
}

async function overHttp1({ upstream, client, bodyBytes, afterMs }: Story): Promise<void> {
  const socket = await waypoint.dial();
  socket.on("error", () => {}).resume();
  const over = new Promise<void>((resolve) => socket.on("close", () => resolve()).on("end", () => resolve()));
  const length = bodyBytes > 0 ? `content-length: ${bodyBytes}\r\n` : "";
  const method = bodyBytes > 0 ? "PUT" : "GET";
  socket.write(`${method} /${upstream} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n${length}\r\n`);
  const sent = client === "leave-in-body" ? bodyBytes >> 1 : bodyBytes;
  if (sent > 0) socket.write(Buffer.alloc(sent, "x"));
  if (client === "wait") return over;
  await pause(afterMs);
  if (client === "half-close") socket.end();
  else socket.destroy(new Error("left"));
  return over;
}

function overHttp2({ upstream, client, bodyBytes, afterMs }: Story, session: ClientHttp2Session): Promise<void> {
  const stream = session.request({ ":method": bodyBytes > 0 ? "PUT" : "GET", ":path": `/${upstream}` });
  stream.on("error", () => {}).resume();
  const over = new Promise<void>((resolve) => stream.on("close", () => resolve()));
  if (client === "leave-in-body") stream.write(Buffer.alloc(bodyBytes >> 1, "x"));
  else stream.end(Buffer.alloc(bodyBytes, "x"));
  if (client.startsWith("leave")) setTimeout(() => stream.close(8), afterMs);
  return over;
}

async function tell(one: Story, session: ClientHttp2Session): Promise<void> {
  await (one.isHttp2 ? overHttp2(one, session) : overHttp1(one));
}

describe("whatever clients and upstreams do", () => {
  it("each request is told once, and nothing of it is left", async () => {
    const good = await apps.http(behave);
    const action = forwardTo("web", {
      timeoutMs: 500,
      retry: RETRY,
      mirrors: [{ cluster: "shadow", fractionPerMillion: 500_000 }],
    });
    const chain = httpChain([routeOf(action)], { streamIdleTimeoutMs: 1_000 });
    const budget = { percent: 100, intervalMs: 10_000, minimumPerSecond: 100 };
    const limits = {
      ...clusterOf("x", []).circuitBreakers,
      maximumConnections: 8,
      maximumRetries: 10,
      retryBudget: budget,
    };
    waypoint = await TestWaypoint.start(
      modelOf({ http: chain }, [
        clusterOf("web", [endpointAt(good), endpointAt(await apps.nobody())], { circuitBreakers: limits }),
        clusterOf("shadow", [endpointAt(good)]),
      ]),
    );
    const session = await waypoint.http2();
    const stories = fc.sample(story, { numRuns: 240, seed: 42 });
    const inTurn = async (from: number): Promise<void> => {
      for (let at = from; at < stories.length; at += 12) await tell(stories[at]!, session);
    };
    await Promise.all(Array.from({ length: 12 }, (_, from) => inTurn(from)));
    await until(() => waypoint.requests.length === stories.length, "all records");
    const { traffic } = waypoint;
    await until(() => traffic.live.size === 0, "no live request");
    const active = (limit: "requests" | "pending" | "retries") =>
      traffic.balancers.status().reduce((sum, { breakers }) => sum + breakers[limit].active, 0);
    const kept = () => {
      const web = traffic.balancers.status().find(({ name }) => name === "web");
      const held = [active("pending"), active("retries"), traffic.replayMemory.usedBytes];
      return [...held, web?.breakers.requests.active].join();
    };
    // Mirrors may still be under way.
    await until(() => kept() === "0,0,0,0", "nothing is kept");
    expect(waypoint.bugs).toEqual([]);
    expect(waypoint.requests).toHaveLength(stories.length);
    for (const record of waypoint.requests) {
      const isTold = record.status > 0 || record.code !== undefined;
      expect([record.path, isTold]).toEqual([record.path, true]);
    }
  }, 60_000);
});
