/** The composition root: makes every part of a waypoint process and joins them. Decides nothing itself. */
import { existsSync } from "node:fs";
import { type DumpObject, type HttpServices, type Route, startHttpServices } from "@ambit/shared/admin";
import { type CertificateIssuer, type ControlPlaneAccess, createGrpcIssuer } from "@ambit/shared/ca";
import { type CrlWatch, Revocations, watchCrl } from "@ambit/shared/crl";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { Readiness } from "@ambit/shared/lifecycle";
import type { LogSystem } from "@ambit/shared/log";
import { createRegistry, type MetricsRegistry, registerProcessMetrics } from "@ambit/shared/metrics";
import { type IpAddress, ipOf, isLoopback, Port, type SocketAddress } from "@ambit/shared/net";
import type { ServiceAccess } from "@ambit/shared/proxy-config";
import type { Clock, Random } from "@ambit/shared/time";
import { sessionOptions } from "@ambit/shared/tunnel";
import { MeshStore } from "@ambit/shared/workload";
import { jwtFromProto } from "./authenticate/index.ts";
import type { Lookup } from "./balance/resolve-clusters.ts";
import { redactConfig, type WaypointConfig } from "./config/index.ts";
import { adminRoutes } from "./control/admin-routes.ts";
import { configDump } from "./control/config-dump.ts";
import { ControlPlane } from "./control/control-plane.ts";
import { OwnCertificate } from "./control/own-certificate.ts";
import { ReadinessGate } from "./control/readiness-gate.ts";
import { packageVersion } from "./control/version.ts";
import { waypointNode } from "./control/xds-node.ts";
import { createOriginator, type Originator } from "./forward/connect-originate.ts";
import { PeerDirectory } from "./forward/peer-directory.ts";
import type { RouteModel } from "./model/route-model.ts";
import {
  customPoliciesFromProto,
  externalAuthorizerFromProto,
  httpRulesFromProto,
  networkRulesFromProto,
} from "./policy/index.ts";
import { ConnectTerminator, type TerminationRefusal, type TunnelContext, type TunnelOffer } from "./terminate/index.ts";
import { createModelCompiler, type ModelCompiler } from "./xds/index.ts";

/** What carries traffic: everything between a tunnel that was offered and the endpoints. */
export interface Traffic {
  /** Answers each CONNECT. */
  onTunnel(tunnel: TunnelContext, offer: TunnelOffer): void;
  /** The configuration was swapped; also called once at the start. */
  modelChanged(model: RouteModel): void;
  /** The process is leaving: clients are told to go elsewhere, what runs may end. */
  drain(): void;
  /** Whether anything still runs; asked while draining. Tunnels are counted apart. */
  isIdle(): boolean;
  /** Its time is up: what is left is cut. */
  destroy(): void;
  /** A connection that never became a tunnel, or a CONNECT that was refused before it came here. */
  onTerminationRefused(refusal: TerminationRefusal): void;
  /** How many resources of a type are in rejection now. */
  onRejectedResources(typeUrl: string, count: number): void;
  /** More paths for the admin port. */
  readonly adminRoutes: readonly Route[];
  /** More sections for `/config_dump`. */
  dump(): DumpObject;
}

/** What traffic is made of. */
export interface TrafficParts {
  readonly config: WaypointConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logs: LogSystem;
  readonly registry: MetricsRegistry;
  readonly originator: Originator;
  readonly directory: PeerDirectory;
  /** How hosts of wildcards are looked up; default: as the system does. */
  readonly lookUp?: Lookup;
  /** The configuration of the moment. */
  model(): RouteModel;
  /** `spiffe://...`, once there is a certificate. */
  localPrincipal(): string | undefined;
}

/** What the process is made of besides its configuration; tests give others. */
export interface WaypointSeams {
  readonly clock: Clock;
  readonly random: Random;
  readonly logs: LogSystem;
  createTraffic(parts: TrafficParts): Traffic;
  /** Asks the owner of this waypoint to stop it. */
  requestShutdown(cause: string): void;
  /** Default 15008, where peers look for it. */
  readonly hbonePort?: number;
  /** Where endpoints' proxies listen; default 15008. */
  readonly endpointHbonePort?: number;
}

export interface BoundWaypoint {
  readonly addresses: HttpServices["addresses"] & { readonly hbone: SocketAddress };
  readonly readiness: Readiness;
  /** Drains: no new tunnels, existing ones may go on for `deadlineMs`; then everything is closed. */
  stop(deadlineMs: number): Promise<void>;
}

const IDLE_POLL_MS = 50;

/**
 * Starts a whole waypoint. Throws MeshError when something it needs cannot be had (a port, above all); what runs
 * afterwards copes with an absent control plane by itself and shows it by its readiness.
 */
export async function startWaypoint(config: WaypointConfig, seams: WaypointSeams): Promise<BoundWaypoint> {
  const app = new Waypoint(config, seams);
  await app.start();
  return app;
}

class Waypoint implements BoundWaypoint {
  readonly readiness = new Readiness();
  readonly #config: WaypointConfig;
  readonly #seams: WaypointSeams;
  readonly #store = new MeshStore();
  readonly #revocations = new Revocations();
  readonly #compiler: ModelCompiler;
  readonly #gate: ReadinessGate;
  readonly #issuer: CertificateIssuer;
  readonly #certificate: OwnCertificate;
  readonly #originator: Originator;
  readonly #terminator: ConnectTerminator;
  readonly #traffic: Traffic;
  readonly #registry: MetricsRegistry;
  readonly #controlPlane: ControlPlane;
  #crl: CrlWatch | undefined;
  #http: HttpServices | undefined;
  #hbone: SocketAddress | undefined;
  #stopping: Promise<void> | undefined;

  constructor(config: WaypointConfig, seams: WaypointSeams) {
    const { clock, random, logs } = seams;
    this.#config = config;
    this.#seams = seams;
    this.#gate = new ReadinessGate(this.readiness, clock);
    this.#registry = createRegistry(clock);
    registerProcessMetrics(this.#registry);
    this.#compiler = createModelCompiler({
      jwtFromProto,
      httpRulesFromProto,
      networkRulesFromProto,
      customPoliciesFromProto,
      externalAuthorizerFromProto,
    });
    this.#issuer = createGrpcIssuer({ access: accessTo(config, config.controlPlane.ca), asksFor: "own" });
    this.#certificate = this.#createCertificate();
    const directory = new PeerDirectory(this.#store, config.node.network);
    this.#originator = this.#createOriginator(directory);
    this.#traffic = seams.createTraffic({
      config,
      clock,
      random,
      logs,
      registry: this.#registry,
      originator: this.#originator,
      directory,
      model: () => this.#compiler.model,
      localPrincipal: () => (this.#certificate.state?.kind === "available" ? config.node.identity : undefined),
    });
    this.#terminator = this.#createTerminator();
    this.#controlPlane = this.#createControlPlane();
    this.#compiler.onModel((model) => this.#traffic.modelChanged(model));
    this.#traffic.modelChanged(this.#compiler.model);
  }

  get addresses(): BoundWaypoint["addresses"] {
    if (this.#http === undefined || this.#hbone === undefined) {
      throw new MeshError(ErrorCode.INVARIANT_VIOLATED, "the waypoint has not started");
    }
    return { ...this.#http.addresses, hbone: this.#hbone };
  }

  async start(): Promise<void> {
    const { listen } = this.#config;
    const { logs } = this.#seams;
    const admin = adminRoutes({
      logs,
      dump: () => this.#dump(),
      drain: () => this.#drain(),
      requestShutdown: () => this.#seams.requestShutdown("quitquitquit"),
      more: this.#traffic.adminRoutes,
    });
    const routes = { admin, registry: this.#registry, readiness: this.readiness };
    this.#http = await startHttpServices(listen, routes, logs.scope("admin"));
    try {
      this.#hbone = await this.#listen();
    } catch (error) {
      await this.#http.close();
      throw error;
    }
    this.#crl = this.#followCrl();
    this.#certificate.start();
    this.#controlPlane.start();
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#drain();
    await this.#untilIdle(deadlineMs);
    this.#controlPlane.stop();
    this.#traffic.destroy();
    this.#terminator.destroy(new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down"));
    this.#originator.drain();
    this.#crl?.stop();
    this.#certificate.stop();
    this.#issuer.close();
    this.#gate.stop();
    await this.#http?.close();
  }

  #drain(): void {
    this.readiness.task("draining");
    this.#terminator.drain();
    this.#traffic.drain();
  }

  #untilIdle(deadlineMs: number): Promise<void> {
    const { clock } = this.#seams;
    const deadline = clock.monotonic() + deadlineMs;
    return new Promise((resolve) => {
      const check = (): void => {
        const idle = this.#terminator.tunnels === 0 && this.#traffic.isIdle();
        if (idle || clock.monotonic() >= deadline) resolve();
        else clock.after(Math.min(IDLE_POLL_MS, deadlineMs), check);
      };
      check();
    });
  }

  async #listen(): Promise<SocketAddress> {
    const { publicIp } = this.#config.listen;
    const port = this.#seams.hbonePort ?? Port.HBONE;
    if (publicIp !== undefined) return listenOn(this.#terminator, publicIp, port);
    // Both families where there are both.
    const anyIpv4 = (): Promise<SocketAddress> => listenOn(this.#terminator, ipOf("0.0.0.0"), port);
    return this.#terminator.listen(ipOf("::"), port).catch(anyIpv4);
  }

  /** Until the list was read once, nobody knows who is revoked: not ready. */
  #followCrl(): CrlWatch | undefined {
    const path = this.#config.controlPlane.crlPath;
    if (path === undefined) return undefined;
    const { clock, logs } = this.#seams;
    const task = this.readiness.task("certificate revocation list");
    const crl = watchCrl({
      path,
      clock,
      log: logs.scope("crl"),
      onRevocations: (revoked) => {
        task.done();
        this.#revocations.replace(revoked);
        this.#terminator.revocationsChanged(this.#revocations);
        this.#originator.revocationsChanged(this.#revocations);
      },
    });
    void crl.first.then((isGood) => isGood && task.done());
    return crl;
  }

  #createCertificate(): OwnCertificate {
    const { clock, random, logs } = this.#seams;
    const { node, controlPlane, traffic } = this.#config;
    return new OwnCertificate({
      identity: node.identity,
      issuer: this.#issuer,
      clock,
      random,
      ttlSeconds: Math.ceil(controlPlane.secretTtlMs / 1000),
      waitMs: traffic.timeouts.tlsHandshakeMs,
      log: logs.scope("ca"),
      onMaterial: (material) => {
        this.#gate.certificateIsThere();
        try {
          this.#terminator.update(material);
        } catch (error) {
          logs.scope("ca").error("the new certificate is unusable, the old one stays", { error: error as Error });
        }
      },
    });
  }

  #createOriginator(directory: PeerDirectory): Originator {
    const { clock, random, endpointHbonePort } = this.#seams;
    const { node, traffic } = this.#config;
    return createOriginator({
      clock,
      random,
      identity: node.identity,
      material: () => this.#certificate.material(),
      directory,
      http2: sessionOptions(traffic.http2, clock),
      revocation: this.#revocations,
      timeouts: traffic.timeouts,
      pool: traffic.pool,
      ownIp: node.instanceIp,
      allowsLoopback: isOnLoopback(this.#config),
      ...(endpointHbonePort === undefined ? {} : { hbonePort: endpointHbonePort }),
    });
  }

  #createTerminator(): ConnectTerminator {
    const { clock } = this.#seams;
    const { traffic } = this.#config;
    const { http2, limits, timeouts, maxStreamsPerSession } = traffic;
    return new ConnectTerminator({
      clock,
      http2: { ...sessionOptions(http2, clock), maxConcurrentStreams: maxStreamsPerSession },
      handshakeTimeoutMs: timeouts.tlsHandshakeMs,
      maxSessionsPerPeer: limits.sessionsPerPeer,
      sessionIdleMs: timeouts.sessionIdleMs,
      maxSessions: limits.sessions,
      maxTunnels: limits.tunnels,
      allowsLoopback: isOnLoopback(this.#config),
      revocation: this.#revocations,
      material: () => this.#certificate.material(),
      onTunnel: (tunnel, offer) => this.#traffic.onTunnel(tunnel, offer),
      onRefused: (refusal) => this.#traffic.onTerminationRefused(refusal),
    });
  }

  #createControlPlane(): ControlPlane {
    const { clock, random, logs } = this.#seams;
    const observer = {
      onApplied: () => this.#gate.received(this.#controlPlane.pending()),
      onRejected: (typeUrl: string, count: number) => this.#traffic.onRejectedResources(typeUrl, count),
      onResponse: () => {},
      onTermination: () => {},
    };
    return new ControlPlane({
      access: accessTo(this.#config, this.#config.controlPlane.xds),
      node: waypointNode(this.#config.node),
      clock,
      random,
      log: logs.scope("xds"),
      compiler: this.#compiler,
      store: this.#store,
      observer,
    });
  }

  #dump(): DumpObject {
    return configDump({
      config: redactConfig(this.#config),
      version: packageVersion(),
      model: this.#compiler.model,
      store: this.#store,
      identity: this.#config.node.identity,
      certificate: this.#certificate.state,
      connection: this.#controlPlane.connection,
      rejected: this.#controlPlane.rejections(),
      traffic: this.#traffic.dump(),
    });
  }
}

/** In a lab without namespaces all pods are addresses of loopback, and we are one of them. */
const isOnLoopback = ({ listen }: WaypointConfig): boolean =>
  listen.publicIp !== undefined && isLoopback(listen.publicIp);

/** The default token file may be absent, then there is no authentication; one that was named must be there or be a token. */
function accessTo({ controlPlane, node }: WaypointConfig, service: ServiceAccess): ControlPlaneAccess {
  const { authToken, authTokenGiven } = controlPlane;
  const hasToken = authTokenGiven || existsSync(authToken);
  return { ...service, clusterId: node.clusterId, ...(hasToken ? { authToken } : {}) };
}

async function listenOn(terminator: ConnectTerminator, ip: IpAddress, port: number): Promise<SocketAddress> {
  try {
    return await terminator.listen(ip, port);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `cannot listen on ${ip}:${port}: ${why}`, { cause: error });
  }
}
