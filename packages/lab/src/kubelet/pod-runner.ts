import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "@ambit/shared/log";
import type { IpAddress } from "@ambit/shared/net";
import { backoffDelayMs, type Clock, type Random } from "@ambit/shared/time";
import type { Container } from "../cluster/container.ts";
import type { Fields } from "../cluster/fields.ts";
import { isOver, type Pod } from "../cluster/pod.ts";
import type { Service } from "../cluster/service.ts";
import type { Machine, PodPlace, Sandbox } from "../network/machine.ts";
import type { PodTokens } from "../supervise/join-tokens.ts";
import { containerEnv, TOKEN_FILE_VARIABLE } from "./container-env.ts";
import { ContainerRunner } from "./container-runner.ts";
import { type PodReport, phaseOf, podStatusPatch } from "./pod-status.ts";

export interface PodRunnerInit {
  readonly pod: Pod;
  readonly place: PodPlace;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly random: Random;
  readonly logFolder: string;
  readonly log: Logger;
  /** The lab's own variables for every process. */
  readonly baseEnv: Readonly<Record<string, string>>;
  /** Services of the pod's namespace as of now. */
  readonly services: () => readonly Service[];
  readonly report: (patch: Fields) => void;
  readonly tokens: PodTokens | undefined;
}

const SANDBOX_BACKOFF = { baseMs: 200, capMs: 5_000, jitter: 0.1 } as const;
const LONGEST_GRACE_MS = 60_000;

/** One pod on its node, from its network to its last process. */
export class PodRunner {
  readonly #init: PodRunnerInit;
  readonly #startedAtMs: number;
  #sandbox: Sandbox | undefined;
  #initContainers: ContainerRunner[] = [];
  #containers: ContainerRunner[] = [];
  #initialized = false;
  #initFailed = false;
  #trouble: string | undefined;
  #stopping: Promise<void> | undefined;
  #wake: () => void = () => {};
  #setUp: Promise<void> = Promise.resolve();
  #released: Promise<void> | undefined;
  #tokenFile: string | undefined;

  constructor(init: PodRunnerInit) {
    this.#init = init;
    this.#startedAtMs = init.clock.now();
    mkdirSync(init.logFolder, { recursive: true });
  }

  get place(): PodPlace {
    return this.#init.place;
  }

  /** Of the first container. */
  get pid(): number {
    return this.#containers[0]?.pid ?? 0;
  }

  get restarts(): number {
    return this.#containers.reduce((sum, one) => sum + one.restarts, 0);
  }

  /** Undefined before the network is there, and once the pod is over. */
  get sandbox(): Sandbox | undefined {
    return this.#released ? undefined : this.#sandbox;
  }

  get logFiles(): readonly string[] {
    return this.#init.pod.containers.map((container) => this.#logFile(container));
  }

  /** Environment of the first container: what `exec` gives a command. */
  env(): Record<string, string> {
    const [container] = this.#init.pod.containers;
    return this.#envOf(container?.env ?? []);
  }

  /** Never rejects: what goes wrong is tried again and told in the status. */
  async run(): Promise<void> {
    this.#reportNow();
    // Early, so that the control plane knows it before the pod's program shows it.
    if (this.#init.pod.projectsToken) this.#tokenFile = this.#init.tokens?.issueToPod(this.#init.pod);
    this.#setUp = this.#makeSandbox();
    await this.#setUp;
    await this.#runInitContainers();
    if (this.#stopping || this.#initFailed) return;
    this.#initialized = true;
    this.#containers = this.#init.pod.containers.map((one) => this.#runner(one, this.#init.pod.restartPolicy));
    for (const runner of this.#containers) runner.start();
    this.#reportNow();
  }

  /** Ends every process, politely first, and takes the network away. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop(Math.min(this.#init.pod.terminationGraceMs, LONGEST_GRACE_MS));
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    this.#wake();
    // A network that is just being made must be there before it can be taken away.
    await this.#setUp;
    await Promise.all([...this.#initContainers, ...this.#containers].map((one) => one.stop(graceMs)));
    await this.#release();
  }

  async #makeSandbox(): Promise<void> {
    for (let attempt = 0; !this.#stopping && !this.#sandbox; attempt++) {
      try {
        this.#sandbox = await this.#init.machine.addPod(this.#init.place);
        this.#trouble = undefined;
      } catch (error) {
        this.#trouble = error instanceof Error ? error.message : String(error);
        this.#init.log.warn("a pod's network could not be made", { pod: this.#name(), error: this.#trouble });
        this.#reportNow();
        await this.#pause(backoffDelayMs(SANDBOX_BACKOFF, attempt, this.#init.random));
      }
    }
  }

  async #runInitContainers(): Promise<void> {
    const policy = this.#init.pod.restartPolicy === "Never" ? "Never" : "OnFailure";
    for (const container of this.#init.pod.initContainers) {
      if (this.#stopping) return;
      const runner = this.#runner(container, policy);
      this.#initContainers.push(runner);
      runner.start();
      while (!runner.finished && !this.#stopping) await this.#pause();
      const { state } = runner;
      this.#initFailed = state.kind === "terminated" && state.exitCode !== 0;
      if (this.#initFailed) {
        this.#trouble = `init container ${container.name} failed`;
        return this.#reportNow();
      }
    }
  }

  /** Until something changes, or for so long. */
  #pause(delayMs?: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (delayMs !== undefined) this.#init.clock.after(delayMs, resolve);
    });
  }

  #runner(container: Container, restartPolicy: Pod["restartPolicy"]): ContainerRunner {
    const sandbox = this.#sandbox as Sandbox;
    const { machine, place, clock, random } = this.#init;
    const env = this.#envOf(container.env);
    const dial = (ip: IpAddress, port: number) => machine.dialFromNode(place.node, ip, port);
    return new ContainerRunner({
      container,
      sandbox,
      env,
      logFile: this.#logFile(container),
      restartPolicy,
      target: { container, podIp: place.ips[0] as IpAddress, dial, prefix: sandbox.prefix, env },
      clock,
      random,
      onChange: () => this.#onContainerChange(),
    });
  }

  #envOf(entries: Container["env"]): Record<string, string> {
    const { pod, place, baseEnv, services } = this.#init;
    const token = this.#tokenFile === undefined ? {} : { [TOKEN_FILE_VARIABLE]: this.#tokenFile };
    const base = { ...baseEnv, ...this.#sandbox?.env(), ...token };
    return containerEnv(entries, {
      pod,
      podIps: place.ips,
      hostIp: place.node.ips[0] ?? "",
      services: pod.serviceLinks ? services() : [],
      base,
    });
  }

  #logFile(container: Container): string {
    return join(this.#init.logFolder, `${container.name}.log`);
  }

  #name(): string {
    return `${this.#init.pod.namespace}/${this.#init.pod.name}`;
  }

  #onContainerChange(): void {
    this.#wake();
    this.#reportNow();
    const phase = phaseOf(this.#reportOf());
    if (this.#initialized && (phase === "Succeeded" || phase === "Failed")) void this.#release();
  }

  #release(): Promise<void> {
    this.#released ??= (this.#sandbox?.destroy() ?? Promise.resolve())
      .catch((error: unknown) =>
        this.#init.log.warn("a pod's network could not be removed", { pod: this.#name(), error: String(error) }),
      )
      .finally(() => this.#init.tokens?.revokeFromPod(this.#init.pod.uid));
    return this.#released;
  }

  #reportNow(): void {
    if (!this.#stopping || isOver(this.#init.pod)) this.#init.report(podStatusPatch(this.#reportOf()));
  }

  #reportOf(): PodReport {
    return {
      ips: this.#sandbox ? this.#init.place.ips : [],
      hostIps: this.#init.place.node.ips,
      startedAtMs: this.#startedAtMs,
      initialized: this.#initialized,
      initFailed: this.#initFailed,
      trouble: this.#trouble,
      containers: this.#containers.map(({ name, state, ready, finished, restarts }) => ({
        name,
        state,
        ready,
        finished,
        restarts,
      })),
    };
  }
}
