import { digestOf } from "./digest.ts";

/** Compiled resources of one type. */
export class ResourceStore<Value> {
  readonly values = new Map<string, Value>();
  readonly #digests = new Map<string, string>();

  /** Throws what `compile` throws, and keeps what was there then. @returns whether there is another value now */
  set(name: string, bytes: Uint8Array, compile: () => Value): boolean {
    const digest = digestOf(bytes);
    if (this.#digests.get(name) === digest) return false;
    this.values.set(name, compile());
    this.#digests.set(name, digest);
    return true;
  }

  delete(name: string): boolean {
    this.#digests.delete(name);
    return this.values.delete(name);
  }
}
