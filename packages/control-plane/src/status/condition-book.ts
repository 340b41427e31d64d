/** Writes what became of each object onto the object itself, as Kubernetes status conditions. */
import type { ObjectKey, ObjectSource } from "@ambit/shared/kube";
import type { Condition } from "../model/index.ts";

export interface ConditionBookInit {
  readonly source: Pick<ObjectSource, "patch">;
  readonly now: () => number;
  /** Conditions the object carries already: one that says the same keeps its time, also over a restart. */
  readonly existing?: (key: ObjectKey) => readonly Readonly<Record<string, unknown>>[];
  onFailure(key: ObjectKey, error: Error): void;
}

const OWNER = "control-plane";

/** Keeps the conditions of many objects written, each only when it changed; a failed write is tried again at the next change. */
export class ConditionBook {
  readonly #init: ConditionBookInit;
  readonly #current = new Map<ObjectKey, readonly Condition[]>();
  readonly #written = new Map<ObjectKey, string>();
  #tail: Promise<void> = Promise.resolve();

  constructor(init: ConditionBookInit) {
    this.#init = init;
  }

  /** Brings objects to these conditions; an empty list takes ours away. Writes happen one after another, in the background. */
  set(conditions: ReadonlyMap<ObjectKey, readonly Condition[]>): void {
    for (const [key, list] of conditions) {
      if (list.length > 0) this.#current.set(key, list);
      else this.#current.delete(key);
      const text = JSON.stringify(list);
      if ((this.#written.get(key) ?? "[]") === text) continue;
      this.#written.set(key, text);
      this.#tail = this.#tail.then(() => this.#write(key, list, text));
    }
  }

  /** All conditions that hold now, by object key. */
  current(): Readonly<Record<string, readonly Condition[]>> {
    return Object.fromEntries(this.#current);
  }

  /** Resolves once everything asked for so far was tried. */
  settled(): Promise<void> {
    return this.#tail;
  }

  async #write(key: ObjectKey, list: readonly Condition[], text: string): Promise<void> {
    // A later set() of the same object has its own write queued; this one would be overwritten at once.
    if (this.#written.get(key) !== text) return;
    try {
      await this.#init.source.patch(
        key,
        OWNER,
        list.length === 0 ? undefined : { status: { conditions: this.#stamped(key, list) } },
      );
      if (list.length === 0) this.#written.delete(key);
    } catch (error) {
      this.#written.delete(key);
      this.#init.onFailure(key, error as Error);
    }
  }

  #stamped(
    key: ObjectKey,
    list: readonly Condition[],
  ): readonly (Condition & { readonly lastTransitionTime: string })[] {
    const existing = this.#init.existing?.(key) ?? [];
    const now = new Date(this.#init.now()).toISOString();
    return list.map((condition) => {
      const same = existing.find(({ type, status }) => type === condition.type && status === condition.status);
      const since = same?.["lastTransitionTime"];
      return { ...condition, lastTransitionTime: typeof since === "string" ? since : now };
    });
  }
}
