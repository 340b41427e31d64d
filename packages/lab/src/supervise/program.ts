import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { request } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "@ambit/shared/log";
import { type BackoffInit, backoffDelayMs, type Clock, type Random } from "@ambit/shared/time";

export interface ProgramInit {
  /** As in logs and `ambit logs`: `control-plane`, `ztunnel/node1`. */
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** A new connection to the port that answers `readyPath`. */
  readonly dialReadiness: () => Socket;
  readonly readyPath: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called with the pid of every process of it, so that a crash of ours leaves none behind. */
  readonly onSpawn?: (pid: number) => void;
}

const BACKOFF: BackoffInit = { baseMs: 100, capMs: 5_000, jitter: 0.1 };
const STABLE_MS = 10_000;
const POLL_STARTING_MS = 50;
const POLL_READY_MS = 1_000;
const READINESS_TIMEOUT_MS = 1_000;

/** A mesh program that is started again whenever it ends. */
export class Program {
  readonly #init: ProgramInit;
  #process: ChildProcess | undefined;
  #ready = false;
  #starts = 0;
  #failuresInARow = 0;
  #stopping = false;
  #exited = Promise.withResolvers<void>();
  #cancelRestart: () => void = () => {};
  #cancelPoll: () => void = () => {};

  constructor(init: ProgramInit) {
    this.#init = init;
  }

  get status(): { readonly pid: number; readonly ready: boolean; readonly restarts: number } {
    return { pid: this.#process?.pid ?? 0, ready: this.#ready, restarts: Math.max(0, this.#starts - 1) };
  }

  get logFile(): string {
    return this.#init.logFile;
  }

  start(): void {
    if (this.#stopping) return;
    const { argv, env, logFile, clock, log, name } = this.#init;
    const output = openSync(logFile, "a");
    const child = spawn(argv[0] as string, argv.slice(1), { env, stdio: ["ignore", output, output], detached: true });
    closeSync(output);
    this.#process = child;
    this.#starts++;
    this.#exited = Promise.withResolvers();
    const startedAtMs = clock.monotonic();
    if (child.pid !== undefined) this.#init.onSpawn?.(child.pid);
    child.once("error", (error) => {
      log.error("a program could not be started", { program: name, error: error.message });
      this.#onEnd(startedAtMs);
    });
    child.once("exit", (code, signal) => {
      if (!this.#stopping) log.warn("a program ended", { program: name, code: code ?? -1, signal: signal ?? "none" });
      this.#onEnd(startedAtMs);
    });
    this.#poll();
  }

  /** SIGTERM, and SIGKILL when it has not ended in time. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#cancelRestart();
    this.#cancelPoll();
    const child = this.#process;
    if (!child) return;
    child.kill("SIGTERM");
    const cancel = this.#init.clock.after(graceMs, () => child.kill("SIGKILL"));
    await this.#exited.promise;
    cancel();
  }

  #onEnd(startedAtMs: number): void {
    if (!this.#process) return;
    this.#process = undefined;
    this.#ready = false;
    this.#cancelPoll();
    this.#exited.resolve();
    if (this.#stopping) return;
    const { clock, random } = this.#init;
    this.#failuresInARow = clock.monotonic() - startedAtMs >= STABLE_MS ? 0 : this.#failuresInARow + 1;
    const delayMs = backoffDelayMs(BACKOFF, Math.max(0, this.#failuresInARow - 1), random);
    this.#cancelRestart = clock.after(delayMs, () => this.start());
  }

  #poll(): void {
    const child = this.#process;
    this.#cancelPoll = this.#init.clock.after(this.#ready ? POLL_READY_MS : POLL_STARTING_MS, () => {
      void answersOk(this.#init).then((ready) => {
        if (this.#process !== child || !child) return;
        this.#ready = ready;
        this.#poll();
      });
    });
  }
}

/** Whether the program answers 200 right now. Never throws. */
function answersOk({ dialReadiness, readyPath }: ProgramInit): Promise<boolean> {
  return new Promise((resolve) => {
    let socket: Socket;
    try {
      socket = dialReadiness();
    } catch {
      return resolve(false);
    }
    const timer = setTimeout(() => socket.destroy(), READINESS_TIMEOUT_MS);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(false);
    });
    const call = request(
      {
        path: readyPath,
        createConnection: () => socket,
        headers: { host: "localhost", connection: "close" },
      },
      (response) => {
        response.on("error", () => {});
        resolve(response.statusCode === 200);
        socket.destroy();
      },
    );
    call.on("error", () => resolve(false));
    call.end();
  });
}
