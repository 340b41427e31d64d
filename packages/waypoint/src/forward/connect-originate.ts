/**
 * Stage "forward": the byte stream to one endpoint. Through the endpoint's own proxy (HBONE, with the waypoint's
 * identity) or straight to it, and TLS inside where a DestinationRule wants it.
 *
 * Parity: the `connect_originate` cluster and its listener. Differs: where the control plane has told whose an address
 * is, exactly that identity must answer, not just any of the trust domain; the tunnel says who the client is.
 */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import {
  buildConnectRequest,
  emptyBaggage,
  formatForwarded,
  newTraceContext,
  type TraceContext,
} from "@ambit/shared/hbone";
import type { H2Options } from "@ambit/shared/http2";
import { parseSpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import { formatSocketAddress, type IpAddress, isLoopback, Port, type SocketAddress } from "@ambit/shared/net";
import type { Clock, Random } from "@ambit/shared/time";
import type { ExpectedPeer, IdentityMaterial, RevocationCheck } from "@ambit/shared/tls";
import { createDialer, HbonePool, openTunnel, type TunnelRoute } from "@ambit/shared/tunnel";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { ConnectionPermit, RequestPermit } from "../policy/model.ts";
import { type OpenDeadline, openWithin } from "./connect-originate-deadline.ts";
import { connectTcp } from "./connect-originate-tcp.ts";
import { originateTls } from "./connect-originate-tls.ts";
import type { PeerDirectory } from "./peer-directory.ts";
import { TunnelDuplex } from "./tunnel-duplex.ts";

declare const ownCallBrand: unique symbol;

/** What the waypoint calls for itself, by its configuration: authorizers, key servers, collectors. No client's bytes. */
export interface OwnCall {
  readonly [ownCallBrand]: "own-call";
}
export const OWN_CALL = Object.freeze({}) as OwnCall;

export type ForwardPermit = RequestPermit | ConnectionPermit | OwnCall;

export interface OriginatorInit {
  readonly clock: Clock;
  readonly random: Random;
  /** The waypoint's own; asked before each dial, so that the current certificate is used. */
  readonly identity: SpiffeUri;
  material(): Promise<IdentityMaterial>;
  readonly directory: PeerDirectory;
  readonly http2: H2Options;
  readonly revocation: RevocationCheck;
  readonly timeouts: {
    readonly tcpConnectMs: number;
    readonly tlsHandshakeMs: number;
    readonly connectResponseMs: number;
  };
  readonly pool: { readonly maxStreamsPerSession: number; readonly idleReleaseMs: number };
  /** The waypoint's own address, never an endpoint: the connection would come back. */
  readonly ownIp: IpAddress;
  /** Endpoints on loopback are refused otherwise: they would be this process, its admin port for one. Tests and labs. */
  readonly allowsLoopback: boolean;
  /** Port of HBONE. Default 15008. */
  readonly hbonePort?: number;
}

export interface Origination {
  readonly endpoint: Endpoint;
  readonly cluster: Pick<Cluster, "connectTimeoutMs" | "transport">;
  /** On whose behalf, as the tunnel tells it to the destination; the waypoint itself for calls of its own. */
  readonly client: SocketAddress;
  /** Hostname of the service that was called. */
  readonly serviceHostname?: string | undefined;
  readonly trace?: TraceContext | undefined;
  /** Gives up; rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

export interface Originated {
  /** The application's bytes. The caller's to end or destroy. */
  readonly transport: Duplex;
  /** SPIFFE URI of the proxy that answered; absent for plain endpoints. */
  readonly peerIdentity?: string;
  /** What TLS origination agreed to. */
  readonly alpnProtocol?: string;
}

export interface Originator {
  /**
   * Opens a stream to the endpoint within the cluster's connect timeout. Nothing was sent for the caller when it
   * rejects: UPSTREAM_CONNECT_*, HBONE_CONNECT_*, TLS_*, H2_* (retry safe: another endpoint may do); LOOP_REFUSED,
   * IDENTITY_UNAVAILABLE, CONNECTION_LIMIT_REACHED, CONNECTION_DRAINED, CANCELLED (retry never).
   */
  open(permit: ForwardPermit, origination: Origination): Promise<Originated>;
  /** HBONE sessions, those being dialled included. */
  readonly sessions: number;
  revocationsChanged(revocation: RevocationCheck): void;
  /** No new tunnels; sessions end with their streams. */
  drain(): void;
}

/** Only one identity and one owner here: the waypoint. */
const OWNER = "waypoint";

export function createOriginator(init: OriginatorInit): Originator {
  return new ConnectOriginator(init);
}

class ConnectOriginator implements Originator {
  readonly #init: OriginatorInit;
  readonly #pool: HbonePool<TunnelRoute, ForwardPermit>;

  constructor(init: OriginatorInit) {
    const { clock, timeouts, http2, revocation } = init;
    this.#init = init;
    const dial = createDialer<TunnelRoute>({
      clock,
      options: http2,
      tlsHandshakeMs: timeouts.tlsHandshakeMs,
      revocation,
      material: () => init.material(),
      connect: ({ nextHop }) => connectTcp({ target: nextHop, timeoutMs: timeouts.tcpConnectMs, clock }),
    });
    this.#pool = new HbonePool({ clock, dial, ...init.pool });
  }

  async open(permit: ForwardPermit, origination: Origination): Promise<Originated> {
    const loop = refuseLoop(this.#init, origination.endpoint);
    if (loop !== undefined) throw loop;
    const { endpoint, cluster, signal } = origination;
    const deadline: OpenDeadline = {
      clock: this.#init.clock,
      timeoutMs: cluster.connectTimeoutMs,
      what: formatSocketAddress(endpoint.address),
      signal,
    };
    return openWithin(deadline, (inner) => this.#openSecured(permit, { ...origination, signal: inner })).catch(
      (error: unknown) => {
        throw asUpstreamFailure(error);
      },
    );
  }

  get sessions(): number {
    return this.#pool.sessions;
  }

  revocationsChanged(revocation: RevocationCheck): void {
    this.#pool.revocationsChanged(revocation);
  }

  drain(): void {
    this.#pool.drain();
  }

  async #openSecured(permit: ForwardPermit, origination: Origination): Promise<Originated> {
    const { endpoint, cluster, signal } = origination;
    const raw = await this.#openRaw(permit, origination);
    if (cluster.transport.kind === "raw") return raw;
    const { transport, alpnProtocol } = await originateTls({
      transport: raw.transport,
      tls: cluster.transport,
      address: endpoint.hostname ?? endpoint.address.ip,
      timeoutMs: cluster.connectTimeoutMs,
      clock: this.#init.clock,
      signal,
    });
    return { ...raw, transport, ...(alpnProtocol === undefined ? {} : { alpnProtocol }) };
  }

  async #openRaw(permit: ForwardPermit, origination: Origination): Promise<Originated> {
    const { endpoint, cluster, signal } = origination;
    if (endpoint.reach.kind === "hbone") return this.#openTunnel(permit, origination, endpoint.reach.via);
    const { clock } = this.#init;
    const target = endpoint.address;
    return { transport: await connectTcp({ target, timeoutMs: cluster.connectTimeoutMs, clock, signal }) };
  }

  async #openTunnel(permit: ForwardPermit, origination: Origination, via?: SocketAddress): Promise<Originated> {
    const { clock, random, identity, directory, timeouts, hbonePort } = this.#init;
    const { endpoint, client, serviceHostname, trace, signal } = origination;
    const nextHop = via ?? { ip: endpoint.address.ip, port: hbonePort ?? Port.HBONE };
    const opened = await openTunnel(permit, {
      pool: this.#pool,
      clock,
      route: { identity, owner: OWNER, nextHop, expected: expectedAt(this.#init, nextHop.ip) },
      headers: buildConnectRequest({
        authority: formatSocketAddress(endpoint.address),
        baggage: directory.peerByIp(client.ip)?.baggage ?? emptyBaggage,
        forwarded: formatForwarded(client, serviceHostname),
        trace: trace ?? newTraceContext(random),
      }),
      responseTimeoutMs: timeouts.connectResponseMs,
      signal,
    });
    return { transport: new TunnelDuplex(opened.stream), peerIdentity: opened.peer.uri };
  }
}

/** Whom the proxy at `ip` must prove to be. An address that nobody has told us about may be any workload of ours. */
function expectedAt({ directory, identity }: OriginatorInit, ip: IpAddress): ExpectedPeer {
  const peer = directory.peerByIp(ip);
  if (peer !== undefined) return [peer.identity];
  const own = parseSpiffeId(identity);
  return own.ok ? { trustDomain: own.value.trustDomain } : [];
}

function refuseLoop({ ownIp, allowsLoopback }: OriginatorInit, endpoint: Endpoint): MeshError | undefined {
  const hops = [endpoint.address.ip, ...(endpoint.reach.kind === "hbone" ? [endpoint.reach.via?.ip] : [])];
  const isOurs = (ip: IpAddress | undefined): boolean =>
    ip === ownIp || ip === "0.0.0.0" || ip === "::" || (ip !== undefined && isLoopback(ip) && !allowsLoopback);
  if (!hops.some(isOurs)) return undefined;
  return new MeshError(ErrorCode.LOOP_REFUSED, `endpoint ${endpoint.key} is the waypoint itself`);
}

/** What another endpoint would fail with just the same. */
const OUR_OWN: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.IDENTITY_UNAVAILABLE,
  ErrorCode.CONNECTION_LIMIT_REACHED,
  ErrorCode.CONNECTION_DRAINED,
  ErrorCode.CANCELLED,
  ErrorCode.INVARIANT_VIOLATED,
]);

/** No byte of the caller's was sent, so every failure of this endpoint leaves others to try. */
function asUpstreamFailure(error: unknown): MeshError {
  const failure = MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream", retry: "safe" });
  if (failure.retry === "safe" || OUR_OWN.has(failure.code)) return failure;
  const { code, message, context } = failure;
  return new MeshError(code, message, { origin: "upstream", retry: "safe", cause: failure, context });
}
