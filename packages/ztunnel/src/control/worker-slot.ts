import type { Logger } from "@ambit/shared/log";
import { backoffDelayMs, type Clock, type Random } from "@ambit/shared/time";
import type { FromWorker, ToWorker } from "../messages.ts";
import type { SpawnWorker, WorkerThread } from "./worker-thread.ts";

const RESTART_BACKOFF = { baseMs: 20, capMs: 5_000, jitter: 0.2 };
/** A worker that ran this long starts its backoff anew. */
const STABLE_AFTER_MS = 30_000;

export interface WorkerSlotInit {
  readonly id: number;
  readonly spawn: SpawnWorker;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Everything a new thread is told, in order; called for each thread. */
  readonly greeting: () => Iterable<ToWorker>;
  readonly onMessage: (message: FromWorker) => void;
  /** The thread is gone; a replacement follows unless the slot was stopped. */
  readonly onExit: () => void;
}

/** One place for a data worker: keeps a thread running in it, replacing it with backoff when it dies. */
export class WorkerSlot {
  readonly id: number;
  readonly #init: WorkerSlotInit;
  #thread: WorkerThread | undefined;
  #started = false;
  #stopped = false;
  #restartNow = false;
  #failures = 0;
  #spawnedAt = 0;
  #restarts = 0;
  #cancelRestart: () => void = () => {};
  #onGone: (() => void)[] = [];

  constructor(init: WorkerSlotInit) {
    this.id = init.id;
    this.#init = init;
  }

  /** The thread runs and has said so. */
  get isUp(): boolean {
    return this.#started;
  }

  /** There is a thread, up or still starting. */
  get hasThread(): boolean {
    return this.#thread !== undefined;
  }

  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    const { spawn, greeting, clock, log, id } = this.#init;
    this.#spawnedAt = clock.monotonic();
    try {
      this.#thread = spawn(id, {
        onMessage: (message) => this.#receive(message),
        onError: (error) => log.error("data worker failed", { worker: id, error, stack: error.stack }),
        onExit: (code) => this.#exited(code),
      });
    } catch (error) {
      log.error("cannot start a data worker", { worker: id, error: error as Error });
      this.#scheduleRestart();
      return;
    }
    for (const message of greeting()) this.#thread.post(message);
  }

  /** Sends to the thread, if there is one; a thread that has yet to start will get it. */
  post(message: ToWorker): boolean {
    this.#thread?.post(message);
    return this.#thread !== undefined;
  }

  /** Ends the thread at once; its replacement is started without delay. */
  recycle(): void {
    this.#restartNow = true;
    this.#thread?.terminate();
  }

  /** Ends the thread for good; resolves when it is gone. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRestart();
    if (!this.#thread) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onGone.push(resolve);
      this.#thread?.terminate();
    });
  }

  #receive(message: FromWorker): void {
    if (message.kind === "started") this.#started = true;
    this.#init.onMessage(message);
  }

  #exited(code: number): void {
    const { log, id, onExit } = this.#init;
    this.#thread = undefined;
    this.#started = false;
    if (!this.#stopped) log.warn("data worker ended", { worker: id, code, failures: this.#failures });
    onExit();
    for (const resolve of this.#onGone.splice(0)) resolve();
    if (!this.#stopped) this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    const { clock, random } = this.#init;
    if (clock.monotonic() - this.#spawnedAt > STABLE_AFTER_MS) this.#failures = 0;
    const delayMs = this.#restartNow ? 0 : backoffDelayMs(RESTART_BACKOFF, this.#failures, random);
    this.#failures = this.#restartNow ? 0 : this.#failures + 1;
    this.#restartNow = false;
    this.#restarts++;
    this.#cancelRestart = clock.after(delayMs, () => {
      if (!this.#stopped) this.start();
    });
  }
}
