import { annotationsOf, isHostNetwork, labelsOf } from "./accessors.ts";
import type { KubeObject } from "./model.ts";

export const DATAPLANE_MODE_LABEL = "istio.io/dataplane-mode";
/** Written on a pod by its node proxy: `enabled` once it is captured and served, `pending` before. */
export const REDIRECTION_ANNOTATION = "ambient.istio.io/redirection";
const SIDECAR_ANNOTATION = "sidecar.istio.io/status";

export type EnrolmentReason =
  | "namespace-excluded"
  | "host-network"
  | "sidecar"
  | "pod-label"
  | "pod-opted-out"
  | "namespace-label"
  | "not-labelled";

export interface Enrolment {
  readonly enrolled: boolean;
  /** Which rule decided. */
  readonly reason: EnrolmentReason;
}

/**
 * Whether a pod belongs to the mesh. The one answer for node proxy, control plane and lab. Phase and addresses are
 * not part of it: a pod without an address is simply not captured yet.
 *
 * @param namespace  the pod's Namespace object, undefined when it is not known (then it has no labels)
 * @param excludedNamespaces  names that never are in the mesh, `kube-system` by default
 *
 * Spec: Istio ambient, "Add workloads to the mesh". Parity: istio cni/pkg/util PodRedirectionEnabled with the
 * chart's default selectors. A namespace's `none` does not veto a pod that asks for itself.
 */
export function enrolmentOf(
  pod: KubeObject,
  namespace: KubeObject | undefined,
  excludedNamespaces: ReadonlySet<string>,
): Enrolment {
  if (excludedNamespaces.has(pod.metadata.namespace ?? "")) return { enrolled: false, reason: "namespace-excluded" };
  if (isHostNetwork(pod)) return { enrolled: false, reason: "host-network" };
  if (annotationsOf(pod)[SIDECAR_ANNOTATION] !== undefined) return { enrolled: false, reason: "sidecar" };
  const asked = labelsOf(pod)[DATAPLANE_MODE_LABEL];
  if (asked === "ambient") return { enrolled: true, reason: "pod-label" };
  if (asked === "none") return { enrolled: false, reason: "pod-opted-out" };
  const inherited = namespace && labelsOf(namespace)[DATAPLANE_MODE_LABEL];
  return inherited === "ambient"
    ? { enrolled: true, reason: "namespace-label" }
    : { enrolled: false, reason: "not-labelled" };
}
