import type { CompiledPolicy } from "./compile.ts";
import { PolicySet } from "./policy-set.ts";

/** The policies one workload lists, and those of them the store lacks. */
export interface Listed {
  readonly set: PolicySet;
  /** In the order listed. */
  readonly missing: ReadonlySet<string>;
}

interface Cached {
  readonly keys: ReadonlySet<string>;
  readonly set: PolicySet;
  readonly held: Map<string, CompiledPolicy>;
  readonly missing: Set<string>;
  generation: number;
}

/** How many changes a set that was not used meanwhile can catch up with before it is built anew. */
const MAX_CHANGES_KEPT = 4096;

/**
 * One indexed set per list of policy keys, built when first asked for and then kept up by replaying what changed.
 * A set lives as long as the workload that carries the list.
 */
export class ListedPolicies {
  readonly #policies: ReadonlyMap<string, CompiledPolicy>;
  readonly #cache = new WeakMap<readonly string[], Cached>();
  /** Keys changed since generation `#generation - #changes.length`. */
  #changes: string[] = [];
  #generation = 0;

  /** @param policies the store's, by key; read at each use */
  constructor(policies: ReadonlyMap<string, CompiledPolicy>) {
    this.#policies = policies;
  }

  noteChange(key: string): void {
    this.#generation++;
    this.#changes.push(key);
    if (this.#changes.length > 2 * MAX_CHANGES_KEPT) this.#changes = this.#changes.slice(-MAX_CHANGES_KEPT);
  }

  of(keys: readonly string[]): Listed {
    let cached = this.#cache.get(keys);
    const behind = this.#generation - (cached?.generation ?? 0);
    if (!cached || behind > this.#changes.length) {
      cached = this.#build(keys);
      this.#cache.set(keys, cached);
    } else if (behind > 0) {
      for (const key of this.#changes.slice(-behind)) if (cached.keys.has(key)) this.#sync(cached, key);
      cached.generation = this.#generation;
    }
    return cached;
  }

  #build(list: readonly string[]): Cached {
    const keys = new Set(list);
    const cached: Cached = {
      keys,
      set: new PolicySet(),
      held: new Map(),
      missing: new Set(),
      generation: this.#generation,
    };
    for (const key of keys) this.#sync(cached, key);
    return cached;
  }

  #sync(cached: Cached, key: string): void {
    const before = cached.held.get(key);
    const now = this.#policies.get(key);
    if (before) cached.set.remove(before);
    if (now) {
      cached.set.add(now);
      cached.held.set(key, now);
      cached.missing.delete(key);
    } else {
      cached.held.delete(key);
      cached.missing.add(key);
    }
  }
}
