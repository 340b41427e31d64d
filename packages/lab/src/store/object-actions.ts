/** What a user does to objects: apply, delete, label. Every action answers per object, and what is wrong stops only itself. */
import { randomUUID } from "node:crypto";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type InputProblem, type KubeObject, type ObjectKey, objectKey, parseKubeFile } from "@ambit/shared/kube";
import type { Clock } from "@ambit/shared/time";
import { admitted, applyOver, sameIntent } from "./apply-over.ts";
import type { Identified } from "./object-files.ts";
import type { ObjectStore } from "./object-store.ts";

export interface InputFile {
  readonly name: string;
  readonly text: string;
}

export interface ObjectRef {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface ActionResult {
  /** `Kind/namespace/name`, `Kind/name` for cluster-scoped kinds. */
  readonly object: string;
  readonly action: "created" | "configured" | "unchanged" | "deleted";
}

export interface ActionAnswer {
  readonly results: readonly ActionResult[];
  readonly problems: readonly InputProblem[];
}

const MAX_FILES_WITH_PROBLEMS = 200;

export class ObjectActions {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  /** As the user last wrote it, to tell what a new text takes away from what somebody else added. */
  readonly #applied = new Map<ObjectKey, KubeObject>();
  /** Pods that wait for their predecessor of the same name to be gone. */
  readonly #successors = new Map<ObjectKey, KubeObject>();
  readonly #problems = new Map<string, readonly InputProblem[]>();

  constructor(store: ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Problems of the files applied so far; a file applied again has only its new ones. */
  problems(): readonly InputProblem[] {
    return [...this.#problems.values()].flat();
  }

  apply(files: readonly InputFile[]): ActionAnswer {
    const results: ActionResult[] = [];
    const problems: InputProblem[] = [];
    for (const { name, text } of files) {
      const parsed = parseKubeFile(name, text);
      problems.push(...parsed.problems);
      this.#remember(name, parsed.problems);
      for (const { object, valid, whenInvalid } of parsed.objects) {
        // An invalid policy is kept: dropping it would open what it was meant to close.
        if (valid || whenInvalid === "pass-on") results.push(this.#applyOne(object));
      }
    }
    return { results, problems };
  }

  deleteFiles(files: readonly InputFile[]): ActionAnswer {
    const problems: InputProblem[] = [];
    const results: ActionResult[] = [];
    for (const { name, text } of files) {
      const parsed = parseKubeFile(name, text);
      problems.push(...parsed.problems);
      this.#problems.delete(name);
      for (const { object } of parsed.objects) {
        const found = this.#store.get(objectKey(object));
        if (found) results.push(this.#delete(found));
      }
    }
    return { results, problems };
  }

  /** Throws MeshError LAB_COMMAND_FAILED when there is no such object. */
  deleteOne(ref: ObjectRef): ActionAnswer {
    return { results: [this.#delete(this.#find(ref))], problems: [] };
  }

  /** `null` takes a label away. Without `overwrite` a label that has another value is an error. */
  label(ref: ObjectRef, labels: Readonly<Record<string, string | null>>, overwrite: boolean): ActionResult {
    const found = this.#store.base(objectKey(this.#find(ref))) as KubeObject;
    const current: Record<string, string> = { ...found.metadata.labels };
    for (const [key, value] of Object.entries(labels)) {
      if (value === null) delete current[key];
      else if (!overwrite && current[key] !== undefined && current[key] !== value) {
        const message = `${describe(found)} already has the label ${key}=${current[key]}; repeat with --overwrite to change it`;
        throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, message);
      } else current[key] = value;
    }
    if (JSON.stringify(current) === JSON.stringify(found.metadata.labels ?? {})) return result(found, "unchanged");
    this.#store.put({ ...found, metadata: { ...found.metadata, labels: current } });
    return result(found, "configured");
  }

  /** Creates an object of the lab's own making; it must not exist. */
  create(object: KubeObject): void {
    this.#store.put(admitted(object, randomUUID(), this.#clock.now()));
  }

  /** Brings an object of a controller's making to this, with what others added; does nothing when it is so already. */
  ensure(object: KubeObject): void {
    this.#applyOne(object);
  }

  /** Pods that could not be created while their predecessor was still there. */
  createSuccessors(): void {
    for (const [key, object] of this.#successors) {
      if (this.#store.get(key)) continue;
      this.#successors.delete(key);
      this.create(object);
    }
  }

  /** Pods end before they go; everything else goes at once. */
  removeObject(object: Identified): void {
    const key = objectKey(object);
    if (object.kind !== "Pod") {
      this.#store.remove(object);
      return;
    }
    const base = this.#store.base(key);
    if (!base || base.metadata.deletionTimestamp !== undefined) return;
    const deletionTimestamp = new Date(this.#clock.now()).toISOString();
    this.#store.put({ ...base, metadata: { ...base.metadata, deletionTimestamp } });
  }

  #applyOne(object: KubeObject): ActionResult {
    const key = objectKey(object);
    const base = this.#store.base(key);
    const before = this.#applied.get(key);
    this.#applied.set(key, object);
    if (!base) {
      this.create(object);
      return result(object, "created");
    }
    const next = applyOver(base, before, object);
    if (base.metadata.deletionTimestamp !== undefined) return this.#succeed(key, object);
    if (sameIntent(base, next)) return result(object, "unchanged");
    // What a pod runs cannot change while it runs.
    if (object.kind === "Pod" && !sameIntent({ ...base, metadata: next.metadata }, next)) {
      this.removeObject(base);
      return this.#succeed(key, object);
    }
    this.#store.put({ ...next, metadata: { ...next.metadata, generation: (base.metadata.generation ?? 1) + 1 } });
    return result(object, "configured");
  }

  #succeed(key: ObjectKey, object: KubeObject): ActionResult {
    this.#successors.set(key, object);
    return result(object, "configured");
  }

  #delete(object: KubeObject): ActionResult {
    this.#applied.delete(objectKey(object));
    this.#successors.delete(objectKey(object));
    if (object.kind === "Namespace") {
      for (const inside of this.#store.list().filter((one) => one.metadata.namespace === object.metadata.name)) {
        this.#applied.delete(objectKey(inside));
        this.removeObject(inside);
      }
    }
    this.removeObject(object);
    return result(object, "deleted");
  }

  #find(ref: ObjectRef): KubeObject {
    const candidates = [ref.namespace, ref.namespace === undefined ? "default" : undefined];
    for (const namespace of candidates) {
      const metadata = { name: ref.name, ...(namespace === undefined ? {} : { namespace }) };
      const found = this.#store.get(objectKey({ kind: ref.kind, metadata }));
      if (found) return found;
    }
    const place = ref.namespace === undefined ? ref.name : `${ref.namespace}/${ref.name}`;
    throw new MeshError(
      ErrorCode.LAB_COMMAND_FAILED,
      `expected ${ref.kind} ${place} to exist; see: ambit get ${ref.kind}`,
    );
  }

  #remember(file: string, problems: readonly InputProblem[]): void {
    this.#problems.delete(file);
    if (problems.length > 0 && this.#problems.size < MAX_FILES_WITH_PROBLEMS) this.#problems.set(file, problems);
  }
}

const describe = ({ kind, metadata }: Identified): string =>
  metadata.namespace === undefined ? `${kind}/${metadata.name}` : `${kind}/${metadata.namespace}/${metadata.name}`;

const result = (object: Identified, action: ActionResult["action"]): ActionResult => ({
  object: describe(object),
  action,
});
