/** Many requests as few runs. */
export interface Coalesced {
  request(): void;
  /** Resolves when everything requested so far was done. */
  settled(): Promise<void>;
}

/**
 * Runs `task` after a request: never two at once, and once more when requests came meanwhile. What it rejects with goes to
 * `onError`, and the next request runs it again.
 */
export function coalesce(task: () => Promise<void>, onError: (error: unknown) => void): Coalesced {
  let wanted = false;
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    // Requests of the same turn are one.
    await Promise.resolve();
    while (wanted) {
      wanted = false;
      await task().catch(onError);
    }
    running = undefined;
  };
  return {
    request() {
      wanted = true;
      running ??= run();
    },
    settled: () => running ?? Promise.resolve(),
  };
}
