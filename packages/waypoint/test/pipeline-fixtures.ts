/**
 * A whole waypoint but for its control plane: real tunnels in, real connections out, a route model made by hand. Clients are
 * node's own HTTP client inside a tunnel, applications node's own HTTP servers.
 */
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { Duplex } from "node:stream";
import { defaultH2Options } from "@ambit/shared/http2";
import { formatSocketAddress, ipOf, type SocketAddress } from "@ambit/shared/net";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { NO_REVOCATIONS } from "@ambit/shared/tls";
import { MeshStore } from "@ambit/shared/workload";
import { JwksCache } from "../src/authenticate/index.ts";
import { DynamicHosts } from "../src/balance/dynamic-hosts.ts";
import type { Cluster, Endpoint } from "../src/balance/model.ts";
import { createOriginator } from "../src/forward/connect-originate.ts";
import { PeerDirectory } from "../src/forward/peer-directory.ts";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import type { Chains, HttpChain, RouteModel, TcpChain } from "../src/model/route-model.ts";
import type { RequestRecord, TcpRecord } from "../src/observe/index.ts";
import { type ForwardAction, NO_MUTATIONS, type Route, type RouteAction } from "../src/route/index.ts";
import { type TrafficInit, WaypointTraffic } from "../src/traffic.ts";
import type { TrafficRefusal } from "../src/traffic-observer.ts";
import {
  Cleanup,
  dialPeer,
  identityUri,
  type Peer,
  startTerminator,
  TestAuthority,
  WAYPOINT,
} from "./transport-fixtures.ts";

export const VIP = "10.96.0.10";
export const AUTHORITY = `${VIP}:80`;

export const endpointAt = (address: SocketAddress, over: Partial<Endpoint> = {}): Endpoint => ({
  key: formatSocketAddress(address),
  address,
  weight: 1,
  health: "healthy",
  reach: { kind: "plain" },
  workload: "",
  ...over,
});

export function clusterOf(name: string, endpoints: readonly Endpoint[], over: Partial<Cluster> = {}): Cluster {
  return {
    name,
    service: { name, namespace: "shop", hostname: `${name}.shop.svc.cluster.local` },
    algorithm: { kind: "round-robin" },
    priorities: [[{ region: "", zone: "", subzone: "", weight: 1, endpoints }]],
    overprovisioningPercent: 140,
    panicThresholdPercent: 0,
    localityWeighted: false,
    slowStart: undefined,
    outlierDetection: undefined,
    circuitBreakers: {
      maximumConnections: undefined,
      maximumPendingRequests: undefined,
      maximumRequests: undefined,
      maximumRetries: undefined,
      retryBudget: undefined,
    },
    connectTimeoutMs: 15_000,
    http: { protocol: "as-downstream", idleTimeoutMs: 0, maximumRequestsPerConnection: 0 },
    transport: { kind: "raw" },
    original: false,
    dns: undefined,
    ...over,
  };
}

export const forwardTo = (cluster: string, over: Partial<ForwardAction> = {}): ForwardAction => ({
  kind: "forward",
  clusters: [{ name: cluster, weight: 1, headers: NO_MUTATIONS, hostRewrite: undefined }],
  missingClusterStatus: 503,
  timeoutMs: 0,
  maximumGrpcTimeoutMs: undefined,
  retry: undefined,
  rewrite: { prefix: undefined, pattern: undefined, host: undefined, appendsForwardedHost: false },
  mirrors: [],
  hashPolicies: [],
  ...over,
});

export const routeOf = (action: RouteAction, over: Partial<Route> = {}): Route => ({
  name: "default",
  match: {
    path: { kind: "prefix", prefix: "/", ignoreCase: false },
    headers: [],
    query: [],
    claims: [],
    fractionPerMillion: 1_000_000,
  },
  action,
  headers: NO_MUTATIONS,
  cors: undefined,
  fault: undefined,
  authorization: undefined,
  operation: "op",
  ...over,
});

const common = {
  service: { name: "web", namespace: "shop", hostname: "web.shop.svc.cluster.local", port: 80 },
  accessLog: [],
  telemetry: { metricsDisabled: false },
} as const;

export const httpChain = (routes: readonly Route[], over: Partial<HttpChain> = {}): HttpChain => ({
  ...common,
  kind: "http",
  name: "inbound-vip|80|http|web.shop.svc.cluster.local",
  path: { normalization: "base", escapedSlashes: "keep" },
  streamIdleTimeoutMs: 0,
  acceptsHttp10: false,
  upgrades: ["websocket"],
  forwardedClientCert: "sanitize",
  authentication: undefined,
  authorization: { custom: [], rules: [] },
  routes: {
    name: "r",
    virtualHosts: [{ name: "all", domains: ["*"], routes, headers: NO_MUTATIONS }],
  },
  tracing: undefined,
  ...over,
});

export const tcpChain = (cluster: string, over: Partial<TcpChain> = {}): TcpChain => ({
  ...common,
  kind: "tcp",
  name: "inbound-vip|80|tcp|web.shop.svc.cluster.local",
  authorization: { custom: [], rules: [] },
  clusters: [{ name: cluster, weight: 1 }],
  idleTimeoutMs: 0,
  maxConnectionMs: 0,
  hashesSourceIp: false,
  ...over,
});

export const modelOf = (chains: Chains, clusters: readonly Cluster[]): RouteModel => ({
  generation: 1,
  findChains: (destination) => (destination.kind === "address" && destination.ip === VIP ? chains : undefined),
  clusters: new Map(clusters.map((cluster) => [cluster.name, cluster])),
  chains: new Map(),
});

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string | undefined>>;
}

export interface ClientRequest {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export class TestWaypoint {
  readonly requests: RequestRecord[] = [];
  readonly connections: TcpRecord[] = [];
  readonly refusals: TrafficRefusal[] = [];
  readonly bugs: unknown[] = [];
  readonly limits: string[] = [];
  readonly progress: number[] = [];
  /** Requests under way. */
  running = 0;
  readonly mirrored: { readonly cluster: string; readonly code: string | undefined }[] = [];
  readonly traffic: WaypointTraffic;
  readonly #cleanup: Cleanup;
  readonly #peer: Peer;
  #model: RouteModel;

  private constructor(parts: {
    traffic: (self: TestWaypoint) => WaypointTraffic;
    peer: Peer;
    cleanup: Cleanup;
    model: RouteModel;
  }) {
    this.#model = parts.model;
    this.#peer = parts.peer;
    this.#cleanup = parts.cleanup;
    this.traffic = parts.traffic(this);
    this.traffic.modelChanged(parts.model);
  }

  static async start(model: RouteModel, over: Partial<TrafficInit> = {}): Promise<TestWaypoint> {
    const cleanup = new Cleanup();
    const authority = await TestAuthority.create();
    const material = await authority.issue(WAYPOINT);
    const directory = new PeerDirectory(new MeshStore(), "");
    const originator = createOriginator({
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
    });
    let waypoint: TestWaypoint | undefined;
    const { address } = await startTerminator(
      {
        material: () => Promise.resolve(material),
        onTunnel: (tunnel, offer) => waypoint?.traffic.onTunnel(tunnel, offer),
        allowsLoopback: true,
      },
      cleanup,
    );
    const peer = await dialPeer(address, await authority.issue(identityUri("client")), cleanup);
    const traffic = (self: TestWaypoint): WaypointTraffic =>
      new WaypointTraffic({
        clock: systemClock,
        random: systemRandom,
        originator,
        directory,
        jwks: new JwksCache({ fetch: () => Promise.reject(new Error("no network")), clock: systemClock }),
        dynamicHosts: new DynamicHosts({ clock: systemClock, isAllowed: () => false }),
        observer: self.observer,
        limits: { sniffTimeoutMs: 300, maxUpstreamConnections: 100, replayBytes: 1024 * 1024 },
        model: () => self.#model,
        localPrincipal: () => WAYPOINT,
        ownAddress: { ip: ipOf("127.0.0.9"), port: 0 },
        ...over,
      });
    waypoint = new TestWaypoint({ traffic, peer, cleanup, model });
    return waypoint;
  }

  get observer(): TrafficInit["observer"] {
    return {
      requestStarted: () => void this.running++,
      requestFinished: ({ record }) => {
        this.running -= 1;
        this.requests.push(record.finish());
      },
      requestProgress: (record) => void this.progress.push(record.responseMessages),
      connectionMeter: () => ({ flush: () => {}, close: () => {} }),
      connectionFinished: (_chain, record) => void this.connections.push(record),
      refused: (refusal) => void this.refusals.push(refusal),
      tunnelRefused: (refusal) => void this.refusals.push(refusal),
      mirrored: (cluster, error) => void this.mirrored.push({ cluster, code: error?.code }),
      limitReached: (cluster, limit) => void this.limits.push(`${cluster} ${limit}`),
      endpointEvent: () => {},
      bug: (error) => void this.bugs.push(error),
    };
  }

  swap(model: RouteModel): void {
    this.#model = model;
    this.traffic.modelChanged(model);
  }

  /** A byte stream through a tunnel of the client; rejects with the status that refused it. */
  async dial(authority = AUTHORITY): Promise<Duplex> {
    const tunnel = this.#peer.open(authority);
    const status = await tunnel.answer;
    if (status !== 200) throw new Error(`CONNECT was answered with ${status}`);
    return new TunnelDuplex(tunnel.stream);
  }

  async get(path = "/", headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.send({ path, headers });
  }

  async send({ path = "/", method = "GET", headers = {}, body }: ClientRequest, on?: Duplex): Promise<Answer> {
    const socket = on ?? (await this.dial());
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        { createConnection: () => socket, path, method, headers: { host: "web", ...headers }, setHost: false },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () => {
            const { statusCode = 0, headers: fields, trailers } = incoming;
            resolve({ status: statusCode, headers: fields, body: Buffer.concat(chunks).toString(), trailers });
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }

  /** An HTTP/2 session in a tunnel. */
  async http2() {
    const socket = await this.dial();
    const session = connectHttp2("http://web", { createConnection: () => socket as never });
    session.on("error", () => {});
    this.#cleanup.add(() => session.destroy());
    return session;
  }

  stop(): void {
    this.traffic.destroy();
    this.#cleanup.run();
  }
}
