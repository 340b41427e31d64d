import { join } from "node:path";
import { type ObjectKey, objectKey } from "@ambit/shared/kube";
import type { Logger } from "@ambit/shared/log";
import type { Clock, Random } from "@ambit/shared/time";
import { FIRST_POD, IndexPool, MAX_PODS_PER_NODE } from "../cluster/addresses.ts";
import { isOver, type Pod } from "../cluster/pod.ts";
import type { Service } from "../cluster/service.ts";
import type { Machine, NodePlace } from "../network/machine.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { PodTokens } from "../supervise/join-tokens.ts";
import { PodRunner } from "./pod-runner.ts";

export interface KubeletInit {
  readonly store: ObjectStore;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly logFolder: string;
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly services: () => readonly Service[];
  /** Undefined where nobody would know the tokens: a lab without control plane. */
  readonly tokens: PodTokens | undefined;
}

interface Running {
  readonly runner: PodRunner;
  readonly key: ObjectKey;
  readonly slot: number;
}

/** The kubelets of all nodes: makes the processes follow the Pod objects. */
export class Kubelet {
  readonly #init: KubeletInit;
  readonly #running = new Map<string, Running>();
  readonly #slots = new Map<string, IndexPool>();

  constructor(init: KubeletInit) {
    this.#init = init;
  }

  /** @param nodes  those whose network is up; a pod of any other node waits */
  sync(pods: readonly Pod[], nodes: ReadonlyMap<string, NodePlace>): void {
    const wanted = new Map(pods.map((pod) => [pod.uid, pod]));
    for (const [uid, running] of this.#running) {
      const pod = wanted.get(uid);
      if (!pod || pod.terminating) void this.#stop(uid, running);
    }
    for (const pod of pods) {
      if (this.#running.has(pod.uid)) continue;
      const node = nodes.get(pod.node ?? "");
      if (pod.terminating) this.#init.store.remove(pod.object);
      else if (node && !isOver(pod)) this.#start(pod, node);
    }
  }

  runner(uid: string): PodRunner | undefined {
    return this.#running.get(uid)?.runner;
  }

  logFiles(): readonly string[] {
    return [...this.#running.values()].flatMap(({ runner }) => runner.logFiles);
  }

  /** Ends every pod of the node. */
  async stopNode(node: string): Promise<void> {
    const there = [...this.#running].filter(([, { runner }]) => runner.place.node.name === node);
    await Promise.all(there.map(([uid, running]) => this.#stop(uid, running)));
  }

  #start(pod: Pod, node: NodePlace): void {
    const { store, machine, log } = this.#init;
    const key = objectKey(pod.object);
    const slot = this.#slotsOf(node).take();
    if (slot === undefined) {
      const message = `node ${node.name} already has its ${MAX_PODS_PER_NODE} pods`;
      store.report(key, { status: { phase: "Pending", message } });
      return;
    }
    const place = {
      uid: pod.uid,
      namespace: pod.namespace,
      name: pod.name,
      hostname: pod.hostname,
      node,
      ips: machine.addresses.podIps(node.index, slot),
    };
    const services = (): readonly Service[] => this.#init.services().filter((one) => one.namespace === pod.namespace);
    const report = (patch: Readonly<Record<string, unknown>>): void => store.report(key, patch);
    const logFolder = join(this.#init.logFolder, pod.namespace, pod.name);
    const runner = new PodRunner({ ...this.#init, pod, place, services, report, logFolder });
    this.#running.set(pod.uid, { runner, key, slot });
    runner
      .run()
      .catch((error: unknown) => log.error("a pod could not be run", { pod: pod.name, error: String(error) }));
  }

  /** The object stays, marked, until the last process is gone. */
  async #stop(uid: string, { runner, key, slot }: Running): Promise<void> {
    await runner.stop();
    if (!this.#running.delete(uid)) return;
    this.#slotsOf(runner.place.node).free(slot);
    const object = this.#init.store.get(key);
    if (object?.metadata.uid === uid && object.metadata.deletionTimestamp !== undefined)
      this.#init.store.remove(object);
  }

  #slotsOf(node: NodePlace): IndexPool {
    let pool = this.#slots.get(node.name);
    if (!pool) {
      pool = new IndexPool(FIRST_POD, FIRST_POD + MAX_PODS_PER_NODE - 1);
      this.#slots.set(node.name, pool);
    }
    return pool;
  }
}
