interface Wait {
  readonly missing: Set<number>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Waits, by key, until each of some workers has answered. One wait a key; a second one settles the first. */
export class WaitingSet {
  readonly #waits = new Map<string, Wait>();

  wait(key: string, workers: readonly number[]): Promise<void> {
    this.settle(key);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // A rejection nobody waits for any more must not end the process.
    promise.catch(() => {});
    this.#waits.set(key, { missing: new Set(workers), resolve, reject });
    if (workers.length === 0) this.settle(key);
    return promise;
  }

  arrived(key: string, worker: number): void {
    const wait = this.#waits.get(key);
    wait?.missing.delete(worker);
    if (wait?.missing.size === 0) this.settle(key);
  }

  /** The worker will never answer: it is dead. */
  arrivedEverywhere(worker: number): void {
    for (const key of [...this.#waits.keys()]) this.arrived(key, worker);
  }

  /** False when nobody waits for the key. */
  fail(key: string, error: Error): boolean {
    const wait = this.#waits.get(key);
    this.#waits.delete(key);
    wait?.reject(error);
    return wait !== undefined;
  }

  /** Ends the wait as done. */
  settle(key: string): void {
    const wait = this.#waits.get(key);
    this.#waits.delete(key);
    wait?.resolve();
  }
}
