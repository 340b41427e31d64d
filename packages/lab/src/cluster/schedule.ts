import type { KubeObject } from "@ambit/shared/kube";
import { fieldsOf, textMapOf } from "./fields.ts";
import { isOver, type Pod } from "./pod.ts";

/**
 * Chooses a node for every pod that has none: among those its `nodeSelector` allows, the one with the fewest pods, the
 * first by name when equal. With equal pods this is round-robin.
 *
 * @returns pod uid -> node name; a pod that fits nowhere is left out and tried again at the next change
 */
export function schedulePods(pods: readonly Pod[], nodes: readonly KubeObject[]): ReadonlyMap<string, string> {
  const load = new Map(nodes.map((node) => [node.metadata.name, 0]));
  for (const pod of pods) {
    if (pod.node !== undefined && !isOver(pod)) load.set(pod.node, (load.get(pod.node) ?? 0) + 1);
  }
  const chosen = new Map<string, string>();
  for (const pod of pods) {
    if (pod.node !== undefined || pod.terminating) continue;
    const node = leastLoaded(fitting(pod, nodes), load);
    if (node === undefined) continue;
    chosen.set(pod.uid, node);
    load.set(node, (load.get(node) ?? 0) + 1);
  }
  return chosen;
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

function leastLoaded(names: readonly string[], load: ReadonlyMap<string, number>): string | undefined {
  return names.toSorted((a, b) => (load.get(a) ?? 0) - (load.get(b) ?? 0))[0];
}
