/** Pure halves of `apply`: what the stored object becomes when a user writes a new text for it. */
import type { KubeObject, Labels, ObjectMeta } from "@ambit/shared/kube";
import { type Fields, fieldsOf } from "../cluster/fields.ts";

/** Filled in by the lab, kept when the new text does not name them. */
const ASSIGNED: Readonly<Record<string, readonly string[]>> = {
  Service: ["clusterIP", "clusterIPs", "ipFamilies"],
  Pod: ["nodeName"],
};

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
    ...rest,
    ...pick(metadata, ["uid", "creationTimestamp", "generation", "deletionTimestamp"]),
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
  };
  const assigned = pick(fieldsOf(stored.spec), ASSIGNED[stored.kind] ?? []);
  return { ...next, metadata: merged, ...(next.spec === undefined ? {} : { spec: { ...assigned, ...next.spec } }) };
}

function mergeMap(stored: Labels = {}, before: Labels = {}, next: Labels = {}): Labels | undefined {
  const foreign = Object.entries(stored).filter(([key]) => before[key] === undefined);
  const merged = { ...Object.fromEntries(foreign), ...next };
  return Object.keys(merged).length > 0 ? merged : undefined;
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
