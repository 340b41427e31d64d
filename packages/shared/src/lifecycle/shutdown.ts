import type { EventEmitter } from "node:events";

export interface Shutdown {
  /** Resolves with the cause of the first request to stop. */
  readonly requested: Promise<string>;
  request(cause: string): void;
  /** Stops listening to signals. */
  dispose(): void;
}

/**
 * Turns SIGTERM, SIGINT and `request` into one promise. A second SIGINT calls `exitNow`: the operator insists.
 *
 * @param signals  `process`, or an emitter in tests
 */
export function createShutdown(signals: EventEmitter, exitNow: () => void): Shutdown {
  let resolveRequested: (cause: string) => void = () => {};
  const requested = new Promise<string>((resolve) => {
    resolveRequested = resolve;
  });
  let interrupts = 0;
  const onTerm = (): void => resolveRequested("SIGTERM");
  const onInterrupt = (): void => {
    interrupts++;
    if (interrupts > 1) exitNow();
    else resolveRequested("SIGINT");
  };
  signals.on("SIGTERM", onTerm);
  signals.on("SIGINT", onInterrupt);
  return {
    requested,
    request: resolveRequested,
    dispose() {
      signals.off("SIGTERM", onTerm);
      signals.off("SIGINT", onInterrupt);
    },
  };
}
