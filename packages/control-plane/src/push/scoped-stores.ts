/** Stage "push": one store for everybody, and one for each waypoint. */
import { type EncodedResource, type ResourceChange, ResourceStore } from "./resource-store.ts";

/** Resources by type URL that a waypoint has even while nothing is known of it. */
export type Defaults = (scope: string) => ReadonlyMap<string, readonly EncodedResource[]>;

export type ScopedListener = (store: ResourceStore, typeUrl: string, names: readonly string[]) => void;

/** The empty scope is the shared one. Stores of waypoints come into being when somebody first speaks of them. */
export class ScopedStores {
  readonly shared: ResourceStore;
  readonly #defaults: Defaults;
  readonly #stores = new Map<string, ResourceStore>();
  readonly #listeners = new Set<ScopedListener>();

  constructor(defaults: Defaults) {
    this.#defaults = defaults;
    this.shared = this.#create();
  }

  of(scope: string): ResourceStore {
    if (scope === "") return this.shared;
    const known = this.#stores.get(scope);
    if (known) return known;
    const store = this.#create();
    this.#stores.set(scope, store);
    const changes = [...this.#defaults(scope)].map(([typeUrl, upserted]) => ({ typeUrl, upserted, removed: [] }));
    store.apply(changes);
    return store;
  }

  apply(changes: ReadonlyMap<string, readonly ResourceChange[]>): void {
    for (const [scope, list] of changes) {
      const defaults = scope === "" ? NO_DEFAULTS : this.#defaults(scope);
      this.of(scope).apply(list.map((change) => keepDefaults(change, defaults.get(change.typeUrl) ?? [])));
    }
  }

  /** Resources of a type over all stores. */
  count(typeUrl: string): number {
    let count = this.shared.count(typeUrl);
    for (const store of this.#stores.values()) count += store.count(typeUrl);
    return count;
  }

  listen(listener: ScopedListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #create(): ResourceStore {
    const store = new ResourceStore();
    store.listen((typeUrl, names) => {
      for (const listener of this.#listeners) listener(store, typeUrl, names);
    });
    return store;
  }
}

const NO_DEFAULTS: ReadonlyMap<string, readonly EncodedResource[]> = new Map();

/** What is taken away falls back to its default. */
function keepDefaults(change: ResourceChange, defaults: readonly EncodedResource[]): ResourceChange {
  const gone = new Set(change.removed);
  const back = defaults.filter(({ name }) => gone.has(name));
  if (back.length === 0) return change;
  const names = new Set(back.map(({ name }) => name));
  return {
    typeUrl: change.typeUrl,
    upserted: [...change.upserted, ...back],
    removed: change.removed.filter((name) => !names.has(name)),
  };
}
