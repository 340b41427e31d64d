/** What `ambient.istio.io/redirection` should say on each pod. Pure. Parity: istio cni/pkg/util/podutil.go, AnnotateEnrolledPod */
import { annotationsOf, type KubeObject, type ObjectKey, REDIRECTION_ANNOTATION } from "@ambit/shared/kube";
import type { EnrolmentAction, EnrolmentState, PodState } from "./enrolment-state.ts";

/** `null`: no annotation. Peers send HBONE to a pod exactly when it is "enabled". */
export type AnnotationValue = "enabled" | "pending" | null;

export interface AnnotationCommands {
  readonly annotated: ReadonlyMap<ObjectKey, AnnotationValue>;
  readonly commands: readonly EnrolmentAction[];
}

/**
 * Differences between what should be written and what was last told to be (at first: what is there). When verifying,
 * what is there now counts, so that a value somebody else wrote is put right.
 */
export function annotationCommands(state: EnrolmentState, verify: boolean): AnnotationCommands {
  const annotated = new Map<ObjectKey, AnnotationValue>();
  const commands: EnrolmentAction[] = [];
  for (const [key, object] of state.podObjects) {
    const told = state.annotated.get(key);
    const value = wantedAnnotation(state, object);
    const known = value === undefined ? told : value;
    if (known !== undefined) annotated.set(key, known);
    const before = told === undefined || verify ? (annotationsOf(object)[REDIRECTION_ANNOTATION] ?? null) : told;
    if (value !== undefined && value !== before) commands.push({ kind: "annotate", key, value });
  }
  for (const key of state.annotated.keys()) {
    if (!state.podObjects.has(key)) commands.push({ kind: "annotate", key, value: "drop" });
  }
  return { annotated, commands };
}

function wantedAnnotation(state: EnrolmentState, object: KubeObject): AnnotationValue | undefined {
  const pod = state.pods.get(object.metadata.uid ?? "");
  return pod === undefined ? undefined : annotationOf(pod);
}

/** undefined: leave what an earlier process wrote until we know better. */
function annotationOf({ wish, standing }: PodState): AnnotationValue | undefined {
  // Before the rules are taken away: peers must stop sending HBONE first.
  if (wish.kind === "out" || wish.kind === "gone") return null;
  switch (standing) {
    case "enrolled":
      return "enabled";
    case "redirected":
      return "pending";
    case "absent":
      return null;
    case "unknown":
      return undefined;
  }
}
