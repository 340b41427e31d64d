import type { Logger } from "@ambit/shared/log";
import type { IpAddress } from "@ambit/shared/net";
import type { PodAttachment, PodListeners, ToWorker } from "../messages.ts";
import { duplicateListeners, LentDescriptors, listenerFds } from "./descriptors.ts";

/** What enrolment tells the data plane of one pod. */
export interface AttachedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Stays the caller's: what is needed of it is duplicated. */
  readonly netnsFd?: number;
  readonly explicitAddress?: IpAddress;
  /** Makes one set of listening sockets, for one worker; owned by the data plane from then on. */
  listenersFor(worker: number): PodListeners;
}

export interface Descriptors {
  duplicate(fd: number): number;
  close(fd: number): void;
}

interface HeldPod {
  readonly pod: AttachedPod;
  readonly netnsFd: number | undefined;
  /** By worker. The control thread keeps these open, so that the kernel queues connections while a worker is away. */
  readonly originals: readonly PodListeners[];
}

/**
 * The attached pods with their original listeners. Workers only ever get duplicates: the socket, and with it the
 * accept queue, outlives any of them.
 */
export class PodSet {
  readonly #pods = new Map<string, HeldPod>();
  readonly #lent: readonly LentDescriptors[];
  readonly #descriptors: Descriptors;
  readonly #log: Logger;

  constructor(workers: number, descriptors: Descriptors, log: Logger) {
    this.#lent = Array.from({ length: workers }, () => new LentDescriptors());
    this.#descriptors = descriptors;
    this.#log = log;
  }

  has(uid: string): boolean {
    return this.#pods.has(uid);
  }

  get(uid: string): AttachedPod | undefined {
    return this.#pods.get(uid)?.pod;
  }

  /** In order of attachment. */
  all(): readonly AttachedPod[] {
    return [...this.#pods.values()].map(({ pod }) => pod);
  }

  /** Makes the pod's listeners, one set a worker. Throws what `listenersFor` throws, with nothing left open. */
  add(pod: AttachedPod): void {
    const { duplicate, close } = this.#descriptors;
    const originals: PodListeners[] = [];
    let netnsFd: number | undefined;
    try {
      if (pod.netnsFd !== undefined) netnsFd = duplicate(pod.netnsFd);
      for (let worker = 0; worker < this.#lent.length; worker++) originals.push(pod.listenersFor(worker));
    } catch (error) {
      for (const listeners of originals) for (const fd of listenerFds(listeners)) close(fd);
      if (netnsFd !== undefined) close(netnsFd);
      throw error;
    }
    this.#pods.set(pod.uid, { pod, netnsFd, originals });
  }

  /** Closes the originals; duplicates are the workers' to close. */
  remove(uid: string): void {
    const held = this.#pods.get(uid);
    if (!held) return;
    this.#pods.delete(uid);
    for (const listeners of held.originals) for (const fd of listenerFds(listeners)) this.#descriptors.close(fd);
    if (held.netnsFd !== undefined) this.#descriptors.close(held.netnsFd);
  }

  /** The message that gives a pod to a worker, with fresh duplicates; undefined when none could be made (EMFILE). */
  attachmentFor(uid: string, worker: number): ToWorker | undefined {
    const held = this.#pods.get(uid);
    const originals = held?.originals[worker];
    if (!held || !originals) return undefined;
    const { uid: _, netnsFd: __, listenersFor: ___, ...facts } = held.pod;
    try {
      const listeners = duplicateListeners(originals, this.#descriptors);
      const netns = held.netnsFd === undefined ? {} : { netnsFd: this.#descriptors.duplicate(held.netnsFd) };
      const pod: PodAttachment = { uid, ...facts, ...netns, listeners };
      this.#lent[worker]?.lend(pod);
      return { kind: "attach-pod", pod };
    } catch (error) {
      this.#log.error("cannot duplicate a pod's listeners", { pod: uid, worker, error: error as Error });
      return undefined;
    }
  }

  /** The worker has closed what it had of this pod. */
  returned(uid: string, worker: number): void {
    this.#lent[worker]?.returned(uid);
  }

  /** The worker is dead. */
  reclaim(worker: number): void {
    const count = this.#lent[worker]?.reclaim(this.#descriptors.close) ?? 0;
    if (count > 0) this.#log.debug("closed descriptors a dead worker left open", { worker, count });
  }
}
