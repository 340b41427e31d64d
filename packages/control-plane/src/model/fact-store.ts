import { isDeepStrictEqual } from "node:util";

/**
 * Names one question a compiler can ask, such as "which selectors in namespace shop want app=cart"; `T` is the type
 * of its answers. Only made by `facts.ts`.
 */
export type FactKey<T> = string & { readonly __answers?: T };

/** What one object answers: fact key -> its answer. */
export type Facts = ReadonlyMap<FactKey<unknown>, unknown>;

/** How compilers see the mesh. Answers come in no particular order. */
export interface FactReader {
  read<T>(key: FactKey<T>): readonly T[];
}

/**
 * The answers of all objects, by question. Replacing one object's answers names exactly the questions whose answers
 * changed, which is what makes the cost of a change grow with the change.
 */
export class FactStore implements FactReader {
  readonly #answers = new Map<FactKey<unknown>, Map<string, unknown>>();
  readonly #byOwner = new Map<string, Facts>();

  read<T>(key: FactKey<T>): readonly T[] {
    const answers = this.#answers.get(key);
    return answers ? ([...answers.values()] as T[]) : [];
  }

  /** @returns the keys whose answers are different now */
  replace(owner: string, facts: Facts): readonly FactKey<unknown>[] {
    const before = this.#byOwner.get(owner);
    const touched: FactKey<unknown>[] = [];
    for (const key of before?.keys() ?? []) {
      if (facts.has(key)) continue;
      this.#delete(key, owner);
      touched.push(key);
    }
    for (const [key, value] of facts) {
      if (before?.has(key) && isDeepStrictEqual(before.get(key), value)) continue;
      this.#set(key, owner, value);
      touched.push(key);
    }
    if (facts.size > 0) this.#byOwner.set(owner, facts);
    else this.#byOwner.delete(owner);
    return touched;
  }

  #set(key: FactKey<unknown>, owner: string, value: unknown): void {
    const answers = this.#answers.get(key) ?? new Map<string, unknown>();
    answers.set(owner, value);
    this.#answers.set(key, answers);
  }

  #delete(key: FactKey<unknown>, owner: string): void {
    const answers = this.#answers.get(key);
    answers?.delete(owner);
    if (answers?.size === 0) this.#answers.delete(key);
  }
}
