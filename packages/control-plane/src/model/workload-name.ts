import { type KubeObject, type Labels, labelsOf } from "@ambit/shared/kube";

/**
 * The name of what runs the pod: its Deployment, CronJob or other controller, as telemetry shows it.
 *
 * Parity: istio pkg/kube GetWorkloadMetaFromPod
 */
export function workloadNameOf(pod: KubeObject): string {
  const labels = labelsOf(pod);
  const given = labels["service.istio.io/workload-name"];
  if (given) return given;
  const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true);
  return (owner && ownerName(owner, labels, pod.metadata.generateName !== undefined)) ?? pod.metadata.name;
}

function ownerName(
  owner: { readonly kind: string; readonly name: string },
  labels: Labels,
  nameWasGenerated: boolean,
): string | undefined {
  const { kind, name } = owner;
  const hash = labels["pod-template-hash"] ?? labels["rollouts-pod-template-hash"];
  if (kind === "ReplicaSet" && hash && name.endsWith(`-${hash}`)) return name.slice(0, -hash.length - 1);
  // A CronJob names its Jobs NAME-MINUTES-SINCE-THE-EPOCH.
  const cronJob = kind === "Job" ? /^(.+)-\d{8,10}$/.exec(name)?.[1] : undefined;
  if (cronJob) return cronJob;
  const config = kind === "ReplicationController" ? labels["deploymentconfig"] : undefined;
  return config ?? (nameWasGenerated ? name : undefined);
}

export function canonicalNameOf(labels: Labels, workloadName: string): string {
  return labels["service.istio.io/canonical-name"] || labels["app.kubernetes.io/name"] || labels["app"] || workloadName;
}

export function canonicalRevisionOf(labels: Labels): string {
  return (
    labels["service.istio.io/canonical-revision"] ||
    labels["app.kubernetes.io/version"] ||
    labels["version"] ||
    "latest"
  );
}
