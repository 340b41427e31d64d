import { isDeepStrictEqual } from "node:util";
import { type KubeObject, type ObjectChange, type ObjectKey, objectKey } from "@ambit/shared/kube";
import {
  COMPILED_KINDS,
  type CompiledObject,
  compileObject,
  type MeshResource,
  policy,
  resourceId,
} from "./compile-object.ts";
import { staticStrict } from "./compile-peer-authentication.ts";
import { NO_STATUS, type ObjectStatus } from "./condition.ts";
import { DirtyUnits } from "./dirty-units.ts";
import { type FactKey, type FactReader, FactStore } from "./fact-store.ts";
import { fact } from "./facts.ts";
import { factsOf } from "./facts-of.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { compileSubUnit } from "./sub-units.ts";
import { isSubUnit } from "./waypoint/sub-unit-names.ts";

/** What a change of objects comes to. */
export interface ModelDelta {
  /** New or different resources. */
  readonly upserted: readonly MeshResource[];
  readonly removed: readonly MeshResource[];
  /** Status of objects for which it changed; one without conditions: nothing to say any more. */
  readonly statuses: ReadonlyMap<ObjectKey, ObjectStatus>;
  /** How many units were compiled: what this change cost. */
  readonly compiled: number;
}

/** The one unit that belongs to no object: the policy all STRICT workloads share. */
const STATIC_STRICT = "static-strict";

interface Unit {
  readonly reads: ReadonlySet<FactKey<unknown>>;
  readonly output: CompiledObject;
}

const NO_OUTPUT: CompiledObject = { resources: [], status: NO_STATUS };
const NO_READS: ReadonlySet<FactKey<unknown>> = new Set();

/**
 * The cluster as facts, and what follows from them. Each object that becomes resources is a unit; while a unit is
 * compiled, the questions it asks are written down, and only when an answer to one of them changes is it compiled
 * again. So the cost of a change is that of the units that could notice it, and the result is the same as compiling
 * everything from scratch.
 *
 * Units may answer questions too (derived facts) and call sub-units into being, such as the routes of a service that a
 * waypoint serves. Units have levels and only read facts derived on lower ones, so each is compiled once a change.
 *
 * The objects and everything derived from them are immutable; the indexes are updated in place, because copying them
 * would make every change cost as much as the cluster is large.
 */
export class MeshModel {
  readonly #mesh: MeshSettings;
  readonly #facts = new FactStore();
  readonly #readers = new Map<FactKey<unknown>, Set<string>>();
  readonly #units = new Map<string, Unit>();
  /** Sub-unit -> how many units want it. */
  readonly #wanted = new Map<string, number>();
  /** Resource id -> what each unit that emits it says it is; the first unit by precedence counts. */
  readonly #claims = new Map<string, Map<string, MeshResource>>();
  readonly #served = new Map<string, MeshResource>();

  constructor(mesh: MeshSettings) {
    this.#mesh = mesh;
    this.#compile(STATIC_STRICT, new Set(), new DirtyUnits());
  }

  apply(change: Pick<ObjectChange, "upserted" | "removed">): ModelDelta {
    const dirty = new DirtyUnits();
    for (const key of change.removed) this.#replaceFacts(key, undefined, dirty);
    for (const object of change.upserted) this.#replaceFacts(objectKey(object), object, dirty);
    const touchedResources = new Set<string>();
    const statuses = new Map<ObjectKey, ObjectStatus>();
    let compiled = 0;
    for (let unit = dirty.take(); unit !== undefined; unit = dirty.take()) {
      compiled += 1;
      const before = this.#units.get(unit)?.output.status ?? NO_STATUS;
      const after = this.#compile(unit, touchedResources, dirty).status;
      if (!isDeepStrictEqual(before, after)) statuses.set(unit as ObjectKey, after);
    }
    return { ...this.#serve(touchedResources), statuses, compiled };
  }

  /** Everything that is served now. */
  resources(): readonly MeshResource[] {
    return [...this.#served.values()];
  }

  #replaceFacts(key: ObjectKey, object: KubeObject | undefined, dirty: DirtyUnits): void {
    const touched = this.#facts.replace(key, object ? factsOf(object, this.#mesh) : new Map());
    // A unit that was never compiled reads nothing yet; any other reads its own object and notices by that.
    if (object && COMPILED_KINDS.has(object.kind) && !this.#units.has(key)) dirty.add(key);
    this.#dirtyReaders(touched, dirty);
  }

  #dirtyReaders(touched: readonly FactKey<unknown>[], dirty: DirtyUnits): void {
    for (const factKey of touched) for (const unit of this.#readers.get(factKey) ?? []) dirty.add(unit);
  }

  #compile(unit: string, touchedResources: Set<string>, dirty: DirtyUnits): CompiledObject {
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
    this.#replaceWanted(before?.output.subUnits ?? [], output?.subUnits ?? [], dirty);
    // Derived facts have an owner of their own: the object's facts are filed under the unit's plain name.
    this.#dirtyReaders(this.#facts.replace(`derived ${unit}`, output?.facts ?? new Map()), dirty);
    return output ?? NO_OUTPUT;
  }

  /** Undefined when the unit's object is gone, or nobody wants the sub-unit any more. */
  #outputOf(unit: string, reader: FactReader): CompiledObject | undefined {
    if (unit === STATIC_STRICT) {
      const isNeeded = reader.read(fact.anyPeerAuthentication()).length > 0;
      return isNeeded ? { resources: [policy(staticStrict(this.#mesh.rootNamespace))], status: NO_STATUS } : NO_OUTPUT;
    }
    if (isSubUnit(unit)) return this.#wanted.has(unit) ? compileSubUnit(reader, unit, this.#mesh) : undefined;
    const [object] = reader.read(fact.own(unit as ObjectKey));
    return object && compileObject(reader, object, this.#mesh);
  }

  #replaceWanted(before: readonly string[], after: readonly string[], dirty: DirtyUnits): void {
    for (const unit of after) {
      const count = this.#wanted.get(unit) ?? 0;
      this.#wanted.set(unit, count + 1);
      if (count === 0) dirty.add(unit);
    }
    for (const unit of before) {
      const count = (this.#wanted.get(unit) ?? 1) - 1;
      if (count > 0) {
        this.#wanted.set(unit, count);
        continue;
      }
      this.#wanted.delete(unit);
      dirty.add(unit);
    }
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
      const id = resourceId(resource);
      touched.add(id);
      const claims = this.#claims.get(id);
      claims?.delete(unit);
      if (claims?.size === 0) this.#claims.delete(id);
    }
    for (const resource of after.resources) {
      const id = resourceId(resource);
      touched.add(id);
      const claims = this.#claims.get(id) ?? new Map<string, MeshResource>();
      this.#claims.set(id, claims.set(unit, resource));
    }
  }

  #serve(touched: ReadonlySet<string>): Pick<ModelDelta, "upserted" | "removed"> {
    const upserted: MeshResource[] = [];
    const removed: MeshResource[] = [];
    for (const id of touched) {
      const before = this.#served.get(id);
      const [first] = [...(this.#claims.get(id) ?? [])].sort(([a], [b]) => byPrecedence(a, b));
      const after = first?.[1];
      if (isDeepStrictEqual(before, after)) continue;
      if (after) {
        this.#served.set(id, after);
        upserted.push(after);
      } else if (before) {
        this.#served.delete(id);
        removed.push(before);
      }
    }
    return { upserted, removed };
  }
}

/** Sub-units before objects, so that nobody can write an object that takes the place of a policy of ours. */
function byPrecedence(a: string, b: string): number {
  if (isSubUnit(a) !== isSubUnit(b)) return isSubUnit(a) ? -1 : 1;
  return a < b ? -1 : 1;
}
