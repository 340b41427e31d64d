import { type IpAddress, parseIp } from "../net/index.ts";
import { isRecord } from "./checks/field-checks.ts";
import type { KubeObject } from "./model.ts";
import type { Labels } from "./selector.ts";

/**
 * Reading what we need out of Kubernetes objects. Every function is total: objects arrive checked, but status is
 * written by others, so a field of a wrong type reads as absent.
 */
export const NO_LABELS: Labels = Object.freeze({});

export const labelsOf = (object: KubeObject): Labels => object.metadata.labels ?? NO_LABELS;
export const annotationsOf = (object: KubeObject): Labels => object.metadata.annotations ?? NO_LABELS;
export const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? "";

type Fields = Readonly<Record<string, unknown>>;

/** The record under `name`, or an empty one. */
export const recordAt = (fields: Fields | undefined, name: string): Fields => {
  const value = fields?.[name];
  return isRecord(value) ? value : {};
};

/** The records of the list under `name`; anything else in it is left out. */
export const recordsAt = (fields: Fields | undefined, name: string): readonly Fields[] => {
  const value = fields?.[name];
  return Array.isArray(value) ? value.filter(isRecord) : [];
};

export const textsAt = (fields: Fields | undefined, name: string): readonly string[] => {
  const value = fields?.[name];
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];
};

/** The text under `name`, or empty. */
export const textAt = (fields: Fields | undefined, name: string): string => {
  const value = fields?.[name];
  return typeof value === "string" ? value : "";
};

/** Texts of a mapping of texts, e.g. a selector's labels. */
export const labelsAt = (fields: Fields | undefined, name: string): Labels => {
  const entries = Object.entries(recordAt(fields, name)).filter(([, value]) => typeof value === "string");
  return Object.fromEntries(entries) as Labels;
};

/** `status.podIPs`, or `status.podIP`; undefined when one of them is no address, empty before there is any. */
export function podIps(pod: KubeObject): readonly IpAddress[] | undefined {
  const listed = recordsAt(pod.status, "podIPs").map((each) => textAt(each, "ip"));
  const single = textAt(pod.status, "podIP");
  const texts = listed.length > 0 ? listed : single === "" ? [] : [single];
  const parsed = texts.map(parseIp);
  return parsed.every((each) => each.ok) ? [...new Set(parsed.map((each) => each.value))] : undefined;
}

export const podPhase = (pod: KubeObject): string => textAt(pod.status, "phase");

/** Whether the pod has run its course: it leaves the mesh though the object still exists. */
export const isTerminal = (pod: KubeObject): boolean => podPhase(pod) === "Succeeded" || podPhase(pod) === "Failed";

/** Ready condition True and not being deleted. */
export function isReady(pod: KubeObject): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  return recordsAt(pod.status, "conditions").some((each) => each["type"] === "Ready" && each["status"] === "True");
}

export const nodeNameOf = (pod: KubeObject): string => textAt(pod.spec, "nodeName");
export const isHostNetwork = (pod: KubeObject): boolean => pod.spec?.["hostNetwork"] === true;

/** `default` when the pod names none. */
export const serviceAccountOf = (pod: KubeObject): string => textAt(pod.spec, "serviceAccountName") || "default";

/** The number of a container's TCP port with that name; init containers count when they run on (`restartPolicy: Always`). */
export function namedPortOf(pod: KubeObject, name: string): number | undefined {
  const sidecars = recordsAt(pod.spec, "initContainers").filter((each) => each["restartPolicy"] === "Always");
  for (const container of [...recordsAt(pod.spec, "containers"), ...sidecars]) {
    for (const port of recordsAt(container, "ports")) {
      const isTcp = (textAt(port, "protocol") || "TCP") === "TCP";
      if (port["name"] === name && isTcp && typeof port["containerPort"] === "number") return port["containerPort"];
    }
  }
  return undefined;
}

/** Oldest first; the same age, or none given, by namespace and name, so that every reader picks the same winner. */
export function byAge(a: KubeObject, b: KubeObject): number {
  const [left, right] = [a, b].map((each) => each.metadata.creationTimestamp ?? "9999");
  if (left !== right) return (left as string) < (right as string) ? -1 : 1;
  const [leftName, rightName] = [a, b].map((each) => `${namespaceOf(each)}/${each.metadata.name}`);
  return (leftName as string) < (rightName as string) ? -1 : leftName === rightName ? 0 : 1;
}

/** A boolean as Go reads it from text (`1`, `t`, `True`, ...); undefined when it is none. */
export function parseGoBoolean(text: string | undefined): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text ?? "")) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text ?? "")) return false;
  return undefined;
}
