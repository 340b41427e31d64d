import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { within } from "@ambit/shared/lifecycle";
import type { Logger } from "@ambit/shared/log";
import type { Clock, Random } from "@ambit/shared/time";
import type { DataPlaneConfig } from "../config/index.ts";
import type { FromWorker, ToWorker, WorkerReport } from "../messages.ts";
import { type AttachedPod, type Descriptors, PodSet } from "./pod-set.ts";
import type { StateMirror } from "./state-mirror.ts";
import { WaitingSet } from "./waiting-set.ts";
import { WorkerSlot } from "./worker-slot.ts";
import type { SpawnWorker } from "./worker-thread.ts";

const ATTACH_TIMEOUT_MS = 30_000;
const RETRY_ATTACH_MS = 5_000;
const REPORT_TIMEOUT_MS = 2_000;
/** Beyond a deadline the workers were given, before they are ended. */
const LATE_MS = 1_000;

export interface WorkerPoolInit {
  readonly count: number;
  readonly config: DataPlaneConfig;
  readonly spawn: SpawnWorker;
  readonly mirror: StateMirror;
  readonly descriptors: Descriptors;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How long a gracefully detached pod's connections may go on. */
  readonly graceMs: number;
  /** Records and certificate demands; pods and reports are handled here. */
  readonly onMessage: (message: FromWorker) => void;
}

/**
 * The data workers and the pods they serve. A dead worker is replaced, told the whole mirrored state and given its
 * pods again over duplicates of the same sockets: its own connections are gone, new ones waited in the accept queue,
 * and the other workers noticed nothing.
 */
export class WorkerPool {
  readonly #init: WorkerPoolInit;
  readonly #slots: readonly WorkerSlot[];
  readonly #pods: PodSet;
  readonly #starting = new WaitingSet();
  readonly #attaching = new WaitingSet();
  readonly #detaching = new WaitingSet();
  readonly #draining = new WaitingSet();
  readonly #reports = new Map<number, (workerId: number, report: WorkerReport | undefined) => void>();
  #requestId = 0;

  constructor(init: WorkerPoolInit) {
    this.#init = init;
    this.#pods = new PodSet(init.count, init.descriptors, init.log);
    this.#slots = Array.from({ length: init.count }, (_, id) => this.#makeSlot(id));
  }

  /** Resolves when every worker runs. */
  start(): Promise<void> {
    const all = this.#starting.wait("", this.#ids());
    for (const slot of this.#slots) slot.start();
    return all;
  }

  get pods(): PodSet {
    return this.#pods;
  }

  /** For the gauges: is each worker up, and how often was it replaced. */
  status(): readonly { readonly id: number; readonly up: boolean; readonly restarts: number }[] {
    return this.#slots.map(({ id, isUp, restarts }) => ({ id, up: isUp, restarts }));
  }

  /** Tells every worker, and every later replacement. */
  broadcast(message: ToWorker): void {
    this.#init.mirror.apply(message);
    for (const slot of this.#slots) slot.post(message);
  }

  /** Resolves when every worker serves the pod. Rejects, with nothing left behind, when one cannot. */
  async attach(pod: AttachedPod): Promise<void> {
    if (this.#pods.has(pod.uid)) await this.detach(pod.uid, { graceful: false });
    this.#pods.add(pod);
    const served = this.#attaching.wait(pod.uid, this.#ids());
    for (const slot of this.#slots) this.#attachTo(slot, pod.uid);
    try {
      if (!(await this.#inTime(served, ATTACH_TIMEOUT_MS))) {
        throw new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `no data worker took pod ${pod.uid} within 30 s`);
      }
    } catch (error) {
      this.#attaching.settle(pod.uid);
      await this.detach(pod.uid, { graceful: false });
      throw error;
    }
  }

  /** Listeners close at once; resolves when the pod's connections are gone. */
  async detach(uid: string, options: { readonly graceful: boolean }): Promise<void> {
    if (!this.#pods.has(uid)) return;
    const graceMs = options.graceful ? this.#init.graceMs : 0;
    this.#pods.remove(uid);
    this.#attaching.settle(uid);
    const gone = this.#detaching.wait(uid, this.#ids());
    for (const slot of this.#slots) {
      if (!slot.post({ kind: "detach-pod", uid, graceMs })) this.#detaching.arrived(uid, slot.id);
    }
    if (!(await this.#inTime(gone, graceMs + LATE_MS))) {
      this.#detaching.settle(uid);
      this.#init.log.warn("a data worker did not confirm that a pod is gone", { pod: uid });
    }
  }

  /** Ends a worker and starts its replacement; false when there is no such worker. */
  recycle(workerId: number): boolean {
    this.#slots[workerId]?.recycle();
    return workerId in this.#slots;
  }

  /** What each running worker holds now; a silent one is left out. */
  reports(): Promise<readonly WorkerReport[]> {
    const requestId = ++this.#requestId;
    const asked = new Set(this.#slots.filter((slot) => slot.isUp).map(({ id }) => id));
    const reports: WorkerReport[] = [];
    const { promise, resolve } = Promise.withResolvers<readonly WorkerReport[]>();
    const finish = (): void => {
      cancel();
      this.#reports.delete(requestId);
      resolve(reports);
    };
    const cancel = this.#init.clock.after(REPORT_TIMEOUT_MS, finish);
    this.#reports.set(requestId, (workerId, report) => {
      if (report) reports.push(report);
      if (asked.delete(workerId) && asked.size === 0) finish();
    });
    for (const id of asked) this.#slots[id]?.post({ kind: "report", requestId });
    if (asked.size === 0) finish();
    return promise;
  }

  /** No new connections; existing ones may go on for `deadlineMs`. Then every worker is ended and every pod closed. */
  async drain(deadlineMs: number): Promise<void> {
    const drained = this.#draining.wait("", this.#ids());
    const pods = this.#pods.all();
    for (const { uid } of pods) this.#pods.remove(uid);
    for (const slot of this.#slots) {
      if (!slot.post({ kind: "drain", deadlineMs })) this.#draining.arrived("", slot.id);
    }
    await this.#inTime(drained, deadlineMs + LATE_MS);
    this.#draining.settle("");
    await Promise.all(this.#slots.map((slot) => slot.stop()));
  }

  #makeSlot(id: number): WorkerSlot {
    const { spawn, clock, random, log } = this.#init;
    return new WorkerSlot({
      id,
      spawn,
      clock,
      random,
      log,
      greeting: () => this.#greeting(id),
      onMessage: (message) => this.#receive(id, message),
      onExit: () => this.#exited(id),
    });
  }

  *#greeting(worker: number): Generator<ToWorker> {
    yield { kind: "start", config: this.#init.config, workerId: worker };
    yield* this.#init.mirror.replay();
    for (const { uid } of this.#pods.all()) {
      const message = this.#pods.attachmentFor(uid, worker);
      if (message) yield message;
      else this.#retryAttach(worker, uid);
    }
  }

  #attachTo(slot: WorkerSlot, uid: string): void {
    // Without a thread, its replacement's greeting will carry the pod.
    if (!slot.hasThread) return;
    const message = this.#pods.attachmentFor(uid, slot.id);
    if (message) slot.post(message);
    else this.#attaching.fail(uid, new MeshError(ErrorCode.PLATFORM_CALL_FAILED, "cannot duplicate the listeners"));
  }

  #retryAttach(worker: number, uid: string): void {
    this.#init.clock.after(RETRY_ATTACH_MS, () => {
      const slot = this.#slots[worker];
      const message = slot?.isUp ? this.#pods.attachmentFor(uid, worker) : undefined;
      if (message) slot?.post(message);
    });
  }

  #receive(worker: number, message: FromWorker): void {
    switch (message.kind) {
      case "started":
        this.#starting.arrived("", worker);
        return;
      case "pod-attached":
        this.#attaching.arrived(message.uid, worker);
        return;
      case "pod-failed":
        this.#podFailed(worker, message.uid, message.message);
        return;
      case "pod-detached":
        this.#pods.returned(message.uid, worker);
        this.#detaching.arrived(message.uid, worker);
        return;
      case "report":
        this.#reports.get(message.requestId)?.(worker, message.report);
        return;
      case "drained":
        this.#draining.arrived("", worker);
        return;
      default:
        this.#init.onMessage(message);
        return;
    }
  }

  #podFailed(worker: number, uid: string, reason: string): void {
    this.#init.log.error("a data worker cannot serve a pod", { worker, pod: uid, reason });
    const error = new MeshError(
      ErrorCode.PLATFORM_CALL_FAILED,
      `data worker ${worker} cannot serve the pod: ${reason}`,
    );
    if (!this.#attaching.fail(uid, error)) this.#retryAttach(worker, uid);
  }

  #exited(worker: number): void {
    this.#pods.reclaim(worker);
    this.#detaching.arrivedEverywhere(worker);
    this.#draining.arrivedEverywhere(worker);
    for (const answer of [...this.#reports.values()]) answer(worker, undefined);
  }

  #ids(): readonly number[] {
    return this.#slots.map(({ id }) => id);
  }

  /** False when it took longer; throws what `work` throws. */
  async #inTime(work: Promise<void>, ms: number): Promise<boolean> {
    const inTime = await within(work, ms, this.#init.clock);
    if (inTime) await work;
    return inTime;
  }
}
