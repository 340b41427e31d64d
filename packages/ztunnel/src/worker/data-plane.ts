/** A data worker without its thread: takes the control thread's messages, answers with `post`. */
import { Revocations } from "@ambit/shared/crl";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import type { Platform } from "@ambit/shared/platform";
import type { Clock, Random } from "@ambit/shared/time";
import { ConnectionAuthorizer, ConnectionTracker } from "../authorize/index.ts";
import type { DataPlaneConfig } from "../config/index.ts";
import type {
  CertificateUpdate,
  FromWorker,
  LiveConnection,
  PodAttachment,
  ToWorker,
  WorkerReport,
} from "../messages.ts";
import { RecordBuffer } from "../observe/index.ts";
import { LoadCount, type ProxyContext } from "../proxy/index.ts";
import { createPodPool } from "../tunnel/index.ts";
import { Certificates } from "./certificates.ts";
import { MeshState } from "./mesh-state.ts";
import { PodRuntime } from "./pod-runtime.ts";

export interface DataPlaneInit {
  readonly config: DataPlaneConfig;
  readonly platform: Platform;
  readonly clock: Clock;
  readonly random: Random;
  post(message: FromWorker): void;
}

export interface DataPlane {
  /** One message of the control thread. Never throws. */
  handle(message: ToWorker): void;
}

export function createDataPlane(init: DataPlaneInit): DataPlane {
  return new Worker(init);
}

class Worker implements DataPlane {
  private readonly init: DataPlaneInit;
  private readonly pods = new Map<string, PodRuntime>();
  private readonly certificates: Certificates;
  private readonly revocations = new Revocations();
  private readonly state: MeshState;
  private readonly context: ProxyContext;
  private draining = false;

  constructor(init: DataPlaneInit) {
    this.init = init;
    const { config, platform, clock, random } = init;
    this.state = new MeshState(config);
    this.certificates = new Certificates({
      clock,
      timeoutMs: config.timeouts.ownWorkloadMs,
      want: (identity) => init.post({ kind: "certificate-wanted", identity }),
    });
    const authorizer = new ConnectionAuthorizer(this.state);
    this.context = {
      config,
      platform,
      clock,
      random,
      state: this.state,
      authorizer,
      tracker: new ConnectionTracker({
        authorizer,
        currentWorkload: (podUid) => this.pods.get(podUid)?.pod.workload,
      }),
      pool: createPodPool({
        config,
        platform,
        clock,
        revocation: this.revocations,
        material: (identity) => this.certificates.material(identity),
      }),
      records: new RecordBuffer(clock, (message) => init.post(message)),
      load: new LoadCount(),
    };
  }

  handle(message: ToWorker): void {
    switch (message.kind) {
      case "start":
        this.init.post({ kind: "started" });
        return;
      case "addresses":
        this.applyAddresses(message.delta);
        return;
      case "policies":
        this.state.applyPolicies(message.delta);
        this.context.tracker.policiesChanged();
        return;
      case "snapshot-complete":
        this.state.snapshotComplete = true;
        return;
      case "certificate":
        this.updateCertificate(message.update);
        return;
      case "certificate-unavailable":
        this.certificates.unavailable(message.identity, message.message);
        return;
      case "revocations":
        this.replaceRevocations(message.revoked);
        return;
      case "attach-pod":
        this.attach(message.pod);
        return;
      case "detach-pod":
        this.detach(message.uid, message.graceMs);
        return;
      case "drain":
        this.drain(message.deadlineMs);
        return;
      case "report":
        this.init.post({ kind: "report", requestId: message.requestId, report: this.report() });
        return;
      default:
        message satisfies never;
    }
  }

  /** Our pods' own workloads may have new policies or none; sources may have new owners. All are judged again. */
  private applyAddresses(delta: Extract<ToWorker, { kind: "addresses" }>["delta"]): void {
    const change = this.state.applyAddresses(delta);
    const touched = new Set(delta.workloads.map(({ namespace, name }) => `${namespace}/${name}`));
    const pods = [...this.pods.values()].filter(({ pod }) =>
      touched.has(`${pod.attachment.namespace}/${pod.attachment.name}`),
    );
    this.context.tracker.podsChanged(pods.map(({ pod }) => pod.uid));
    this.context.tracker.sourcesChanged(change.ips);
  }

  private updateCertificate(update: CertificateUpdate): void {
    const material = this.certificates.update(update);
    for (const pod of this.pods.values()) {
      try {
        pod.certificateChanged(material);
      } catch {
        // Unusable material: the listener goes on with the certificate it has.
      }
    }
  }

  private replaceRevocations(revoked: Readonly<Record<string, readonly string[]>>): void {
    this.revocations.replace(revoked);
    this.context.pool.revocationsChanged(this.revocations);
    for (const pod of this.pods.values()) pod.revocationsChanged(this.revocations);
  }

  private attach(attachment: PodAttachment): void {
    const { uid } = attachment;
    const { post } = this.init;
    try {
      this.pods.get(uid)?.destroy();
      this.context.pool.dropOwner(uid, "destroy");
      if (this.draining) throw new MeshError(ErrorCode.CONNECTION_DRAINED, "the proxy is shutting down");
      const onFailure = (message: string): void => post({ kind: "pod-failed", uid, message });
      const { context, certificates, revocations } = this;
      this.pods.set(uid, new PodRuntime({ context, certificates, revocation: revocations, attachment, onFailure }));
      post({ kind: "pod-attached", uid });
    } catch (error) {
      this.pods.delete(uid);
      post({ kind: "pod-failed", uid, message: error instanceof Error ? error.message : String(error) });
    }
  }

  private detach(uid: string, graceMs: number): void {
    const runtime = this.pods.get(uid);
    if (runtime === undefined) {
      this.init.post({ kind: "pod-detached", uid });
      return;
    }
    runtime.drain();
    this.context.pool.dropOwner(uid, "drain");
    this.whenIdle([runtime], graceMs, () => {
      this.remove(runtime);
      this.init.post({ kind: "pod-detached", uid });
    });
  }

  private remove(runtime: PodRuntime): void {
    const { uid } = runtime.pod;
    const identity = runtime.identity;
    runtime.destroy();
    // The pod may have come back meanwhile; what there is now is its.
    if (this.pods.get(uid) !== runtime) return;
    this.context.pool.dropOwner(uid, "destroy");
    this.pods.delete(uid);
    const stillUsed = [...this.pods.values()].some((other) => other.identity === identity);
    if (identity !== undefined && !stillUsed) this.certificates.forget(identity as SpiffeUri);
  }

  private drain(deadlineMs: number): void {
    this.draining = true;
    const runtimes = [...this.pods.values()];
    for (const runtime of runtimes) runtime.drain();
    this.whenIdle(runtimes, deadlineMs, () => {
      for (const runtime of runtimes) this.remove(runtime);
      this.context.pool.drain();
      this.context.records.flush();
      this.init.post({ kind: "drained" });
    });
  }

  /** Runs `task` once the pods hold no connection, at the latest after `graceMs`. */
  private whenIdle(runtimes: readonly PodRuntime[], graceMs: number, task: () => void): void {
    const { clock } = this.init;
    const deadline = clock.monotonic() + graceMs;
    const check = (): void => {
      const idle = runtimes.every(({ pod }) => pod.live.size === 0);
      if (idle || clock.monotonic() >= deadline) task();
      else clock.after(IDLE_POLL_MS, check);
    };
    check();
  }

  private report(): WorkerReport {
    const pods: Record<string, { inbound: LiveConnection[]; outbound: LiveConnection[] }> = {};
    let open = 0;
    for (const [uid, { pod }] of this.pods) {
      const entry = { inbound: [] as LiveConnection[], outbound: [] as LiveConnection[] };
      for (const connection of pod.live.values()) entry[connection.facts.direction].push(connection.describe());
      pods[uid] = entry;
      open += pod.live.size;
    }
    const outbound = Object.values(pods).reduce((sum, entry) => sum + entry.outbound.length, 0);
    return {
      pods,
      socketsOpen: { source: outbound, destination: open - outbound },
      poolSessions: this.context.pool.sessions,
    };
  }
}

const IDLE_POLL_MS = 50;
