/** The named things a process still waits for. Ready exactly when none is pending. */
export class Readiness {
  readonly #pending = new Set<string>();
  readonly #listeners: (() => void)[] = [];

  /** Starts pending unless told otherwise; a task may become pending again (a lost CNI connection, say). */
  task(name: string, pending = true): ReadinessTask {
    const set = (isPending: boolean): void => {
      const changed = isPending ? !this.#pending.has(name) && this.#pending.add(name) : this.#pending.delete(name);
      if (changed) for (const listener of this.#listeners) listener();
    };
    set(pending);
    return { done: () => set(false), undone: () => set(true), set: (isDone) => set(!isDone) };
  }

  /** Names of pending tasks, sorted. */
  pending(): readonly string[] {
    return [...this.#pending].sort();
  }

  isReady(): boolean {
    return this.#pending.size === 0;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }
}

export interface ReadinessTask {
  done(): void;
  undone(): void;
  set(isDone: boolean): void;
}
