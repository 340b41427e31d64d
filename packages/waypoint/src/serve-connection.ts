/** A TCP connection through the waypoint: admitted by policy, forwarded, judged again on every change, and told. */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress } from "@ambit/shared/net";
import type { Clock, Random } from "@ambit/shared/time";
import type { ClusterBalancers } from "./balance/index.ts";
import type { Cluster, Endpoint } from "./balance/model.ts";
import { failureOutcome } from "./failure-outcome.ts";
import { forwardTcp, type TcpPick } from "./forward/forward-tcp.ts";
import type { Relay } from "./forward/relay-bytes.ts";
import type { LiveTraffic, LiveTrafficSet } from "./live-traffic.ts";
import type { RouteModel, TcpChain } from "./model/route-model.ts";
import { type PeerInfo, type ResponseFlag, type TcpMeter, type TcpRecord, UNKNOWN_PEER } from "./observe/index.ts";
import { connectionAttributes } from "./phases/policy-attributes.ts";
import { type ConnectionPermit, type ExternalAuthorizers, type ExternalPermit, evaluateTcp } from "./policy/index.ts";
import type { TcpAdmission } from "./serve-tunnel.ts";
import type { TunnelContext } from "./terminate/index.ts";

export interface ConnectionServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly balancers: ClusterBalancers;
  readonly live: LiveTrafficSet;
  readonly authorizers: ExternalAuthorizers;
  model(): RouteModel;
  open(permit: ConnectionPermit, tunnel: TunnelContext, cluster: Cluster, endpoint: Endpoint): Promise<Duplex>;
  peerOf(endpoint: Endpoint): PeerInfo;
  sourceOf(tunnel: TunnelContext): PeerInfo;
  meter(record: TcpRecord): TcpMeter;
  onConnectionFinished(chain: TcpChain, record: TcpRecord): void;
  /** `message` says what was expected and what came. */
  onConnectionRefused(tunnel: TunnelContext, record: TcpRecord, message: string): void;
}

/** Long connections are counted this often. Parity: Istio's tcp_reporting_duration. */
const REPORT_MS = 5_000;

/** Undefined: refused, and told. Never rejects. */
export async function admitConnection(
  tunnel: TunnelContext,
  chain: TcpChain,
  services: ConnectionServices,
): Promise<TcpAdmission | undefined> {
  const answer = await askAuthorizers(tunnel, chain, services.authorizers);
  const external = answer?.kind === "permit" ? answer.permit : undefined;
  const verdict = answer?.kind === "refuse" ? { ...answer, dryRun: [] } : judge(tunnel, chain, external);
  const connection = new ServedConnection(tunnel, chain, services);
  connection.dryRun = verdict.dryRun;
  connection.policy = verdict.policy;
  if (verdict.kind === "permit") {
    return { serve: (downstream) => void connection.serve(verdict.permit, external, downstream) };
  }
  connection.refuse(new MeshError(verdict.code, verdict.message));
  return undefined;
}

/** CUSTOM on TCP; undefined: nobody is to be asked. */
async function askAuthorizers(tunnel: TunnelContext, chain: TcpChain, authorizers: ExternalAuthorizers) {
  const { custom } = chain.authorization;
  if (custom.length === 0) return undefined;
  return authorizers.check(custom, { attributes: connectionAttributes(tunnel, undefined) });
}

function judge(tunnel: TunnelContext, chain: TcpChain, external: ExternalPermit | undefined) {
  if (chain.unservable !== undefined) {
    const refusal = { code: ErrorCode.CHAIN_UNSERVABLE, policy: undefined, message: chain.unservable, dryRun: [] };
    return { kind: "refuse", ...refusal } as const;
  }
  return evaluateTcp(chain.authorization, connectionAttributes(tunnel, undefined), external);
}

class ServedConnection implements LiveTraffic {
  dryRun: readonly string[] = [];
  policy: string | undefined;
  readonly #tunnel: TunnelContext;
  readonly #chain: TcpChain;
  readonly #services: ConnectionServices;
  readonly #startedAtEpochMs: number;
  readonly #startedMs: number;
  readonly #flags: ResponseFlag[] = [];
  #relay: Relay | undefined;
  #cluster: Cluster | undefined;
  #endpoint: Endpoint | undefined;
  #error: MeshError | undefined;
  /** The external authorizers' consent is of the connection's beginning. */
  #external: ExternalPermit | undefined;

  constructor(tunnel: TunnelContext, chain: TcpChain, services: ConnectionServices) {
    this.#tunnel = tunnel;
    this.#chain = chain;
    this.#services = services;
    this.#startedAtEpochMs = services.clock.now();
    this.#startedMs = services.clock.monotonic();
  }

  async serve(permit: ConnectionPermit, external: ExternalPermit | undefined, downstream: Duplex): Promise<void> {
    this.#external = external;
    const { clock, random, balancers, live } = this.#services;
    const leave = live.add(this);
    let meter: TcpMeter | undefined;
    let cancelReports = (): void => {};
    const report = (): void => {
      meter?.flush(this.#record());
      cancelReports = clock.after(REPORT_MS, report);
    };
    try {
      const end = await forwardTcp(permit, {
        chain: this.#chain,
        downstream,
        clock,
        random,
        findCluster: (name) => this.#services.model().clusters.get(name),
        pick: (cluster, tried) => pickEndpoint(balancers, cluster, tried),
        open: (granted, cluster, endpoint) => this.#services.open(granted, this.#tunnel, cluster, endpoint),
        onEndpoint: (cluster, endpoint) => {
          this.#cluster = cluster;
          this.#endpoint = endpoint;
        },
        onRelay: (relay) => {
          this.#relay = relay;
          meter = this.#services.meter(this.#record());
          cancelReports = clock.after(REPORT_MS, report);
        },
      });
      if (end.failed) this.#flags.push(end.failed === "upstream" ? "UC" : "DC");
    } catch (error) {
      this.#error = MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" });
      const { flag } = failureOutcome(this.#error);
      if (flag) this.#flags.push(flag);
      downstream.destroy(this.#error);
      this.#services.onConnectionRefused(this.#tunnel, this.#record(), this.#error.message);
    } finally {
      leave();
      cancelReports();
      const record = this.#record();
      meter?.close(record);
      this.#services.onConnectionFinished(this.#chain, record);
    }
  }

  refuse(error: MeshError): void {
    this.#error = error;
    const record = this.#record();
    this.#services.onConnectionRefused(this.#tunnel, record, error.message);
    this.#services.onConnectionFinished(this.#chain, record);
  }

  /** By the chain that now stands where its own stood; without one, it goes on as it is: the service may come back. */
  reconsider(model: RouteModel): void {
    const chain = model.findChains(this.#tunnel.destination)?.tcp;
    if (!chain || chain === this.#chain || !this.#relay) return;
    const verdict = judge(this.#tunnel, chain, this.#external);
    if (verdict.kind === "permit") return;
    this.policy = verdict.policy;
    this.#error = new MeshError(verdict.code, verdict.message);
    this.#services.onConnectionRefused(this.#tunnel, this.#record(), verdict.message);
    this.#relay.cut(this.#error);
  }

  cut(): void {
    this.#error ??= new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down");
    this.#relay?.cut(this.#error);
  }

  #record(): TcpRecord {
    const services = this.#services;
    return {
      startedAtEpochMs: this.#startedAtEpochMs,
      durationMs: services.clock.monotonic() - this.#startedMs,
      chain: this.#chain.name,
      cluster: this.#cluster?.name,
      flags: this.#flags,
      details: this.#error ? failureOutcome(this.#error).details : "",
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
    };
  }
}

function pickEndpoint(balancers: ClusterBalancers, cluster: Cluster, tried: ReadonlySet<string>): TcpPick {
  const picked = balancers.pick(cluster, { tried, resource: "connections" });
  if (picked.kind === "none") {
    const code = picked.reason === "circuit-open" ? ErrorCode.CIRCUIT_OPEN : ErrorCode.NO_HEALTHY_UPSTREAM;
    throw new MeshError(code, picked.message);
  }
  balancers.started(picked.token);
  return {
    endpoint: picked.endpoint,
    release: (kind) => balancers.finished(picked.token, { kind }),
  };
}
