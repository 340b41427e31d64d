/**
 * Which pods of this node are enrolled, and what to do next: a reducer. Pure.
 *
 * Everything is keyed by pod UID (a StatefulSet gives a new pod the old name). The annotation on a pod is output only:
 * what counts is what this process has done and seen itself. Nothing is given up: every failure is tried again.
 */
import { isDeepStrictEqual } from "node:util";
import { type KubeObject, namespaceOf, nodeNameOf, type ObjectKey, objectKey } from "@ambit/shared/kube";
import { type AnnotationValue, annotationCommands } from "./annotation-state.ts";
import { type PodWish, type WantedPod, type WishFacts, wishOf } from "./pod-wish.ts";

/**
 * "unknown": not looked at since this process started; an earlier one may have left rules there.
 * "absent": not captured. "redirected": captured, but nobody serves it (cut off). "enrolled": captured and served.
 */
export type Standing = "unknown" | "absent" | "redirected" | "enrolled";

export interface PodState {
  readonly uid: string;
  readonly key: ObjectKey;
  readonly wish: PodWish;
  readonly standing: Standing;
  /** What the last success made it, as the objects were then. */
  readonly applied?: WantedPod;
  /** An action for it is running; the next is decided when it has finished. */
  readonly busy: boolean;
  readonly failures: number;
  /** Nothing is tried before; on the monotonic clock. */
  readonly retryAtMs: number;
  /** Why the last action failed; "" when it did not. */
  readonly failure: string;
}

export interface EnrolmentState {
  readonly facts: EnrolmentFacts;
  readonly pods: ReadonlyMap<string, PodState>;
  readonly podObjects: ReadonlyMap<ObjectKey, KubeObject>;
  readonly namespaces: ReadonlyMap<string, KubeObject>;
  /** What was last told to be written on each pod. */
  readonly annotated: ReadonlyMap<ObjectKey, AnnotationValue>;
  readonly loaded: boolean;
}

export interface EnrolmentFacts extends WishFacts {
  readonly nodeName: string;
}

export type EnrolmentEvent =
  /** The first one carries everything there is. */
  | { readonly kind: "objects"; readonly upserted: readonly KubeObject[]; readonly removed: readonly ObjectKey[] }
  | {
      readonly kind: "finished";
      readonly uid: string;
      /** What is true of the pod now, whether the action succeeded or not. */
      readonly standing: Standing;
      /** What was carried out, for an enrolment that succeeded. */
      readonly applied?: WantedPod;
      readonly failure?: string;
    }
  /** Time has passed: retries may be due. */
  | { readonly kind: "tick" }
  /** Look at everything again that should be in order. */
  | { readonly kind: "verify" };

export type EnrolmentAction =
  /** Make the pod be served as described, whatever state it is in; with everything in order, only check that. */
  | { readonly kind: "enrol"; readonly pod: WantedPod }
  /** Take it out gracefully; also for one that an earlier process may have left captured (`known` false). */
  | { readonly kind: "unenrol"; readonly uid: string; readonly key: ObjectKey; readonly known: boolean }
  /** It has ended: drop it, and do not touch its namespace. */
  | { readonly kind: "forget"; readonly uid: string }
  /** Write or (null) take away the annotation; "drop" forgets a pod that no longer exists. */
  | { readonly kind: "annotate"; readonly key: ObjectKey; readonly value: AnnotationValue | "drop" };

export interface Timing {
  /** Monotonic, ms. */
  readonly nowMs: number;
  /** Delay before the n-th retry (from 0). */
  retryDelayMs(n: number): number;
}

export interface Step {
  readonly state: EnrolmentState;
  readonly actions: readonly EnrolmentAction[];
}

export function initialState(facts: EnrolmentFacts): EnrolmentState {
  const none = { pods: new Map(), podObjects: new Map(), namespaces: new Map(), annotated: new Map() };
  return { facts, ...none, loaded: false };
}

/** Takes one event in. Every action it returns must be carried out, and every one but "annotate" reported as finished. */
export function step(before: EnrolmentState, event: EnrolmentEvent, timing: Timing): Step {
  const changed = applyEvent(before, event, timing);
  const pods = new Map(changed.pods);
  const actions: EnrolmentAction[] = [];
  for (const [uid, pod] of pods) {
    const action = nextAction(pod, event.kind === "verify", timing.nowMs);
    if (action === undefined) {
      if (isForgotten(pod)) pods.delete(uid);
      continue;
    }
    pods.set(uid, { ...pod, busy: true });
    actions.push(action);
  }
  const next = { ...changed, pods };
  const annotations = annotationCommands(next, event.kind === "verify");
  return {
    state: { ...next, annotated: annotations.annotated },
    actions: [...actions, ...annotations.commands],
  };
}

/** When the next retry is due, on the monotonic clock; undefined when none waits. */
export function nextRetryAtMs(state: EnrolmentState): number | undefined {
  let earliest: number | undefined;
  for (const { busy, failures, retryAtMs } of state.pods.values()) {
    if (!busy && failures > 0 && (earliest === undefined || retryAtMs < earliest)) earliest = retryAtMs;
  }
  return earliest;
}

function applyEvent(state: EnrolmentState, event: EnrolmentEvent, timing: Timing): EnrolmentState {
  switch (event.kind) {
    case "objects":
      return applyObjects(state, event.upserted, event.removed);
    case "finished":
      return applyFinished(state, event, timing);
    default:
      return state;
  }
}

function applyFinished(
  state: EnrolmentState,
  event: Extract<EnrolmentEvent, { kind: "finished" }>,
  { nowMs, retryDelayMs }: Timing,
): EnrolmentState {
  const pod = state.pods.get(event.uid);
  if (pod === undefined) return state;
  const { applied: _, ...rest } = pod;
  const applied = event.applied ?? (event.standing === "enrolled" ? pod.applied : undefined);
  const failed = event.failure !== undefined;
  const after: PodState = {
    ...rest,
    ...(applied === undefined ? {} : { applied }),
    busy: false,
    standing: event.standing,
    failure: event.failure ?? "",
    failures: failed ? pod.failures + 1 : 0,
    retryAtMs: failed ? nowMs + retryDelayMs(pod.failures) : 0,
  };
  return { ...state, pods: new Map(state.pods).set(event.uid, after) };
}

function applyObjects(
  state: EnrolmentState,
  upserted: readonly KubeObject[],
  removed: readonly ObjectKey[],
): EnrolmentState {
  const podObjects = new Map(state.podObjects);
  const namespaces = new Map(state.namespaces);
  for (const key of removed) {
    podObjects.delete(key);
    if (key.startsWith("Namespace//")) namespaces.delete(key.slice("Namespace//".length));
  }
  for (const object of upserted) {
    if (object.kind === "Namespace") namespaces.set(object.metadata.name, object);
    if (object.kind !== "Pod") continue;
    // A pod that is somebody else's now was never, or is no more, ours.
    if (nodeNameOf(object) === state.facts.nodeName) podObjects.set(objectKey(object), object);
    else podObjects.delete(objectKey(object));
  }
  const next = { ...state, podObjects, namespaces };
  return { ...next, pods: derivePods(next), loaded: true };
}

/** Recomputed whole: a node has at most some hundreds of pods, and a namespace's label concerns all its pods. */
function derivePods(state: EnrolmentState): Map<string, PodState> {
  const pods = new Map<string, PodState>();
  for (const [key, object] of state.podObjects) {
    const uid = object.metadata.uid ?? "";
    const wish = wishOf(object, state.namespaces.get(namespaceOf(object)), state.facts);
    pods.set(uid, withWish(state.pods.get(uid) ?? newPod(uid, key, wish, state.loaded), wish));
  }
  for (const [uid, pod] of state.pods) {
    if (!pods.has(uid)) pods.set(uid, withWish(pod, { kind: "gone", reason: "it was deleted" }));
  }
  return pods;
}

function newPod(uid: string, key: ObjectKey, wish: PodWish, loaded: boolean): PodState {
  const standing = loaded ? "absent" : "unknown";
  return { uid, key, wish, standing, busy: false, failures: 0, retryAtMs: 0, failure: "" };
}

/** A changed wish is acted on at once, however often the earlier one had failed. */
function withWish(pod: PodState, wish: PodWish): PodState {
  if (isDeepStrictEqual(pod.wish, wish)) return pod;
  return { ...pod, wish, failures: 0, retryAtMs: 0, failure: "" };
}

function nextAction(pod: PodState, verify: boolean, nowMs: number): EnrolmentAction | undefined {
  if (pod.busy || nowMs < pod.retryAtMs) return undefined;
  const { wish, standing, uid, key, failures } = pod;
  switch (wish.kind) {
    case "wanted": {
      const inOrder = standing === "enrolled" && failures === 0 && isDeepStrictEqual(pod.applied, wish.pod);
      return inOrder && !verify ? undefined : { kind: "enrol", pod: wish.pod };
    }
    case "waiting":
      return undefined;
    case "out":
      return standing === "absent" ? undefined : { kind: "unenrol", uid, key, known: standing !== "unknown" };
    case "gone":
      return standing === "absent" || standing === "unknown" ? undefined : { kind: "forget", uid };
  }
}

/** Nothing is left to do for a pod that has ended, and no object speaks of it. */
function isForgotten({ wish, busy, standing }: PodState): boolean {
  return (
    wish.kind === "gone" &&
    wish.reason === "it was deleted" &&
    !busy &&
    standing !== "enrolled" &&
    standing !== "redirected"
  );
}
