import {
  isTerminal,
  type KubeObject,
  namespaceOf,
  nodeNameOf,
  type ObjectChange,
  type ObjectKey,
  objectKey,
  serviceAccountOf,
} from "@ambit/shared/kube";
import { labelledGateway } from "./model/index.ts";

/** A pod that has not finished. */
export interface RunningPod {
  /** Empty while it is not scheduled. */
  readonly node: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** `namespace/name` of the Gateway it is a replica of. */
  readonly gateway?: string;
}

/** Which pods there are, and which service accounts run on which node: what callers may have certificates of. */
export class PodIndex {
  readonly #pods = new Map<ObjectKey, RunningPod>();
  readonly #counts = new Map<string, number>();

  /** @returns whether any pod is another one now */
  apply(change: Pick<ObjectChange, "upserted" | "removed">): boolean {
    let changed = false;
    for (const key of change.removed) if (key.startsWith("Pod/")) changed = this.#move(key, undefined) || changed;
    for (const object of change.upserted) {
      if (object.kind === "Pod") changed = this.#move(objectKey(object), runningPod(object)) || changed;
    }
    return changed;
  }

  hasPod(node: string, namespace: string, serviceAccount: string): boolean {
    return this.#counts.has(`${node} ${namespace}/${serviceAccount}`);
  }

  /** Undefined when there is none, or it has finished. */
  find(namespace: string, name: string): RunningPod | undefined {
    return this.#pods.get(`Pod/${namespace}/${name}` as ObjectKey);
  }

  isRunning(namespace: string, name: string, serviceAccount: string): boolean {
    return this.find(namespace, name)?.serviceAccount === serviceAccount;
  }

  #move(key: ObjectKey, pod: RunningPod | undefined): boolean {
    const old = this.#pods.get(key);
    if (old) this.#count(old, -1);
    if (pod) {
      this.#count(pod, 1);
      this.#pods.set(key, pod);
    } else {
      this.#pods.delete(key);
    }
    return old?.node !== pod?.node || old?.serviceAccount !== pod?.serviceAccount || old?.gateway !== pod?.gateway;
  }

  #count({ node, namespace, serviceAccount }: RunningPod, by: number): void {
    if (node === "") return;
    const id = `${node} ${namespace}/${serviceAccount}`;
    const count = (this.#counts.get(id) ?? 0) + by;
    if (count > 0) this.#counts.set(id, count);
    else this.#counts.delete(id);
  }
}

function runningPod(pod: KubeObject): RunningPod | undefined {
  if (isTerminal(pod)) return undefined;
  const gateway = labelledGateway(pod);
  return {
    node: nodeNameOf(pod),
    namespace: namespaceOf(pod),
    serviceAccount: serviceAccountOf(pod),
    ...(gateway !== undefined && { gateway }),
  };
}
