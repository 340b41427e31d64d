/** The composition root: makes every part of a ztunnel process and joins them. Decides nothing itself. */
import { startHttpServices } from "@ambit/shared/admin";
import type { CertificateIssuer, SecretManager } from "@ambit/shared/ca";
import { createSecretManager } from "@ambit/shared/ca";
import { type CrlWatch, watchCrl } from "@ambit/shared/crl";
import { Readiness } from "@ambit/shared/lifecycle";
import type { LogSystem } from "@ambit/shared/log";
import { createRegistry } from "@ambit/shared/metrics";
import type { SocketAddress } from "@ambit/shared/net";
import type { Platform } from "@ambit/shared/platform";
import type { Clock, Random } from "@ambit/shared/time";
import { nameserversOf } from "./config/dns.ts";
import { type DataPlaneConfig, redactConfig, type ZtunnelConfig } from "./config/index.ts";
import { adminRoutes } from "./control/admin-routes.ts";
import { createDataPlane, type DataPlane } from "./control/data-plane.ts";
import { registerGauges } from "./control/gauges.ts";
import { LocalCertificates } from "./control/local-certificates.ts";
import { createMeshHandlers, type MeshHandlers } from "./control/mesh-feed.ts";
import { createZtunnelMetrics, type ZtunnelMetrics } from "./control/metrics.ts";
import { createRecordSink } from "./control/records.ts";
import { RefusalRing } from "./control/refusals.ts";
import { StateMirror } from "./control/state-mirror.ts";
import { packageVersion, versionInfo } from "./control/version.ts";
import { WorkerPool } from "./control/worker-pool.ts";
import { type SpawnWorker, threadSpawner } from "./control/worker-thread.ts";
import type { FromWorker } from "./messages.ts";
import { ENROLMENT_FAILED } from "./shutdown-causes.ts";

/** What the process is made of besides its configuration; tests give others. */
export interface ZtunnelSeams {
  readonly platform: Platform;
  readonly clock: Clock;
  readonly random: Random;
  readonly logs: LogSystem;
  /** Text of /etc/resolv.conf, for the default of AMBIT_DNS_UPSTREAMS. */
  readonly resolvConf: string;
  /** Asks the owner of this ztunnel to stop it. */
  readonly requestShutdown: (cause: string) => void;
  readonly parts: ZtunnelParts;
  readonly spawnWorker?: SpawnWorker;
}

/** The parts that talk to the outside of the node. */
export interface ZtunnelParts {
  issuer(config: ZtunnelConfig, seams: ZtunnelSeams): CertificateIssuer;
  /** Starts following the control plane. */
  mesh(config: ZtunnelConfig, seams: ZtunnelSeams, handlers: MeshHandlers, metrics: ZtunnelMetrics): { stop(): void };
  /** Starts enrolling pods; called once the mesh is known. */
  enrolment(config: ZtunnelConfig, seams: ZtunnelSeams, dataPlane: DataPlane): Promise<RunningEnrolment>;
}

export interface RunningEnrolment {
  /** Pods that should be served and are not yet. */
  pending(): number;
  /** Resolves when the first attempt for every pod of the node has ended. */
  readonly settled: Promise<void>;
  stop(): Promise<void>;
}

export interface BoundZtunnel {
  readonly addresses: {
    readonly admin: SocketAddress;
    readonly metrics: SocketAddress;
    readonly readiness: SocketAddress;
  };
  readonly readiness: Readiness;
  /** Drains: no new connections, existing ones may go on for `deadlineMs`; then everything is closed. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Starts a whole ztunnel. Throws MeshError when something it needs cannot be had (a port, above all); what runs
 * afterwards copes with an absent control plane by itself and shows it by its readiness.
 */
export async function startZtunnel(config: ZtunnelConfig, seams: ZtunnelSeams): Promise<BoundZtunnel> {
  const { logs, clock } = seams;
  const readiness = new Readiness();
  const tasks = {
    state: readiness.task("state manager"),
    proxy: readiness.task("proxy"),
    pods: readiness.task("workload proxy manager"),
  };
  const core = createCore(config, seams);
  const { pool, certificates, metrics, registry, secrets, mirror, refusals } = core;
  let enrolment: RunningEnrolment | undefined;
  registerGauges(registry, metrics, { pool, logs, clock, pendingPods: () => enrolment?.pending() ?? 0 });

  const admin = adminRoutes({
    logs,
    pool,
    mirror,
    secrets,
    refusals,
    config: redactConfig(config),
    version: versionInfo(packageVersion()),
    requestShutdown: () => seams.requestShutdown("quitquitquit"),
  });
  const http = await startHttpServices(config.listen, { admin, registry, readiness }, logs.scope("admin"));
  void pool.start().then(() => tasks.proxy.done());
  const crl = followCrl(config, seams, pool, readiness);
  const handlers = createMeshHandlers(pool, certificates, tasks.state);
  const mesh = seams.parts.mesh(config, seams, handlers, metrics);

  let stopping: Promise<void> | undefined;
  const dataPlane = createDataPlane(pool, certificates, metrics, logs.scope("pods"));
  // Without the mesh's policies every connection would be refused: pods are taken over only when they are known.
  const enrolling = handlers.synced.then(async () => {
    if (stopping) return;
    enrolment = await seams.parts.enrolment(config, seams, dataPlane);
    await enrolment.settled;
    tasks.pods.done();
  });
  enrolling.catch((error: Error) => {
    logs.scope("app").error("cannot start enrolling pods", { error });
    seams.requestShutdown(ENROLMENT_FAILED);
  });

  async function stop(deadlineMs: number): Promise<void> {
    readiness.task("draining");
    await enrolment?.stop();
    await pool.drain(deadlineMs);
    mesh.stop();
    crl?.stop();
    secrets.stop();
    core.issuer.close();
    await http.close();
  }
  return {
    addresses: http.addresses,
    readiness,
    stop(deadlineMs) {
      stopping ??= stop(deadlineMs);
      return stopping;
    },
  };
}

/** The parts inside the control thread: state, workers, certificates, telemetry. */
function createCore(config: ZtunnelConfig, seams: ZtunnelSeams) {
  const { logs, clock, random, platform } = seams;
  const registry = createRegistry(clock);
  const metrics = createZtunnelMetrics(registry, packageVersion());
  const refusals = new RefusalRing();
  const mirror = new StateMirror();
  const issuer = seams.parts.issuer(config, seams);
  const caLog = logs.scope("ca");
  const secrets: SecretManager = createSecretManager({
    issuer,
    clock,
    random,
    ttlSeconds: Math.ceil(config.controlPlane.secretTtlMs / 1000),
    onState: (identity, state) => certificates.changed(identity, state),
    onAttemptFailed: (identity, error) => caLog.warn("no certificate", { identity, error }),
  });
  const onRecords = createRecordSink({
    clock,
    logs,
    metrics,
    refusals,
    podName: (uid) => {
      const pod = pool.pods.get(uid);
      return pod ? `${pod.namespace}/${pod.name}` : uid;
    },
  });
  const onMessage = (message: FromWorker): void => {
    if (message.kind === "records") onRecords(message);
    else if (message.kind === "certificate-wanted") certificates.demanded(message.identity);
  };
  const pool: WorkerPool = new WorkerPool({
    count: config.workers.count,
    config: withUpstreams(config.dataPlane, seams.resolvConf),
    spawn: seams.spawnWorker ?? threadSpawner(workerEntry(), config.workers.heapMib),
    mirror,
    descriptors: platform,
    clock,
    random,
    log: logs.scope("workers"),
    graceMs: config.shutdown.drainDeadlineMs,
    onMessage,
  });
  const certificates: LocalCertificates = new LocalCertificates({
    secrets,
    broadcast: (message) => pool.broadcast(message),
    nodeName: config.enrolment.nodeName,
    trustDomain: config.controlPlane.node.trustDomain,
  });
  return { registry, metrics, refusals, mirror, issuer, secrets, pool, certificates };
}

/** The program of a data worker, beside this file: as source, or as built. */
const workerEntry = (): URL =>
  new URL(import.meta.url.endsWith(".ts") ? "./worker/main.ts" : "./worker/main.js", import.meta.url);

function followCrl(
  config: ZtunnelConfig,
  seams: ZtunnelSeams,
  pool: WorkerPool,
  readiness: Readiness,
): CrlWatch | undefined {
  const path = config.controlPlane.crlPath;
  if (path === undefined) return undefined;
  const task = readiness.task("certificate revocation list");
  const crl = watchCrl({
    path,
    clock: seams.clock,
    log: seams.logs.scope("crl"),
    onRevocations(revoked) {
      task.done();
      pool.broadcast({ kind: "revocations", revoked });
    },
  });
  void crl.first.then((good) => good && task.done());
  return crl;
}

/** Without configured upstreams, the node's own. */
function withUpstreams(config: DataPlaneConfig, resolvConf: string): DataPlaneConfig {
  const { dns } = config;
  return dns.upstreams.length > 0 ? config : { ...config, dns: { ...dns, upstreams: nameserversOf(resolvConf) } };
}
