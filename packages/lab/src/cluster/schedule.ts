import type { KubeObject } from "@ambit/shared/kube";
import { fieldsOf, textMapOf } from "./fields.ts";
import { isOver, type Pod } from "./pod.ts";

/**
 * Chooses a node for every pod that has none: among those its `nodeSelector` allows, the one with the fewest pods of the
 * same Deployment, then the fewest pods at all, then the first by name. With equal pods this is round-robin.
 *
 * @returns pod uid -> node name; a pod that fits nowhere is left out and tried again at the next change
 */
export function schedulePods(pods: readonly Pod[], nodes: readonly KubeObject[]): ReadonlyMap<string, string> {
  const load = new Load(nodes.map((node) => node.metadata.name));
  for (const pod of pods) if (pod.node !== undefined && !isOver(pod)) load.add(pod, pod.node);
  const chosen = new Map<string, string>();
  for (const pod of pods) {
    if (pod.node !== undefined || pod.terminating) continue;
    const node = load.least(pod, fitting(pod, nodes));
    if (node === undefined) continue;
    chosen.set(pod.uid, node);
    load.add(pod, node);
  }
  return chosen;
}

/** How many pods each node has, and how many of each owner. */
class Load {
  readonly #pods: Map<string, number>;
  readonly #siblings = new Map<string, number>();

  constructor(nodes: readonly string[]) {
    this.#pods = new Map(nodes.map((node) => [node, 0]));
  }

  add(pod: Pod, node: string): void {
    this.#pods.set(node, (this.#pods.get(node) ?? 0) + 1);
    // One on its way out makes room for its successor.
    if (!pod.terminating) this.#siblings.set(siblingKey(pod, node), this.#siblingsOf(pod, node) + 1);
  }

  least(pod: Pod, nodes: readonly string[]): string | undefined {
    const rank = (node: string): number => this.#pods.get(node) ?? 0;
    return nodes.toSorted((a, b) => this.#siblingsOf(pod, a) - this.#siblingsOf(pod, b) || rank(a) - rank(b))[0];
  }

  #siblingsOf(pod: Pod, node: string): number {
    return this.#siblings.get(siblingKey(pod, node)) ?? 0;
  }
}

/** A pod that nobody owns has no siblings but itself. */
function siblingKey(pod: Pod, node: string): string {
  const owner = pod.object.metadata.ownerReferences?.find((one) => one.controller === true);
  return `${node} ${pod.namespace}/${owner ? `${owner.kind}/${owner.name}` : pod.uid}`;
}

function fitting(pod: Pod, nodes: readonly KubeObject[]): readonly string[] {
  const wanted = Object.entries(textMapOf(fieldsOf(pod.object.spec)["nodeSelector"]));
  return nodes
    .filter((node) => node.spec?.["unschedulable"] !== true)
    .filter((node) => wanted.every(([key, value]) => labelOf(node, key) === value))
    .map((node) => node.metadata.name)
    .sort();
}

function labelOf(node: KubeObject, key: string): string | undefined {
  if (key === "kubernetes.io/hostname") return node.metadata.labels?.[key] ?? node.metadata.name;
  return node.metadata.labels?.[key];
}
