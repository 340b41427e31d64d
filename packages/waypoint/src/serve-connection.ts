/** A TCP connection through the waypoint: admitted by policy, forwarded, judged again on every change, and told. */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress } from "@ambit/shared/net";
import type { Clock, Random } from "@ambit/shared/time";
import { type ClusterBalancers, hashText } from "./balance/index.ts";
import type { Cluster, Endpoint } from "./balance/model.ts";
import { failureOutcome } from "./failure-outcome.ts";
import { unpicked } from "./forward/attempt.ts";
import { forwardTcp, type TcpPick } from "./forward/forward-tcp.ts";
import { originalEndpoint } from "./forward/original-endpoint.ts";
import type { Relay, RelayEnd } from "./forward/relay-bytes.ts";
import { judge, judgeOffered, type OfferedConnection, REFUSAL, type Refused } from "./judge-connection.ts";
import type { LiveTraffic, LiveTrafficSet } from "./live-traffic.ts";
import type { Chains, RouteModel, TcpChain } from "./model/route-model.ts";
import { type PeerInfo, type ResponseFlag, type TcpMeter, type TcpRecord, UNKNOWN_PEER } from "./observe/index.ts";
import { connectionAttributes } from "./phases/policy-attributes.ts";
import type { ConnectionPermit, ExternalAuthorizers, ExternalPermit } from "./policy/index.ts";
import { detectProtocol, type TunnelContext } from "./terminate/index.ts";

/** Where a connection goes, and for whom. */
export interface ConnectionTarget {
  readonly tunnel: TunnelContext;
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly signal: AbortSignal;
}

export interface ConnectionServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly balancers: ClusterBalancers;
  readonly live: LiveTrafficSet;
  readonly authorizers: ExternalAuthorizers;
  model(): RouteModel;
  open(permit: ConnectionPermit, to: ConnectionTarget): Promise<Duplex>;
  peerOf(endpoint: Endpoint): PeerInfo;
  sourceOf(tunnel: TunnelContext): PeerInfo;
  meter(record: TcpRecord): TcpMeter;
  /** See `ForwardServices.onLimit`. */
  onLimit(cluster: string, limit: string): void;
  onConnectionFinished(chain: TcpChain, record: TcpRecord): void;
  /** `message` says what was expected and what came. */
  onConnectionRefused(tunnel: TunnelContext, record: TcpRecord, message: string): void;
}

/** It may pass. */
export interface TcpAdmission {
  readonly kind: "admitted";
  serve(downstream: Duplex): void;
}

/** What was refused before it began: a tunnel is answered with `status`. */
export interface TcpRefusal {
  readonly kind: "refused";
  readonly status: 401 | 503;
}

/** A refusal was told already. Never rejects. */
export async function admitConnection(
  offered: OfferedConnection,
  services: ConnectionServices,
): Promise<TcpAdmission | TcpRefusal> {
  const connection = new ServedConnection(offered, services);
  const { verdict, external } = await judgeOffered(offered, services.authorizers);
  if (verdict.kind === "refuse") {
    connection.refuse(verdict);
    // Parity: ztunnel answers what policy refuses with 401. Only 503 invites the peer to try again.
    return { kind: "refused", status: verdict.code === ErrorCode.CHAIN_UNSERVABLE ? 503 : 401 };
  }
  connection.dryRun = verdict.dryRun;
  connection.policy = verdict.policy;
  return { kind: "admitted", serve: (downstream) => void connection.serve(verdict.permit, external, downstream) };
}

const NOTHING: Buffer = Buffer.alloc(0);
const TLS_HANDSHAKE = 0x16;

class ServedConnection implements LiveTraffic {
  dryRun: readonly string[] = [];
  policy: string | undefined;
  readonly #tunnel: TunnelContext;
  readonly #chain: TcpChain;
  #sni: string | undefined;
  /** The beginning of a ClientHello that is not complete. */
  #hello: Buffer = NOTHING;
  readonly #services: ConnectionServices;
  readonly #startedAtEpochMs: number;
  readonly #startedMs: number;
  readonly #flags: ResponseFlag[] = [];
  /** Ends it while it is not yet a relay. */
  readonly #abort = new AbortController();
  #relay: Relay | undefined;
  #meter: TcpMeter | undefined;
  #cluster: Cluster | undefined;
  #endpoint: Endpoint | undefined;
  #error: MeshError | undefined;
  #details = "";
  /** Its refusal was told. */
  #isTold = false;
  /** The external authorizers' consent is of the connection's beginning. */
  #external: ExternalPermit | undefined;

  constructor({ tunnel, chain, sni }: OfferedConnection, services: ConnectionServices) {
    this.#tunnel = tunnel;
    this.#chain = chain;
    this.#sni = sni;
    this.#services = services;
    this.#startedAtEpochMs = services.clock.now();
    this.#startedMs = services.clock.monotonic();
  }

  async serve(permit: ConnectionPermit, external: ExternalPermit | undefined, downstream: Duplex): Promise<void> {
    this.#external = external;
    const services = this.#services;
    const leave = services.live.add(this);
    // Authorizers may have been asked meanwhile.
    this.reconsider(services.model());
    const onGone = (): void => this.#end(new MeshError(ErrorCode.DOWNSTREAM_RESET, "the client left", DOWNSTREAM));
    downstream.once("close", onGone);
    if (downstream.destroyed) onGone();
    try {
      this.#onEnd(await this.#forward(permit, downstream));
    } catch (error) {
      this.#onFailure(MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" }));
      downstream.destroy(this.#error);
    } finally {
      leave();
      const record = this.#record();
      this.#meter?.close(record);
      services.onConnectionFinished(this.#chain, record);
    }
  }

  refuse({ code, policy, message, dryRun }: Refused): void {
    this.dryRun = dryRun;
    this.policy = policy;
    this.#error = new MeshError(code, message);
    this.#tell();
    this.#services.onConnectionFinished(this.#chain, this.#record());
  }

  /**
   * By the chain that now stands where its own stood. Where nothing is served any more it goes on: the service may come
   * back. Where HTTP is served instead it ends: the bytes may be requests that its policies must see.
   */
  reconsider(model: RouteModel): void {
    const chains = model.findChains(this.#tunnel.destination, this.#tunnel.peerPrincipal);
    if (chains && chains.tcp !== this.#chain) this.#judgeAgain(chains);
  }

  cut(): void {
    this.#end(new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down"));
  }

  report(): void {
    this.#meter?.flush(this.#record());
  }

  #judgeAgain(chains: Chains): void {
    const verdict = chains.tcp
      ? judge(chains.tcp, connectionAttributes(this.#tunnel, this.#sni), this.#external)
      : { ...REFUSAL, code: ErrorCode.TUNNEL_DESTINATION_UNKNOWN, message: "the port speaks HTTP now" };
    if (verdict.kind === "permit") return;
    this.policy = verdict.policy;
    this.#end(new MeshError(verdict.code, verdict.message));
    this.#tell();
  }

  /**
   * A client that names its server late, after whoever peeked had to give up waiting, is judged by the name all the same:
   * the last bytes of its ClientHello do not go on before.
   */
  #lookForServerName(chunk: Buffer, relay: Relay): void {
    const seen = Buffer.concat([this.#hello, chunk]);
    const found = seen[0] === TLS_HANDSHAKE ? detectProtocol(seen) : undefined;
    this.#hello = found?.kind === "need-more" ? seen : NOTHING;
    if (found?.kind === "need-more") return;
    relay.onDownstreamBytes = undefined;
    if (found?.kind !== "tls" || found.sni === this.#sni) return;
    this.#sni = found.sni;
    const chains = this.#services.model().findChains(this.#tunnel.destination, this.#tunnel.peerPrincipal);
    if (chains) this.#judgeAgain(chains);
  }

  #forward(permit: ConnectionPermit, downstream: Duplex): Promise<RelayEnd> {
    const services = this.#services;
    const { clock, random } = services;
    return forwardTcp(permit, {
      chain: this.#chain,
      downstream,
      clock,
      random,
      signal: this.#abort.signal,
      findCluster: (name) => services.model().clusters.get(name),
      pick: (cluster, tried) => this.#pick(cluster, tried),
      open: (granted, cluster, endpoint) =>
        services.open(granted, { tunnel: this.#tunnel, cluster, endpoint, signal: this.#abort.signal }),
      onEndpoint: (cluster, endpoint) => {
        this.#cluster = cluster;
        this.#endpoint = endpoint;
      },
      onRelay: (relay) => {
        this.#relay = relay;
        relay.onDownstreamBytes = (chunk) => this.#lookForServerName(chunk, relay);
        if (!this.#chain.telemetry.metricsDisabled) this.#meter = services.meter(this.#record());
      },
    });
  }

  #pick(cluster: Cluster, tried: ReadonlySet<string>): TcpPick {
    const { balancers, clock } = this.#services;
    const { client, destination } = this.#tunnel;
    const original = originalEndpoint(cluster, destination);
    const picked = balancers.pick(cluster, {
      tried,
      resource: "connections",
      ...(original === undefined ? {} : { original }),
      ...(this.#chain.hashesSourceIp ? { hash: hashText(client.ip) } : {}),
    });
    if (picked.kind === "none") {
      if (picked.reason === "circuit-open") this.#services.onLimit(cluster.name, "connections");
      throw unpicked(picked, "connections");
    }
    const { token, endpoint } = picked;
    const startedMs = clock.monotonic();
    balancers.started(token);
    return {
      endpoint,
      connected: () => balancers.responded(token, { kind: "success", firstByteMs: clock.monotonic() - startedMs }),
      release: (kind) => balancers.finished(token, { kind }),
    };
  }

  /** It runs no longer, whether it ran already or not. */
  #end(error: MeshError): void {
    if (this.#relay && error.origin === "downstream") return;
    this.#error ??= error;
    this.#abort.abort(error);
    this.#relay?.cut(error);
  }

  #onEnd({ failed, error }: RelayEnd): void {
    if (failed) this.#flags.push(failed === "upstream" ? "UC" : "DC");
    const limit = error instanceof MeshError ? error.context["limit"] : undefined;
    if (limit === "idle") this.#details = "idle_timeout";
    if (limit === "duration") {
      this.#details = "max_duration_timeout";
      this.#flags.push("DT");
    }
  }

  #onFailure(error: MeshError): void {
    this.#error ??= error;
    const { flag } = failureOutcome(this.#error);
    if (flag) this.#flags.push(flag);
    // A client that left was refused nothing.
    if (this.#error.code !== ErrorCode.DOWNSTREAM_RESET) this.#tell();
  }

  #tell(): void {
    if (this.#isTold || !this.#error) return;
    this.#isTold = true;
    this.#services.onConnectionRefused(this.#tunnel, this.#record(), this.#error.message);
  }

  #record(): TcpRecord {
    const services = this.#services;
    return {
      startedAtEpochMs: this.#startedAtEpochMs,
      durationMs: services.clock.monotonic() - this.#startedMs,
      chain: this.#chain.name,
      cluster: this.#cluster?.name,
      flags: this.#flags,
      details: this.#error ? failureOutcome(this.#error).details : this.#details,
      code: this.#error?.code,
      policy: this.policy,
      dryRun: this.dryRun,
      bytesFromDownstream: this.#relay?.bytesFromDownstream ?? 0,
      bytesFromUpstream: this.#relay?.bytesFromUpstream ?? 0,
      upstreamFailure: this.#error?.origin === "upstream" ? this.#error.message : undefined,
      source: services.sourceOf(this.#tunnel),
      destination: this.#endpoint ? services.peerOf(this.#endpoint) : UNKNOWN_PEER,
      destinationService: this.#cluster?.service ?? this.#chain.service,
      upstreamHost: this.#endpoint?.key,
      downstreamRemote: formatSocketAddress(this.#tunnel.client),
      downstreamLocal: this.#tunnel.authorityText,
      requestedServerName: this.#sni,
    };
  }
}

const DOWNSTREAM = { origin: "downstream" } as const;
