/**
 * Everything that carries traffic, put together: tunnels to the pipeline, the pipeline to the endpoints, and what is told of
 * it. Decides nothing itself.
 */
import { hostname } from "node:os";
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { SocketAddress } from "@ambit/shared/net";
import type { Clock, Random } from "@ambit/shared/time";
import { createJwtVerifier, type JwksCache, type JwtVerifier } from "./authenticate/index.ts";
import type { DynamicHosts } from "./balance/dynamic-hosts.ts";
import { type ClusterBalancers, createClusterBalancers, resultOfError } from "./balance/index.ts";
import type { Cluster, Endpoint } from "./balance/model.ts";
import { unpicked } from "./forward/attempt.ts";
import { type Originator, OWN_CALL } from "./forward/connect-originate.ts";
import type { PeerDirectory } from "./forward/peer-directory.ts";
import type { UpstreamConnection } from "./http/index.ts";
import { HttpUpstreams } from "./http-upstreams.ts";
import { LiveTrafficSet } from "./live-traffic.ts";
import type { RouteModel, TcpChain } from "./model/route-model.ts";
import {
  type PeerInfo,
  type RequestRecord,
  requestIdOf,
  startTrace,
  type TcpMeter,
  type TcpRecord,
  UNKNOWN_PEER,
} from "./observe/index.ts";
import type { Upstream } from "./phases/act.ts";
import type { Stop } from "./phases/stop.ts";
import { type Stages, serveRequest } from "./pipeline.ts";
import { type ConnectionPermit, ExternalAuthorizers, type RequestPermit } from "./policy/index.ts";
import type { ArrivedRequest, RoutedContext } from "./request-context.ts";
import { RequestStarts } from "./request-starts.ts";
import { createRetryGate, ReplayMemory, type RetryGate } from "./retry/index.ts";
import { admitConnection, type ConnectionServices, type ConnectionTarget } from "./serve-connection.ts";
import { type TunnelledRequest, TunnelServer } from "./serve-tunnel.ts";
import type { TunnelContext, TunnelOffer } from "./terminate/index.ts";
import type { TrafficObserver } from "./traffic-observer.ts";
import { refusalOf } from "./tunnel-refusal.ts";
import { UnreadableRequests } from "./unreadable-requests.ts";

export interface TrafficInit {
  readonly clock: Clock;
  readonly random: Random;
  readonly originator: Originator;
  readonly directory: PeerDirectory;
  readonly jwks: JwksCache;
  readonly dynamicHosts: DynamicHosts;
  readonly observer: TrafficObserver;
  readonly limits: {
    readonly sniffTimeoutMs: number;
    readonly maxUpstreamConnections: number;
    /** Bytes of request bodies kept for retries, of all requests together. */
    readonly replayBytes: number;
  };
  /** Named to destinations as the client of our own calls. */
  readonly ownAddress: SocketAddress;
  /** The configuration of the moment. */
  model(): RouteModel;
  /** `spiffe://...`, once there is a certificate. */
  localPrincipal(): string | undefined;
}

/** For ports declared HTTP: a client that says nothing for so long speaks HTTP/1. */
const PREFACE_TIMEOUT_MS = 10_000;
/** Long streams and connections are counted this often. Parity: Istio's tcp_reporting_duration. */
const REPORT_MS = 5_000;
export class WaypointTraffic implements Stages, ConnectionServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly hostname = hostname();
  readonly balancers: ClusterBalancers;
  readonly retryGate: RetryGate;
  readonly replayMemory: ReplayMemory;
  readonly verifier: JwtVerifier;
  readonly authorizers: ExternalAuthorizers;
  readonly dynamicHosts: DynamicHosts;
  readonly live = new LiveTrafficSet();
  readonly #init: TrafficInit;
  readonly #upstreams: HttpUpstreams;
  readonly #starts: RequestStarts;
  readonly #server: TunnelServer;
  #clusters: ReadonlyMap<string, Cluster> | undefined;
  #cancelReports = (): void => {};

  constructor(init: TrafficInit) {
    const { clock, random, observer, limits } = init;
    this.#init = init;
    this.dynamicHosts = init.dynamicHosts;
    this.clock = clock;
    this.random = random;
    this.balancers = createClusterBalancers({ clock, random, onEvent: (event) => observer.endpointEvent(event) });
    this.retryGate = createRetryGate({ clock, breaker: (cluster) => this.balancers.breaker(cluster) });
    this.replayMemory = new ReplayMemory(limits.replayBytes);
    this.verifier = createJwtVerifier(init.jwks, clock);
    this.authorizers = new ExternalAuthorizers({ clock, dial: (cluster) => this.dialCluster(cluster) });
    this.#upstreams = new HttpUpstreams({
      clock,
      originator: init.originator,
      maxConnections: limits.maxUpstreamConnections,
      breaker: (cluster) => this.balancers.breaker(cluster),
    });
    this.#starts = new RequestStarts(clock, init.directory);
    const unreadable = new UnreadableRequests(clock, this.#starts, observer);
    this.#server = new TunnelServer({
      clock,
      sniffTimeoutMs: limits.sniffTimeoutMs,
      prefaceTimeoutMs: PREFACE_TIMEOUT_MS,
      model: () => init.model(),
      onRequest: (request) => this.#onRequest(request),
      onUnreadable: (request) => unreadable.onUnreadable(request),
      onBroken: (refusal) => unreadable.onBroken(refusal),
      admitTcp: (offered) => admitConnection(offered, this),
      onRefused: (refusal) => observer.tunnelRefused(refusalOf(refusal)),
    });
    this.#reportLater();
  }

  /** Stage "terminate" hands each CONNECT over here. */
  onTunnel(tunnel: TunnelContext, offer: TunnelOffer): void {
    this.#server.onTunnel(tunnel, offer);
  }

  /** Configuration was swapped: balancers follow, and what runs is judged again. */
  modelChanged(model: RouteModel): void {
    if (model.clusters !== this.#clusters) {
      this.#clusters = model.clusters;
      this.balancers.update(model.clusters);
      this.retryGate.retain(model.clusters);
    }
    this.live.modelChanged(model);
  }

  get upstreamConnections(): number {
    return this.#upstreams.size;
  }

  drain(): void {
    this.#server.drain();
  }

  /** What is left is cut. */
  destroy(): void {
    this.#cancelReports();
    this.live.cutAll();
    this.authorizers.close();
    this.#upstreams.destroy(new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down"));
  }

  model(): RouteModel {
    return this.#init.model();
  }

  localPrincipal(): string | undefined {
    return this.#init.localPrincipal();
  }

  /**
   * A byte stream to an endpoint of a cluster, for calls of our own: authorizers, collectors. Rejects with a MeshError.
   */
  async dialCluster(name: string): Promise<Duplex> {
    const cluster = this.model().clusters.get(name);
    if (!cluster) throw new MeshError(ErrorCode.CLUSTER_NOT_FOUND, `no cluster ${name}`);
    const picked = this.balancers.pick(cluster, { resource: "connections" });
    if (picked.kind === "none") throw unpicked(picked, "connections");
    const { endpoint, token } = picked;
    this.balancers.started(token);
    try {
      const dialled = await this.#init.originator.open(OWN_CALL, { cluster, endpoint, client: this.#init.ownAddress });
      this.balancers.responded(token, { kind: "success" });
      return dialled.transport.once("close", () => this.balancers.finished(token, { kind: "success" }));
    } catch (error) {
      const failure = MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" });
      this.balancers.finished(token, { kind: resultOfError(failure) });
      throw failure;
    }
  }

  connect(
    permit: RequestPermit,
    context: RoutedContext,
    upstream: Upstream,
    use: (connection: UpstreamConnection) => void,
  ): Promise<void> {
    return this.#upstreams.connect(permit, context, upstream, use);
  }

  async open(
    permit: ConnectionPermit,
    { tunnel: { client }, cluster, endpoint, signal }: ConnectionTarget,
  ): Promise<Duplex> {
    const serviceHostname = cluster.service?.hostname;
    return (await this.#init.originator.open(permit, { cluster, endpoint, client, serviceHostname, signal })).transport;
  }

  peerOf(endpoint: Endpoint): PeerInfo {
    return this.#init.directory.peerByIp(endpoint.address.ip)?.info ?? UNKNOWN_PEER;
  }

  sourceOf(tunnel: TunnelContext): PeerInfo {
    return this.#starts.sourceOf(tunnel);
  }

  meter(record: TcpRecord): TcpMeter {
    return this.#init.observer.connectionMeter(record);
  }

  onConnectionRefused(tunnel: TunnelContext, record: TcpRecord, message: string): void {
    this.#refused(tunnel, record.code ?? ErrorCode.INVARIANT_VIOLATED, record.policy, message);
  }

  onMirror(cluster: string, error: MeshError | undefined): void {
    this.#init.observer.mirrored(cluster, error);
  }

  onLimit(cluster: string, limit: string): void {
    this.#init.observer.limitReached(cluster, limit);
  }

  onStopped({ tunnel }: ArrivedRequest, { response, policy, message }: Stop): void {
    this.#refused(tunnel, response.code ?? ErrorCode.INVARIANT_VIOLATED, policy, message);
  }

  onCutByPolicy({ tunnel }: ArrivedRequest, code: ErrorCode, policy: string | undefined, message: string): void {
    this.#refused(tunnel, code, policy, message);
  }

  onProgress(record: RequestRecord): void {
    this.#init.observer.requestProgress(record);
  }

  onBug(error: unknown): void {
    this.#init.observer.bug(error);
  }

  onFinished(request: ArrivedRequest): void {
    this.#init.observer.requestFinished(request);
  }

  onConnectionFinished(chain: TcpChain, record: TcpRecord): void {
    this.#init.observer.connectionFinished(chain, record);
  }

  #onRequest({ tunnel, chain, exchange, refusal }: TunnelledRequest): void {
    const { head } = exchange;
    const trace = startTrace(head.headers, chain.tracing, this.random);
    const requestId = requestIdOf(head.headers, this.random);
    const record = this.#starts.recorderOf({ tunnel, chain, head, requestId, trace });
    this.#init.observer.requestStarted();
    const model = this.model();
    void serveRequest({ tunnel, chain, exchange, trace, requestId, record, model, refusal }, this);
  }

  #reportLater(): void {
    this.#cancelReports = this.clock.after(REPORT_MS, () => {
      this.live.reportAll();
      this.#reportLater();
    });
  }

  #refused(tunnel: TunnelContext, code: string, policy: string | undefined, message: string): void {
    this.#init.observer.refused(refusalOf({ tunnel, error: { code, message } }, policy));
  }
}
