/** Pure halves of `apply`: what the stored object becomes when a user writes a new text for it. */
import type { KubeObject, Labels, ObjectMeta } from "@ambit/shared/kube";
import { type Fields, fieldsOf, listOf } from "../cluster/fields.ts";

/** A new object with the fields that an API server would add. */
export function admitted(object: KubeObject, uid: string, nowMs: number): KubeObject {
  const creationTimestamp = new Date(nowMs).toISOString();
  return { ...object, metadata: { ...object.metadata, uid, creationTimestamp, generation: 1 } };
}

/**
 * The three-way merge of kubectl, as far as a lab needs it: labels and annotations that somebody else added stay, the rest
 * is as the new text says.
 *
 * @param before  what the user wrote last time; undefined when the lab made the object
 */
export function applyOver(stored: KubeObject, before: KubeObject | undefined, next: KubeObject): KubeObject {
  const { metadata } = stored;
  const labels = mergeMap(metadata.labels, before?.metadata.labels, next.metadata.labels);
  const annotations = mergeMap(metadata.annotations, before?.metadata.annotations, next.metadata.annotations);
  const { labels: _labels, annotations: _annotations, ...rest } = next.metadata;
  const merged: ObjectMeta = {
    // Who made it stays so when a user's text says nothing about that.
    ...pick(metadata, ["ownerReferences"]),
    ...rest,
    ...pick(metadata, ["uid", "creationTimestamp", "generation", "deletionTimestamp"]),
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
  };
  if (next.spec === undefined) return { ...next, metadata: merged };
  return { ...next, metadata: merged, spec: withAssigned(stored.kind, fieldsOf(stored.spec), next.spec) };
}

/** The new spec with what the lab had filled in, where the new text says nothing about it. */
function withAssigned(kind: string, stored: Fields, next: Fields): Fields {
  if (kind === "Pod") return { ...pick(stored, ["nodeName"]), ...next };
  if (kind !== "Service") return next;
  const named = next["clusterIP"] !== undefined || next["clusterIPs"] !== undefined || next["type"] === "ExternalName";
  const addresses = named ? {} : pick(stored, ["clusterIP", "clusterIPs", "ipFamilies"]);
  const nodePorts = listOf(stored["ports"]).map(fieldsOf);
  const ports = listOf(next["ports"]).map((port) => withNodePort(fieldsOf(port), nodePorts));
  return { ...addresses, ...next, ...(next["ports"] === undefined ? {} : { ports }) };
}

function withNodePort(port: Fields, stored: readonly Fields[]): Fields {
  const before = stored.find((one) => one["port"] === port["port"] && one["protocol"] === port["protocol"]);
  return before?.["nodePort"] === undefined ? port : { nodePort: before["nodePort"], ...port };
}

function mergeMap(stored?: Labels, before: Labels = {}, next?: Labels): Labels | undefined {
  if (stored === undefined && next === undefined) return undefined;
  const foreign = Object.entries(stored ?? {}).filter(([key]) => before[key] === undefined);
  return { ...Object.fromEntries(foreign), ...next };
}

function pick(source: object, names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(source).filter(([name]) => names.includes(name)));
}

/** Whether two objects say the same, whatever the order of their fields. */
export function sameIntent(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameIntent(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return a === b;
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => sameIntent(a[name], b[name]));
}

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
