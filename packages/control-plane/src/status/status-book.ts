/** Writes what became of each object onto the object itself, as Kubernetes status conditions. */
import { isDeepStrictEqual } from "node:util";
import { type ObjectKey, type ObjectSource, recordsAt } from "@ambit/shared/kube";
import { type Condition, isSilent, NO_STATUS, type ObjectStatus, type StatusPart } from "../model/index.ts";

export interface StatusBookInit {
  readonly source: Pick<ObjectSource, "patch">;
  readonly now: () => number;
  /** Status the object carries already: a condition that says the same keeps its time, also over a restart. */
  readonly existing?: (key: ObjectKey) => Readonly<Record<string, unknown>> | undefined;
  /** Which object the status was made for; undefined when it says neither. */
  readonly made?: (key: ObjectKey) => MadeFor | undefined;
  onFailure(key: ObjectKey, error: Error): void;
}

/** Of `metadata`. One that was made again under the same name has another uid, and nothing that was written of the first. */
export interface MadeFor {
  readonly uid?: string | undefined;
  readonly generation?: number | undefined;
}

const OWNER = "control-plane";

/** Keeps the status of many objects written, each only when it changed; a failed write is tried again at the next change. */
export class StatusBook {
  readonly #init: StatusBookInit;
  readonly #current = new Map<ObjectKey, ObjectStatus>();
  readonly #written = new Map<ObjectKey, string>();
  #tail: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(init: StatusBookInit) {
    this.#init = init;
  }

  /** Brings objects to this status; a silent one takes ours away. Writes happen one after another, in the background. */
  set(statuses: ReadonlyMap<ObjectKey, ObjectStatus>): void {
    for (const [key, status] of statuses) {
      if (isSilent(status)) this.#current.delete(key);
      else this.#current.set(key, status);
      const made = isSilent(status) ? undefined : this.#init.made?.(key);
      const text = JSON.stringify([status, made?.uid, made?.generation]);
      if ((this.#written.get(key) ?? SILENCE) === text) continue;
      this.#written.set(key, text);
      this.#tail = this.#tail.then(() => this.#write(key, status, { text, generation: made?.generation }));
    }
  }

  /** Every status that holds now, by object key. */
  current(): Readonly<Record<string, ObjectStatus>> {
    return Object.fromEntries(this.#current);
  }

  get(key: ObjectKey): ObjectStatus | undefined {
    return this.#current.get(key);
  }

  /**
   * Resolves once the write under way has ended. What waits behind it is left to the next start, which finds out what is
   * missing by itself.
   */
  stop(): Promise<void> {
    this.#stopped = true;
    return this.#tail;
  }

  /** Resolves once everything asked for so far was tried. */
  settled(): Promise<void> {
    return this.#tail;
  }

  async #write(key: ObjectKey, status: ObjectStatus, { text, generation }: Written): Promise<void> {
    // A later set() of the same object has its own write queued; this one would be overwritten at once.
    if (this.#stopped || this.#written.get(key) !== text) return;
    try {
      await this.#init.source.patch(
        key,
        OWNER,
        isSilent(status) ? undefined : { status: this.#stamped(status, generation, this.#init.existing?.(key)) },
      );
      if (isSilent(status)) this.#written.delete(key);
    } catch (error) {
      this.#written.delete(key);
      this.#init.onFailure(key, error as Error);
    }
  }

  #stamped(status: ObjectStatus, generation: number | undefined, existing: Fields | undefined): Fields {
    const stamp = {
      now: new Date(this.#init.now()).toISOString(),
      ...(generation !== undefined && { observedGeneration: generation }),
    };
    const parts = (name: "listeners" | "parents"): Fields => {
      const list = status[name];
      return list ? { [name]: list.map((part) => stampedPart(part, recordsAt(existing, name), stamp)) } : {};
    };
    const conditions = stampedConditions(status.conditions, recordsAt(existing, "conditions"), stamp);
    return { ...(conditions.length > 0 && { conditions }), ...parts("listeners"), ...parts("parents") };
  }
}

type Fields = Readonly<Record<string, unknown>>;

interface Written {
  readonly text: string;
  readonly generation: number | undefined;
}

interface Stamp {
  readonly now: string;
  /** Which text of the object a condition speaks of, for readers that wait for their own. Spec: Kubernetes metav1.Condition. */
  readonly observedGeneration?: number;
}

const SILENCE = JSON.stringify([NO_STATUS, undefined, undefined]);

/** The same part is the one that is identified alike. */
function stampedPart({ fields, conditions }: StatusPart, existing: readonly Fields[], stamp: Stamp): Fields {
  const identity = ["name", "parentRef", "controllerName"];
  const same = existing.find((each) => identity.every((name) => isDeepStrictEqual(each[name], fields[name])));
  return { ...fields, conditions: stampedConditions(conditions, recordsAt(same, "conditions"), stamp) };
}

function stampedConditions(list: readonly Condition[], existing: readonly Fields[], { now, ...generation }: Stamp) {
  return list.map((condition) => {
    const same = existing.find(({ type, status }) => type === condition.type && status === condition.status);
    const since = same?.["lastTransitionTime"];
    return { ...condition, lastTransitionTime: typeof since === "string" ? since : now, ...generation };
  });
}
