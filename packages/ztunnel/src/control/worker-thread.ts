import { Worker } from "node:worker_threads";
import type { FromWorker, ToWorker } from "../messages.ts";

/** One running data worker, as the control thread sees it. */
export interface WorkerThread {
  post(message: ToWorker): void;
  /** Ends it at once; `onExit` follows. */
  terminate(): void;
}

export interface WorkerThreadEvents {
  onMessage(message: FromWorker): void;
  /** The thread failed with an uncaught error; `onExit` follows. */
  onError(error: Error): void;
  /** Exactly once, last. */
  onExit(code: number): void;
}

/** The seam behind which threads are made; tests give others. */
export type SpawnWorker = (workerId: number, events: WorkerThreadEvents) => WorkerThread;

const YOUNG_GENERATION_MIB = 32;

/** Threads of worker/main.ts with a bounded heap: running out of it kills that worker, not the process. */
export function threadSpawner(entry: URL, heapMib: number): SpawnWorker {
  return (workerId, events) => {
    const worker = new Worker(entry, {
      name: `data-worker-${workerId}`,
      resourceLimits: { maxOldGenerationSizeMb: heapMib, maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
      // Nothing of the environment (tokens) is a data worker's business, but how modules are found is.
      env: process.env["NODE_OPTIONS"] === undefined ? {} : { NODE_OPTIONS: process.env["NODE_OPTIONS"] },
    });
    worker.on("message", (message: FromWorker) => events.onMessage(message));
    worker.on("messageerror", (error) => events.onError(error as Error));
    worker.on("error", (error) => events.onError(error as Error));
    worker.on("exit", (code) => events.onExit(code));
    return { post: (message) => worker.postMessage(message), terminate: () => void worker.terminate() };
  };
}
