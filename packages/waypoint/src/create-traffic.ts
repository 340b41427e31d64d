/** Joins what carries traffic with what is told of it: metrics, access log, spans, recent refusals, the config dump. */
import { type DumpObject, json, type Route } from "@ambit/shared/admin";
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { LineLimit, type Logger } from "@ambit/shared/log";
import { formatSocketAddress, type IpAddress } from "@ambit/shared/net";
import type { Traffic, TrafficParts } from "./app.ts";
import { addressGuard, fetchJwks, JwksCache } from "./authenticate/index.ts";
import { DynamicHosts } from "./balance/dynamic-hosts.ts";
import type { EndpointEvent } from "./balance/index.ts";
import { ClusterResolver } from "./balance/resolve-clusters.ts";
import { packageVersion } from "./control/version.ts";
import type { RouteModel, TcpChain } from "./model/route-model.ts";
import {
  createAccessLog,
  createLogExport,
  createRequestMetrics,
  createTraceExport,
  createWaypointMetrics,
  type LogExport,
  type MetricOverrides,
  type RequestMetrics,
  type RequestRecord,
  type TcpMeter,
  type TcpRecord,
  type TraceExport,
  type WaypointMetrics,
} from "./observe/index.ts";
import { RecentRefusals } from "./observe/recent-refusals.ts";
import type { ArrivedRequest } from "./request-context.ts";
import type { TerminationRefusal, TunnelContext, TunnelOffer } from "./terminate/index.ts";
import { WaypointTraffic } from "./traffic.ts";
import type { TrafficObserver, TrafficRefusal } from "./traffic-observer.ts";

/** Metric series without traffic are forgotten about this often. */
const EXPIRE_MS = 5 * 60_000;
const STOP_EXPORT_MS = 2_000;
/** Lines about tunnels, sessions and connections that came to nothing. */
const TUNNEL_LINES_PER_SECOND = 100;

export function createTraffic(parts: TrafficParts): Traffic {
  return new ObservedTraffic(parts);
}

/** Public, allowed by the operator, or, as a second line, at least nothing that the mesh knows as its own. */
function externalGuard({ config, directory }: TrafficParts): (address: IpAddress) => boolean {
  const isAllowed = addressGuard(config.traffic.externalNetworks);
  return (ip) => isAllowed(ip) && directory.peerByIp(ip) === undefined && directory.serviceByVip(ip) === undefined;
}

class ObservedTraffic implements Traffic, TrafficObserver {
  readonly adminRoutes: readonly Route[];
  readonly #parts: TrafficParts;
  readonly #log: Logger;
  readonly #metrics: WaypointMetrics;
  readonly #requests: RequestMetrics;
  readonly #accessLog;
  readonly #refusals = new RecentRefusals();
  readonly #traffic: WaypointTraffic;
  readonly #resolver: ClusterResolver;
  readonly #spans: TraceExport;
  readonly #records: LogExport;
  readonly #tunnelLines: LineLimit;
  #active = 0;
  #activeConnections = 0;
  #cancelExpiry = (): void => {};

  constructor(parts: TrafficParts) {
    const { registry, logs, clock, random, config } = parts;
    this.#parts = parts;
    this.#log = logs.scope("access");
    this.#tunnelLines = new LineLimit(clock, TUNNEL_LINES_PER_SECOND);
    const isAllowed = addressGuard(config.traffic.jwksNetworks);
    this.#metrics = createWaypointMetrics(registry, packageVersion());
    this.#requests = createRequestMetrics(registry);
    this.#traffic = new WaypointTraffic({
      clock,
      random,
      originator: parts.originator,
      directory: parts.directory,
      jwks: new JwksCache({ clock, fetch: (uri, timeoutMs) => fetchJwks(uri, { timeoutMs, clock, isAllowed }) }),
      dynamicHosts: new DynamicHosts({ clock, lookUp: parts.lookUp, isAllowed: externalGuard(parts) }),
      observer: this,
      limits: {
        sniffTimeoutMs: config.traffic.timeouts.sniffMs,
        maxUpstreamConnections: config.traffic.limits.upstreamConnections,
        replayBytes: config.traffic.limits.replayBytes,
      },
      ownAddress: { ip: config.node.instanceIp, port: 0 },
      model: () => parts.model(),
      localPrincipal: () => parts.localPrincipal(),
    });
    this.#resolver = new ClusterResolver(clock, this.#traffic.balancers);
    this.#spans = createTraceExport({
      clock,
      random,
      dial: (cluster) => this.#traffic.dialCluster(cluster),
      resource: [["k8s.namespace.name", config.node.podNamespace]],
      environment: process.env,
      onExported: (spans) => this.#metrics.spansExported(spans),
      onDropped: (spans) => this.#metrics.spansDropped(spans),
    });
    const { podName, podNamespace, serviceAccount } = config.node;
    this.#records = createLogExport({
      clock,
      random,
      dial: (cluster) => this.#traffic.dialCluster(cluster),
      resource: [
        ["service.name", `${serviceAccount}.${podNamespace}`],
        ["k8s.namespace.name", podNamespace],
      ],
      node: { id: `${podName}.${podNamespace}`, cluster: `${serviceAccount}.${podNamespace}` },
      onExported: (records) => this.#metrics.logsExported(records),
      onDropped: (records) => this.#metrics.logsDropped(records),
    });
    this.#accessLog = createAccessLog({
      output: logs.output,
      collectors: this.#records,
      onInvalid: (reason) => this.#log.warn("access log format", { reason }),
    });
    this.adminRoutes = [
      { method: "GET", path: "/debug/refusals", handle: () => json(this.#refusals.list()) },
      { method: "GET", path: "/debug/clusters", handle: () => json(this.#traffic.balancers.status()) },
    ];
    this.#expireLater();
  }

  onTunnel(tunnel: TunnelContext, offer: TunnelOffer): void {
    this.#traffic.onTunnel(tunnel, offer);
  }

  modelChanged(model: RouteModel): void {
    this.#traffic.modelChanged(model);
    this.#resolver.update(model.clusters);
    this.#metrics.configGeneration.set(model.generation);
    this.#metrics.configSwaps.inc();
  }

  drain(): void {
    this.#traffic.drain();
  }

  isIdle(): boolean {
    return this.#active === 0 && this.#traffic.live.size === 0;
  }

  destroy(): void {
    this.#cancelExpiry();
    this.#resolver.stop();
    this.#traffic.destroy();
    void this.#spans.stop(STOP_EXPORT_MS);
    void this.#records.stop(STOP_EXPORT_MS);
  }

  dump(): DumpObject {
    return { clusters: this.#traffic.balancers.status(), upstreamConnections: this.#traffic.upstreamConnections };
  }

  onRejectedResources(typeUrl: string, count: number): void {
    this.#metrics.rejectedResources(typeUrl).set(count);
  }

  onTerminationRefused({ error, remote, peerPrincipal, authorityText }: TerminationRefusal): void {
    this.tunnelRefused({
      code: error.code,
      policy: undefined,
      message: error.message,
      source: [peerPrincipal, remote && `(${formatSocketAddress(remote)})`].filter(Boolean).join(" "),
      destination: authorityText ?? "",
    });
  }

  tunnelRefused(refusal: TrafficRefusal): void {
    const { code, policy } = refusal;
    if (code !== ErrorCode.DOWNSTREAM_RESET) this.#metrics.refused({ code, policy, chain: "-" });
    const leftOut = this.#tunnelLines.next();
    if (leftOut === undefined) return;
    this.refused(leftOut > 0 ? { ...refusal, message: `${refusal.message} (${leftOut} more were left out)` } : refusal);
  }

  requestStarted(): void {
    this.#active += 1;
    this.#metrics.activeRequests.set(this.#active);
  }

  requestFinished({ record, chain }: Pick<ArrivedRequest, "chain" | "record">, isTold = true): void {
    this.#active -= 1;
    this.#metrics.activeRequests.set(this.#active);
    const finished = record.finish();
    if (!chain.telemetry.metricsDisabled) this.#requests.request(finished, chain.telemetry.overrides);
    // A client that left was refused nothing.
    if (finished.code !== ErrorCode.DOWNSTREAM_RESET) this.#metrics.refused(finished);
    for (let retry = 1; retry < finished.attempts; retry++) this.#metrics.retried(finished.cluster ?? "");
    if (isTold) this.#accessLog.log(chain.accessLog, finished);
    if (chain.tracing) this.#spans.record(finished, chain.tracing);
  }

  requestProgress(record: RequestRecord): void {
    this.#requests.progress(record, this.#overridesOf(record));
  }

  connectionMeter(record: TcpRecord): TcpMeter {
    const { activeConnections } = this.#metrics;
    const meter = this.#requests.tcpOpened(record, this.#overridesOf(record));
    activeConnections.set(++this.#activeConnections);
    return {
      flush: (later) => meter.flush(later),
      close: (last) => {
        activeConnections.set(--this.#activeConnections);
        meter.close(last);
      },
    };
  }

  #overridesOf({ chain }: RequestRecord | TcpRecord): MetricOverrides | undefined {
    return this.#parts.model().chains.get(chain)?.telemetry.overrides;
  }

  connectionFinished(chain: TcpChain, record: TcpRecord): void {
    if (record.code !== ErrorCode.DOWNSTREAM_RESET) this.#metrics.refused(record);
    this.#accessLog.log(chain.accessLog, record);
  }

  refused({ code, policy, message, source, destination }: TrafficRefusal): void {
    const at = new Date(this.#parts.clock.now()).toISOString();
    const named = policy === undefined ? {} : { policy };
    this.#refusals.add({ at, source, destination, reason: code, message, ...named });
    this.#log.info("refused", { reason: code, source, destination, message, ...named });
  }

  mirrored(cluster: string, error: MeshError | undefined): void {
    if (error) this.#log.debug("a mirrored request failed", { cluster, error });
  }

  limitReached(cluster: string, limit: string): void {
    if (limit === "budget") this.#metrics.budgetDenied(cluster);
    else this.#metrics.circuitOpened(cluster, limit);
  }

  endpointEvent(event: EndpointEvent): void {
    if (event.kind === "ejected") this.#metrics.ejected(event.cluster, event.reason);
    this.#log.info("endpoint", { ...event });
  }

  bug(error: unknown): void {
    this.#log.error("a request ended by a fault of ours", { error: error as Error });
  }

  #expireLater(): void {
    const { clock, logs } = this.#parts;
    this.#cancelExpiry = clock.after(EXPIRE_MS, () => {
      this.#requests.expire(clock.monotonic());
      this.#metrics.labelOverflow.set(this.#requests.overflowed());
      this.#metrics.logLinesDropped.set(logs.dropped());
      this.#expireLater();
    });
  }
}
