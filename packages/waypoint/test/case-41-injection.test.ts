/**
 * Text of callers in what is told of them: access log, refusals and metrics of a waypoint as its process puts it together.
 * One record is one line, its columns are where they belong, nothing drives a terminal, and labels stay few.
 */
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { defaultH2Options } from "@ambit/shared/http2";
import { createLogSystem } from "@ambit/shared/log";
import { createRegistry } from "@ambit/shared/metrics";
import { ipOf } from "@ambit/shared/net";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { NO_REVOCATIONS } from "@ambit/shared/tls";
import { MeshStore } from "@ambit/shared/workload";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { TrafficParts } from "../src/app.ts";
import { parseConfig } from "../src/config/index.ts";
import { createTraffic } from "../src/create-traffic.ts";
import { createOriginator } from "../src/forward/connect-originate.ts";
import { PeerDirectory } from "../src/forward/peer-directory.ts";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import type { Chains } from "../src/model/route-model.ts";
import { listen } from "./hostile-client.ts";
import { until } from "./http-ends.ts";
import {
  AUTHORITY,
  clusterOf,
  endpointAt,
  forwardTo,
  httpChain,
  modelOf,
  routeOf,
  tcpChain,
} from "./pipeline-fixtures.ts";
import { type RecordingBackend, recordingBackend } from "./recording-backend.ts";
import {
  Cleanup,
  dialPeer,
  identityUri,
  type Peer,
  startTerminator,
  TestAuthority,
  WAYPOINT,
} from "./transport-fixtures.ts";

let cleanup = new Cleanup();
afterEach(() => {
  cleanup.run();
  cleanup = new Cleanup();
});

interface Observed {
  readonly lines: string[];
  readonly peer: Peer;
  readonly backend: RecordingBackend;
  metrics(): Promise<string>;
  send(bytes: string): Promise<string>;
}

/** Everything of a waypoint's traffic but its control plane, telling to a log and a registry of its own. */
async function start(
  format: "text" | "json",
  chainsOf: (chain: ReturnType<typeof httpChain>) => Chains = (http) => ({ http }),
): Promise<Observed> {
  const config = parseConfig({
    POD_NAME: "w",
    POD_NAMESPACE: "shop",
    SERVICE_ACCOUNT: "waypoint",
    GATEWAY_NAME: "waypoint",
    INSTANCE_IP: "127.0.0.9",
    XDS_ADDRESS: "https://127.0.0.1:1",
    CA_ADDRESS: "https://127.0.0.1:1",
    XDS_ROOT_CA: "/none",
    CA_ROOT_CA: "/none",
    AUTH_TOKEN: "t",
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const backend = await recordingBackend();
  cleanup.add(() => backend.close());
  const lines: string[] = [];
  const logs = createLogSystem({
    format: "plain",
    levels: { fallback: "info", scopes: {} },
    output: { write: (line) => void lines.push(line) },
  });
  const registry = createRegistry(systemClock);
  const accessLog = [{ kind: "file", format, template: undefined }] as const;
  const chain = httpChain([routeOf(forwardTo("web"))], { accessLog });
  const model = modelOf(chainsOf(chain), [clusterOf("web", [endpointAt(backend.address)])]);
  const authority = await TestAuthority.create();
  const material = await authority.issue(WAYPOINT);
  const directory = new PeerDirectory(new MeshStore(), "");
  const parts: TrafficParts = {
    config: config.value,
    clock: systemClock,
    random: systemRandom,
    logs,
    registry,
    directory,
    model: () => model,
    localPrincipal: () => WAYPOINT,
    originator: createOriginator({
      clock: systemClock,
      random: systemRandom,
      identity: WAYPOINT,
      material: () => Promise.resolve(material),
      directory,
      http2: defaultH2Options,
      revocation: NO_REVOCATIONS,
      timeouts: { tcpConnectMs: 15_000, tlsHandshakeMs: 15_000, connectResponseMs: 15_000 },
      pool: { maxStreamsPerSession: 100, idleReleaseMs: 60_000 },
      ownIp: ipOf("127.0.0.9"),
      allowsLoopback: true,
    }),
  };
  const traffic = createTraffic(parts);
  traffic.modelChanged(model);
  cleanup.add(() => traffic.destroy());
  const { address } = await startTerminator(
    { material: () => Promise.resolve(material), onTunnel: (tunnel, offer) => traffic.onTunnel(tunnel, offer) },
    cleanup,
  );
  const peer = await dialPeer(address, await authority.issue(identityUri("client")), cleanup);
  return {
    lines,
    peer,
    backend,
    metrics: () => registry.scrape(),
    async send(bytes) {
      const tunnel = peer.open(AUTHORITY);
      expect(await tunnel.answer).toBe(200);
      const socket = new TunnelDuplex(tunnel.stream);
      return listen(socket, () => socket.write(Buffer.from(bytes, "latin1")), { quietMs: 25, patienceMs: 500 });
    },
  };
}

/** Access lines; those of loggers name their scope. */
const accessLines = (lines: readonly string[]): readonly string[] => lines.filter((line) => /^(\[|\{)/.test(line));
/** Nothing that ends a line, drives a terminal or turns text around; tabs between the columns of a logger only. */
const UNSAFE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
const isSafe = (line: string): boolean =>
  line.endsWith("\n") &&
  !UNSAFE.test(accessLines([line]).length > 0 ? line.slice(0, -1) : line.slice(0, -1).replaceAll("\t", ""));
const expectSafe = (lines: readonly string[]): void => expect(lines.filter((line) => !isSafe(line))).toEqual([]);

/** Istio's default: columns between quotes are counted. */
const TEXT_LINE =
  /^\[[^\]]+\] "[^"\\]*(?:\\.[^"\\]*)*" \d+ \S+ \S+ \S+ "[^"\\]*(?:\\.[^"\\]*)*" \d+ \d+ \d+ \S+ "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*" \S+ \S+ \S+ \S+ \S+ \S+(?: [a-z_]+="[^"\\]*(?:\\.[^"\\]*)*")*\n$/;

const HOSTILE = [
  '" 200 - - - "',
  '"} {"level":"error","msg":"forged',
  "\\",
  '\\"',
  "%0A%0Dforged",
  "\\x1b[2J",
  "\x9b2J",
  "\xe2\x80\xa8forged",
  "\xe2\x80\xaegnp.exe",
  "\xc2\x85next",
  "$" + "{jndi:ldap://evil/}",
  "a\tb",
  "\xff\xfe\xfd",
  "'; DROP TABLE--",
  "x".repeat(8_000),
];
const ANY_BYTES = fc.string({ maxLength: 40, unit: "binary" });
// Its first use takes seconds, in which no handshake would go on.
beforeAll(() => void fc.sample(ANY_BYTES, 1));
const requestWith = (text: string): string =>
  `GET /${text.replaceAll(/[^\x21-\x7e]|#/g, "_").slice(0, 4_000)} HTTP/1.1\r\nhost: web\r\nuser-agent: ${text}\r\n` +
  `x-request-id: ${text}\r\nx-forwarded-for: ${text}\r\nconnection: close\r\n\r\n`;

describe("text of a caller in the access log", () => {
  it("case 41: is one line with its columns in place, as text", async () => {
    const { lines, send } = await start("text");
    for (const text of HOSTILE) await send(requestWith(text));
    await until("all are told", () => accessLines(lines).length === HOSTILE.length);
    for (const line of accessLines(lines)) {
      expectSafe([line]);
      expect(line).toMatch(TEXT_LINE);
    }
  });

  it("case 41: is one line with its keys in place, as JSON", async () => {
    const { lines, send } = await start("json");
    for (const text of HOSTILE) await send(requestWith(text));
    await until("all are told", () => accessLines(lines).length === HOSTILE.length);
    const keys = new Set(accessLines(lines).map((line) => Object.keys(JSON.parse(line) as object).join()));
    expect(keys.size).toBe(1);
    for (const line of accessLines(lines)) {
      expectSafe([line]);
      expect(JSON.parse(line)).toMatchObject({ response_code: 200, upstream_cluster: "web" });
    }
  });

  it.each(["text", "json"] as const)(
    "case 41: any bytes as values make whole lines, as %s",
    async (format) => {
      const { lines, send } = await start(format);
      let sent = 0;
      await fc.assert(
        fc.asyncProperty(ANY_BYTES, async (text) => {
          const before = lines.length;
          await send(requestWith(text));
          sent += 1;
          expectSafe(lines.slice(before));
          const [line] = accessLines(lines.slice(before));
          if (line === undefined) return;
          // A head that could not be read has no authority to tell.
          if (format === "json")
            expect(["web", null]).toContain((JSON.parse(line) as { authority: unknown }).authority);
          else expect(line).toMatch(TEXT_LINE);
        }),
        { numRuns: 120 },
      );
      expect(accessLines(lines).length).toBeGreaterThan(sent / 4);
    },
    120_000,
  );

  it("case 41: of a refused request is as harmless in the list of refusals", async () => {
    const { lines, peer } = await start("text");
    const tunnel = peer.open('10.96.0.99:80"[2J');
    await tunnel.answer.catch(() => {});
    const other = peer.open("10.96.0.98:80", [["x-own", 'a" reason="FORGED']]);
    expect(await other.answer).toBe(503);
    await until("it is told", () => lines.some((line) => line.includes("10.96.0.98")));
    expectSafe(lines);
    expect(lines.join("")).not.toContain("FORGED");
  });

  it.each(['a" 200 "b', "a\nb", "a\\", "\x1b[2J", `${"a".repeat(64)}.shop`, "x".repeat(200)])(
    "case 41: a server name of %j cannot forge a line of a connection's log",
    async (servername) => {
      const accessLog = [{ kind: "file", format: "text", template: undefined }] as const;
      const { lines, peer } = await start("text", (http) => ({ http, tcp: tcpChain("web", { accessLog }) }));
      const tunnel = peer.open(AUTHORITY);
      expect(await tunnel.answer).toBe(200);
      const socket = connectTls({ socket: new TunnelDuplex(tunnel.stream), servername, rejectUnauthorized: false });
      await Promise.race([once(socket, "close").catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000))]);
      socket.destroy();
      await until("it is told", () => lines.length > 0);
      expectSafe(lines);
      expect(accessLines(lines).every((line) => TEXT_LINE.test(line))).toBe(true);
      expect(lines.join("")).not.toContain('" 200 "b');
    },
  );
});

describe("text of a caller in metrics", () => {
  it("case 41: makes no series: not paths, methods, hosts, agents, statuses nor what callers say they are", async () => {
    const { metrics, peer, send, lines } = await start("text");
    const ask = (at: number): string =>
      `M${at} /path-${at} HTTP/1.1\r\nhost: host-${at}\r\nuser-agent: agent-${at}\r\nx-request-id: id-${at}\r\n` +
      `grpc-status: ${at}\r\nbaggage: k8s.workload.name=forged-${at}\r\nx-envoy-peer-metadata-id: forged-${at}\r\nconnection: close\r\n\r\n`;
    const before = await send(ask(0)).then(metrics);
    for (let at = 1; at < 60; at++) await send(ask(at));
    for (let at = 0; at < 60; at++) await peer.open(`10.97.${at}.1:${1_000 + at}`).answer.catch(() => {});
    await until("all are told", () => accessLines(lines).length === 60);
    const after = await metrics();
    const series = (text: string): number => text.split("\n").filter((line) => /^(istio|ambit)_/.test(line)).length;
    expect(after).not.toMatch(/forged-|path-\d|host-\d|agent-\d|id-\d|10\.97\./);
    // Another answer's code may add a few; sixty callers' words may not.
    expect(series(after) - series(before)).toBeLessThan(60);
    for (const line of after.split("\n")) expect(line).toMatch(/^[\x20-\x7e]*$/);
  });
});
