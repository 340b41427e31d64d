import type { EventEmitter } from "node:events";
import type { Logger } from "../log/index.ts";

/**
 * A bug leaves a program's state unknown, so it ends and its supervisor starts a fresh one. A rejected promise nobody
 * waited for belongs to one background task: it is logged, and the rest goes on.
 *
 * @param events  `process`, or an emitter in tests
 */
export function guardAgainstBugs(events: EventEmitter, log: Logger, end: () => void): void {
  events.on("uncaughtException", (error: Error) => {
    log.error("bug: uncaught exception, ending", { error, stack: error.stack });
    end();
  });
  events.on("unhandledRejection", (reason: unknown) => {
    const error = reason instanceof Error ? reason : new Error(String(reason));
    log.error("bug: unhandled rejection", { error, stack: error.stack });
  });
}
