import { isDeepStrictEqual } from "node:util";
import { type KubeObject, type ObjectChange, type ObjectKey, objectKey } from "@ambit/shared/kube";
import { COMPILED_KINDS, type CompiledObject, compileObject, type MeshResource, policy } from "./compile-object.ts";
import { staticStrict } from "./compile-peer-authentication.ts";
import type { Condition } from "./condition.ts";
import { type FactKey, type FactReader, FactStore } from "./fact-store.ts";
import { fact } from "./facts.ts";
import { factsOf } from "./facts-of.ts";
import type { MeshSettings } from "./mesh-settings.ts";

/** What a change of objects comes to. */
export interface ModelDelta {
  /** New or different resources. */
  readonly upserted: readonly MeshResource[];
  readonly removed: readonly Pick<MeshResource, "kind" | "name">[];
  /** Conditions of objects for which they changed; an empty list: nothing to say any more. */
  readonly conditions: ReadonlyMap<ObjectKey, readonly Condition[]>;
  /** How many units were compiled: what this change cost. */
  readonly compiled: number;
}

/** The one unit that belongs to no object: the policy all STRICT workloads share. */
const STATIC_STRICT = "static-strict";

interface Unit {
  readonly reads: ReadonlySet<FactKey<unknown>>;
  readonly output: CompiledObject;
}

const NO_OUTPUT: CompiledObject = { resources: [], conditions: [] };
const NO_READS: ReadonlySet<FactKey<unknown>> = new Set();

/**
 * The cluster as facts, and what follows from them. Each object that becomes resources is a unit; while a unit is
 * compiled, the questions it asks are written down, and only when an answer to one of them changes is it compiled
 * again. So the cost of a change is that of the units that could notice it, and the result is the same as compiling
 * everything from scratch.
 *
 * The objects and everything derived from them are immutable; the indexes are updated in place, because copying them
 * would make every change cost as much as the cluster is large.
 */
export class MeshModel {
  readonly #mesh: MeshSettings;
  readonly #facts = new FactStore();
  readonly #readers = new Map<FactKey<unknown>, Set<string>>();
  readonly #units = new Map<string, Unit>();
  /** Resource id -> what each unit that emits it says it is; the first unit in name order counts. */
  readonly #claims = new Map<string, Map<string, MeshResource>>();
  readonly #served = new Map<string, MeshResource>();

  constructor(mesh: MeshSettings) {
    this.#mesh = mesh;
    this.#compile(STATIC_STRICT, new Set());
  }

  apply(change: Pick<ObjectChange, "upserted" | "removed">): ModelDelta {
    const dirty = new Set<string>();
    for (const key of change.removed) this.#replaceFacts(key, undefined, dirty);
    for (const object of change.upserted) this.#replaceFacts(objectKey(object), object, dirty);
    const touchedResources = new Set<string>();
    const conditions = new Map<ObjectKey, readonly Condition[]>();
    for (const unit of dirty) {
      const before = this.#units.get(unit)?.output.conditions ?? [];
      const after = this.#compile(unit, touchedResources).conditions;
      if (!isDeepStrictEqual(before, after)) conditions.set(unit as ObjectKey, after);
    }
    return { ...this.#serve(touchedResources), conditions, compiled: dirty.size };
  }

  /** Everything that is served now. */
  resources(): readonly MeshResource[] {
    return [...this.#served.values()];
  }

  #replaceFacts(key: ObjectKey, object: KubeObject | undefined, dirty: Set<string>): void {
    const touched = this.#facts.replace(key, object ? factsOf(object, this.#mesh) : new Map());
    // A unit that was never compiled reads nothing yet; any other reads its own object and notices by that.
    if (object && COMPILED_KINDS.has(object.kind) && !this.#units.has(key)) dirty.add(key);
    for (const factKey of touched) for (const unit of this.#readers.get(factKey) ?? []) dirty.add(unit);
  }

  #compile(unit: string, touchedResources: Set<string>): CompiledObject {
    const reads = new Set<FactKey<unknown>>();
    const reader: FactReader = {
      read: (key) => {
        reads.add(key);
        return this.#facts.read(key);
      },
    };
    const output = this.#outputOf(unit, reader);
    const before = this.#units.get(unit);
    this.#replaceReads(unit, before?.reads ?? NO_READS, output ? reads : NO_READS);
    this.#replaceClaims(unit, before?.output ?? NO_OUTPUT, output ?? NO_OUTPUT, touchedResources);
    if (output) this.#units.set(unit, { reads, output });
    else this.#units.delete(unit);
    return output ?? NO_OUTPUT;
  }

  /** Undefined when the unit's object is gone. */
  #outputOf(unit: string, reader: FactReader): CompiledObject | undefined {
    if (unit === STATIC_STRICT) {
      const isNeeded = reader.read(fact.anyPeerAuthentication()).length > 0;
      return isNeeded ? { resources: [policy(staticStrict(this.#mesh.rootNamespace))], conditions: [] } : NO_OUTPUT;
    }
    const [object] = reader.read(fact.own(unit as ObjectKey));
    return object && compileObject(reader, object, this.#mesh);
  }

  #replaceReads(unit: string, before: Unit["reads"], after: Unit["reads"]): void {
    for (const key of before) {
      if (after.has(key)) continue;
      const readers = this.#readers.get(key);
      readers?.delete(unit);
      if (readers?.size === 0) this.#readers.delete(key);
    }
    for (const key of after) {
      if (before.has(key)) continue;
      const readers = this.#readers.get(key) ?? new Set<string>();
      this.#readers.set(key, readers.add(unit));
    }
  }

  #replaceClaims(unit: string, before: CompiledObject, after: CompiledObject, touched: Set<string>): void {
    for (const resource of before.resources) {
      const id = idOf(resource);
      touched.add(id);
      const claims = this.#claims.get(id);
      claims?.delete(unit);
      if (claims?.size === 0) this.#claims.delete(id);
    }
    for (const resource of after.resources) {
      const id = idOf(resource);
      touched.add(id);
      const claims = this.#claims.get(id) ?? new Map<string, MeshResource>();
      this.#claims.set(id, claims.set(unit, resource));
    }
  }

  #serve(touched: ReadonlySet<string>): Pick<ModelDelta, "upserted" | "removed"> {
    const upserted: MeshResource[] = [];
    const removed: Pick<MeshResource, "kind" | "name">[] = [];
    for (const id of touched) {
      const before = this.#served.get(id);
      const [first] = [...(this.#claims.get(id) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
      const after = first?.[1];
      if (isDeepStrictEqual(before, after)) continue;
      if (after) {
        this.#served.set(id, after);
        upserted.push(after);
      } else if (before) {
        this.#served.delete(id);
        removed.push({ kind: before.kind, name: before.name });
      }
    }
    return { upserted, removed };
  }
}

/** Workloads and services are told apart by nothing but their names on the wire; policies are another type. */
const idOf = ({ kind, name }: Pick<MeshResource, "kind" | "name">): string =>
  kind === "policy" ? `policy ${name}` : `address ${name}`;
