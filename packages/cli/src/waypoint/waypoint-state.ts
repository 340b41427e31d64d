/** What is known of a waypoint, from its Gateway and its pods. Pure. */
import {
  GATEWAY_NAME_LABEL,
  type KubeObject,
  MANAGED_LABEL,
  REPLICAS_ANNOTATION,
  shortLabel,
  WAYPOINT_FOR_LABEL,
} from "@ambit/shared/kube";
import type { PodStatus } from "@ambit/shared/lab-client";

export interface ConditionState {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  /** When it became so; empty when nobody says. */
  readonly since: string;
}

export interface WaypointState {
  readonly namespace: string;
  readonly name: string;
  readonly className: string;
  readonly revision: string;
  readonly trafficType: string;
  readonly addresses: readonly string[];
  readonly conditions: readonly ConditionState[];
  readonly wantedPods: number;
  /** Those that are not on their way out. */
  readonly pods: readonly PodStatus[];
}

/** @param podObjects  of all pods: their labels say whose they are */
export function waypointState(
  gateway: KubeObject,
  podObjects: readonly KubeObject[],
  podStatuses: readonly PodStatus[],
): WaypointState {
  const { name, namespace = "default", labels, annotations } = gateway.metadata;
  const own = new Set(podObjects.filter((pod) => isPodOf(pod, gateway)).map((pod) => pod.metadata.uid));
  const addresses = listAt(gateway.status, "addresses").map((one) => String(one["value"] ?? ""));
  return {
    namespace,
    name,
    className: String(gateway.spec?.["gatewayClassName"] ?? ""),
    revision: labels?.["istio.io/rev"] ?? "default",
    trafficType: labels?.[WAYPOINT_FOR_LABEL] ?? "service",
    addresses,
    conditions: conditionsOf(gateway),
    wantedPods: Number(annotations?.[REPLICAS_ANNOTATION] ?? 1),
    pods: podStatuses.filter((pod) => own.has(pod.uid) && pod.phase !== "Terminating"),
  };
}

const isPodOf = (pod: KubeObject, gateway: KubeObject): boolean =>
  (pod.metadata.namespace ?? "default") === (gateway.metadata.namespace ?? "default") &&
  pod.metadata.labels?.[MANAGED_LABEL] !== undefined &&
  pod.metadata.labels[GATEWAY_NAME_LABEL] === shortLabel(gateway.metadata.name);

export const conditionsOf = (object: KubeObject): readonly ConditionState[] =>
  listAt(object.status, "conditions").map((one) => ({
    type: String(one["type"] ?? ""),
    status: String(one["status"] ?? ""),
    reason: String(one["reason"] ?? ""),
    message: String(one["message"] ?? ""),
    since: String(one["lastTransitionTime"] ?? ""),
  }));

function listAt(fields: KubeObject["status"], name: string): readonly Readonly<Record<string, unknown>>[] {
  const value = fields?.[name];
  return Array.isArray(value) ? value.filter((one) => typeof one === "object" && one !== null) : [];
}

export const programmedOf = ({ conditions }: WaypointState): ConditionState | undefined =>
  conditions.find(({ type }) => type === "Programmed");

export const readyPods = ({ pods }: WaypointState): number => pods.filter((pod) => pod.ready).length;

/** What a waypoint still lacks before it can be used, as a list of short sentences; empty when it is ready. */
export function missingParts(state: WaypointState): readonly string[] {
  const parts: string[] = [];
  const programmed = programmedOf(state);
  if (!programmed) parts.push("the control plane has not looked at it yet (no condition Programmed)");
  else if (programmed.status !== "True") parts.push(`not programmed: ${programmed.reason}: ${programmed.message}`);
  const ready = readyPods(state);
  if (ready < state.wantedPods || ready < state.pods.length)
    parts.push(`${ready} of ${Math.max(state.wantedPods, state.pods.length)} pods are ready`);
  return parts;
}
