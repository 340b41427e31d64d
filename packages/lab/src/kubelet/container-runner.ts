import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { type BackoffInit, backoffDelayMs, type Clock, type Random } from "@ambit/shared/time";
import type { Container, ProbeKind } from "../cluster/container.ts";
import type { Pod } from "../cluster/pod.ts";
import type { Sandbox } from "../network/machine.ts";
import { expand } from "./container-env.ts";
import { ProbeLoop } from "./probe-loop.ts";
import { type CheckTarget, runCheck } from "./run-check.ts";

export type ContainerState =
  | { readonly kind: "waiting"; readonly reason: string; readonly message: string }
  | { readonly kind: "running"; readonly startedAtMs: number }
  | { readonly kind: "terminated"; readonly exitCode: number; readonly finishedAtMs: number };

export interface ContainerInit {
  readonly container: Container;
  readonly sandbox: Sandbox;
  readonly env: Readonly<Record<string, string>>;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  readonly restartPolicy: Pod["restartPolicy"];
  readonly target: CheckTarget;
  readonly clock: Clock;
  readonly random: Random;
  readonly onChange: () => void;
}

/** Faster than a kubelet's 10 s to 5 min: whoever uses a lab sits in front of it. */
const RESTART_BACKOFF: BackoffInit = { baseMs: 200, capMs: 10_000, jitter: 0.1 };
const STABLE_MS = 10_000;
const FIND_PROCESS_MS = 5;
const FIND_PROCESS_TRIES = 400;
const KILLED_BY_SIGNAL = 137;
/** Status of a program that could not be started, as a shell gives it. */
const NOT_FOUND = 127;
/** What is left for SIGTERM after a hook that took all the time. */
const LEAST_GRACE_MS = 2_000;

/** One container as a process that is started, probed, started again, and in the end stopped. */
export class ContainerRunner {
  readonly #init: ContainerInit;
  #state: ContainerState = { kind: "waiting", reason: "ContainerCreating", message: "" };
  #process: ChildProcess | undefined;
  #pid: number | undefined;
  #restarts = 0;
  #quickFailures = 0;
  #probes: ProbeLoop[] = [];
  #ready = false;
  #stopped = false;
  #cancelTimer: () => void = () => {};
  #cancelSearch: () => void = () => {};
  #exited = Promise.withResolvers<void>();

  constructor(init: ContainerInit) {
    this.#init = init;
  }

  get name(): string {
    return this.#init.container.name;
  }

  get state(): ContainerState {
    return this.#state;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** As the lab sees it; 0 while there is none. */
  get pid(): number {
    return this.#pid ?? 0;
  }

  get ready(): boolean {
    return this.#state.kind === "running" && this.#ready;
  }

  /** Over for good: it ended and will not be started again. */
  get finished(): boolean {
    return this.#state.kind === "terminated" && !this.#willRestart(this.#state.exitCode);
  }

  start(): void {
    const { container, sandbox, env, logFile } = this.#init;
    if (container.argv.length === 0) {
      const message = "the lab runs commands, not images: set command in the container's spec";
      this.#become({ kind: "waiting", reason: "CreateContainerError", message });
      return;
    }
    const directory = container.workingDir === undefined ? [] : ["env", "-C", container.workingDir];
    const argv = [...sandbox.prefix, ...directory, ...container.argv.map((text) => expand(text, env))];
    const output = openSync(logFile, "a");
    this.#exited = Promise.withResolvers();
    const child = spawn(argv[0] as string, argv.slice(1), { env, stdio: ["ignore", output, output], detached: true });
    closeSync(output);
    this.#process = child;
    const startedAtMs = this.#init.clock.now();
    child.once("error", () => this.#onExit(NOT_FOUND, startedAtMs));
    child.once("exit", (code) => this.#onExit(code ?? KILLED_BY_SIGNAL, startedAtMs));
    this.#findProcess(FIND_PROCESS_TRIES);
    this.#become({ kind: "running", startedAtMs });
    this.#startProbes();
  }

  /**
   * The `preStop` hook, SIGTERM, and SIGKILL when it has not ended in time. The hook counts towards the grace period; a
   * container whose hook took all of it still has a moment to end by itself.
   *
   * Spec: Kubernetes, "Pod Lifecycle": termination of pods.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    this.#stopProbes();
    if (!this.#process) return;
    const startedAtMs = this.#init.clock.monotonic();
    if (graceMs > 0) await Promise.race([this.#runPreStop(graceMs), this.#exited.promise]);
    const leftMs = graceMs - (this.#init.clock.monotonic() - startedAtMs);
    this.#signal("SIGTERM");
    const cancel = this.#init.clock.after(graceMs > 0 ? Math.max(LEAST_GRACE_MS, leftMs) : 0, () =>
      this.#signal("SIGKILL"),
    );
    await this.#exited.promise;
    cancel();
  }

  async #runPreStop(graceMs: number): Promise<void> {
    const { container, target, clock } = this.#init;
    const { preStop } = container;
    if (preStop?.kind === "sleep")
      await new Promise<void>((resolve) => clock.after(Math.min(preStop.durationMs, graceMs), resolve));
    else if (preStop) await runCheck(preStop, target, graceMs);
  }

  /** The spawned process may only be the one that entered the namespaces; its child is the container. */
  #findProcess(triesLeft: number): void {
    const spawned = this.#process?.pid;
    if (spawned === undefined) return;
    this.#pid = this.#init.sandbox.mainProcessOf(spawned);
    if (this.#pid !== undefined) this.#init.onChange();
    else if (triesLeft > 0)
      this.#cancelSearch = this.#init.clock.after(FIND_PROCESS_MS, () => this.#findProcess(triesLeft - 1));
  }

  #signal(signal: NodeJS.Signals): void {
    const pids = signal === "SIGKILL" ? [this.#pid, this.#process?.pid] : [this.#pid ?? this.#process?.pid];
    for (const pid of pids) {
      if (pid === undefined) continue;
      try {
        process.kill(pid, signal);
      } catch {
        // It has just ended.
      }
    }
  }

  #onExit(exitCode: number, startedAtMs: number): void {
    if (!this.#process) return;
    this.#process = undefined;
    this.#pid = undefined;
    this.#cancelSearch();
    this.#stopProbes();
    this.#exited.resolve();
    const finishedAtMs = this.#init.clock.now();
    this.#quickFailures = finishedAtMs - startedAtMs >= STABLE_MS ? 0 : this.#quickFailures + 1;
    this.#become({ kind: "terminated", exitCode, finishedAtMs });
    if (this.#willRestart(exitCode)) this.#restartLater();
  }

  #restartLater(): void {
    const delayMs =
      this.#quickFailures === 0 ? 0 : backoffDelayMs(RESTART_BACKOFF, this.#quickFailures - 1, this.#init.random);
    this.#cancelTimer = this.#init.clock.after(delayMs, () => {
      if (this.#stopped) return;
      this.#restarts++;
      this.start();
    });
  }

  #willRestart(exitCode: number): boolean {
    if (this.#stopped || this.#init.restartPolicy === "Never") return false;
    return this.#init.restartPolicy === "Always" || exitCode !== 0;
  }

  #become(state: ContainerState): void {
    this.#state = state;
    this.#init.onChange();
  }

  #startProbes(): void {
    const { startup } = this.#init.container.probes;
    this.#ready = false;
    if (startup === undefined) this.#watchRunning();
    this.#watch("startup", (healthy) => {
      this.#stopProbes();
      if (healthy) this.#watchRunning();
      else this.#signal("SIGKILL");
    });
  }

  #watchRunning(): void {
    const { readiness, liveness } = this.#init.container.probes;
    this.#ready = readiness === undefined;
    if (readiness)
      this.#watch("readiness", (healthy) => {
        this.#ready = healthy;
        this.#init.onChange();
      });
    if (liveness) this.#watch("liveness", (healthy) => healthy || this.#signal("SIGKILL"));
    this.#init.onChange();
  }

  #watch(kind: ProbeKind, onVerdict: (healthy: boolean) => void): void {
    const probe = this.#init.container.probes[kind];
    if (!probe) return;
    const loop = new ProbeLoop(
      probe,
      () => runCheck(probe.check, this.#init.target, probe.timeoutMs),
      this.#init.clock,
      onVerdict,
    );
    this.#probes.push(loop);
    loop.start();
  }

  #stopProbes(): void {
    for (const probe of this.#probes) probe.stop();
    this.#probes = [];
    this.#ready = false;
  }
}
