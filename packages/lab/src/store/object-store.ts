import { type KubeObject, mergePatch, type ObjectKey, objectKey } from "@ambit/shared/kube";
import type { Fields } from "../cluster/fields.ts";
import { type Identified, ObjectFiles } from "./object-files.ts";

/** The lab's own patches: what a kubelet reports. */
const OWNER = "kubelet";

interface Held {
  readonly base: KubeObject;
  readonly patch: Fields;
  /** Base with our own patch. */
  readonly merged: KubeObject;
}

/**
 * All objects of the lab. Memory is the truth for the lab itself; the folder is written along for the other programs.
 * Listeners hear of every change, synchronously and once a call.
 */
export class ObjectStore {
  readonly #files: ObjectFiles;
  readonly #held = new Map<ObjectKey, Held>();
  readonly #listeners = new Set<() => void>();

  constructor(folder: string) {
    this.#files = new ObjectFiles(folder);
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** With the kubelet's status, without what other programs wrote. */
  get(key: ObjectKey): KubeObject | undefined {
    return this.#held.get(key)?.merged;
  }

  /** As it was put, without any status. */
  base(key: ObjectKey): KubeObject | undefined {
    return this.#held.get(key)?.base;
  }

  list(kind?: string): readonly KubeObject[] {
    const all = [...this.#held.values()].map((held) => held.merged);
    return kind === undefined ? all : all.filter((object) => object.kind === kind);
  }

  /** With the patches of all owners, as every reader of the folder sees it. Reads files. */
  effective(object: KubeObject): KubeObject {
    const patches = this.#files.foreignPatches(object, OWNER);
    return patches.reduce<KubeObject>((merged, patch) => mergePatch(merged, patch) as KubeObject, object);
  }

  put(object: KubeObject): void {
    const key = objectKey(object);
    const patch = this.#held.get(key)?.patch ?? {};
    this.#held.set(key, { base: object, patch, merged: mergePatch(object, patch) as KubeObject });
    this.#files.write(object);
    this.#changed();
  }

  remove(object: Identified): void {
    if (!this.#held.delete(objectKey(object))) return;
    this.#files.remove(object);
    this.#changed();
  }

  /** Replaces the lab's patch of an object; a patch of one that is gone, or that changes nothing, does nothing. */
  report(key: ObjectKey, patch: Fields): void {
    const held = this.#held.get(key);
    if (!held || JSON.stringify(held.patch) === JSON.stringify(patch)) return;
    this.#held.set(key, { base: held.base, patch, merged: mergePatch(held.base, patch) as KubeObject });
    this.#files.writePatch(held.base, OWNER, patch);
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
