/**
 * What the Deployment and ReplicaSet controllers do, in one pure step: given the deployments and the pods that exist,
 * which pods to create and which to delete now. Repeating it after every change ends in the wanted state.
 *
 * Spec: Kubernetes, Deployments: rolling update. Differs: there are no ReplicaSet objects, only their names; one pod of
 * surge and none unavailable, whatever `strategy` says.
 */
import { createHash } from "node:crypto";
import type { KubeObject } from "@ambit/shared/kube";
import { fieldsOf, numberOf, textMapOf } from "./fields.ts";
import { isOver, type Pod } from "./pod.ts";

export interface DeploymentStep {
  readonly create: readonly KubeObject[];
  readonly remove: readonly Pod[];
}

export const TEMPLATE_HASH_LABEL = "pod-template-hash";
const SURGE = 1;
/** No vowels and no look-alikes, as Kubernetes draws its name suffixes. */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** @param randomText  gives the last five characters of a pod's name */
export function stepDeployments(
  deployments: readonly KubeObject[],
  pods: readonly Pod[],
  randomText: () => string,
): DeploymentStep {
  const create: KubeObject[] = [];
  const remove: Pod[] = [];
  const owned = new Map<string, Pod[]>();
  for (const pod of pods) {
    const owner = deploymentOf(pod);
    if (owner !== undefined) owned.set(owner, [...(owned.get(owner) ?? []), pod]);
  }
  for (const deployment of deployments) {
    const key = ownerKey(deployment);
    const step = stepOne(deployment, owned.get(key) ?? []);
    owned.delete(key);
    for (let n = 0; n < step.create; n++) create.push(podFrom(deployment, randomText()));
    remove.push(...step.remove);
  }
  for (const orphans of owned.values()) remove.push(...orphans.filter((pod) => !pod.terminating));
  return { create, remove };
}

function stepOne(deployment: KubeObject, all: readonly Pod[]): { create: number; remove: readonly Pod[] } {
  const wanted = Math.max(0, numberOf(deployment.spec?.["replicas"]) ?? 1);
  const pods = all.filter((pod) => !pod.terminating && !isOver(pod));
  const dead = all.filter((pod) => !pod.terminating && isOver(pod));
  const hash = templateHash(deployment);
  const current = pods.filter((pod) => pod.labels[TEMPLATE_HASH_LABEL] === hash);
  const outdated = pods.filter((pod) => pod.labels[TEMPLATE_HASH_LABEL] !== hash);
  const room = outdated.length === 0 ? wanted : wanted + SURGE;
  const create = Math.max(0, Math.min(wanted - current.length, room - pods.length));
  // Surplus first among those that serve nobody, then the youngest: old ones have the connections. Ready ones go only
  // while enough others are ready.
  const byUse = (a: Pod, b: Pod): number => Number(a.status.ready) - Number(b.status.ready);
  const surplus = [
    ...outdated.sort(byUse),
    ...current
      .toReversed()
      .sort(byUse)
      .slice(0, Math.max(0, current.length - wanted)),
  ];
  let spareReady = pods.filter((pod) => pod.status.ready).length - wanted;
  const remove = surplus.filter((pod) => !pod.status.ready || spareReady-- > 0);
  return { create, remove: [...dead, ...remove] };
}

/** `namespace/name` of the Deployment a pod belongs to, read off its ReplicaSet-like owner. */
export function deploymentOf(pod: Pod): string | undefined {
  const owner = pod.object.metadata.ownerReferences?.find(
    (one) => one.controller === true && one.kind === "ReplicaSet",
  );
  const hash = pod.labels[TEMPLATE_HASH_LABEL];
  if (!owner || hash === undefined || !owner.name.endsWith(`-${hash}`)) return undefined;
  return `${pod.namespace}/${owner.name.slice(0, -hash.length - 1)}`;
}

const ownerKey = (deployment: KubeObject): string =>
  `${deployment.metadata.namespace ?? "default"}/${deployment.metadata.name}`;

/** Ten characters that change exactly when the pod template does. */
export function templateHash(deployment: KubeObject): string {
  const digest = createHash("sha256")
    .update(JSON.stringify(sorted(deployment.spec?.["template"] ?? {})))
    .digest();
  return [...digest.subarray(0, 10)].map((byte) => ALPHABET[byte % ALPHABET.length]).join("");
}

/** Five characters for the end of a pod's name. */
export function nameSuffix(random: () => number): string {
  return Array.from({ length: 5 }, () => ALPHABET[Math.floor(random() * ALPHABET.length)]).join("");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

function podFrom(deployment: KubeObject, suffix: string): KubeObject {
  const template = fieldsOf(deployment.spec?.["template"]);
  const metadata = fieldsOf(template["metadata"]);
  const hash = templateHash(deployment);
  const replicaSet = `${deployment.metadata.name}-${hash}`;
  const annotations = textMapOf(metadata["annotations"]);
  const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: replicaSet, controller: true };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${replicaSet}-${suffix}`,
      namespace: deployment.metadata.namespace ?? "default",
      labels: { ...textMapOf(metadata["labels"]), [TEMPLATE_HASH_LABEL]: hash },
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
      ownerReferences: [owner],
    },
    spec: fieldsOf(template["spec"]),
  };
}
