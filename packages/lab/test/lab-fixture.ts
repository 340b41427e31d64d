/** Real labs for the tests: the program itself, a state folder of its own, and no mesh unless asked for. */
import { execFile, spawnSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  type ExecTarget,
  LabClient,
  type LabStatus,
  type PodStatus,
  programPath,
  type RunResult,
  runIn,
} from "@ambit/shared/lab-client";
import { temporaryFolder } from "@ambit/testing/files";

export interface LabOptions {
  readonly name?: string;
  readonly objects?: readonly string[];
  readonly mode?: LabStatus["mode"];
  /** Another user to be; the state folder is open to everybody then. */
  readonly uid?: number;
  readonly args?: readonly string[];
  /** What starts the program: a command that runs its arguments. */
  readonly within?: readonly string[];
}

export interface Answer {
  readonly ok: boolean;
  readonly code?: string;
  readonly message?: string;
  readonly pid?: number;
  readonly mode?: string;
}

const run = promisify(execFile);
export const MANIFESTS = programPath("packages/lab/test/manifests");
let labs = 0;

export class LabFixture {
  readonly name: string;
  readonly folder: string;
  readonly stateDir: string;
  readonly client: LabClient;
  readonly #options: LabOptions;

  constructor(options: LabOptions = {}) {
    this.#options = options;
    this.name = options.name ?? `lab-test-${process.pid}-${++labs}`;
    this.folder = temporaryFolder("lab-test");
    if (options.uid !== undefined) chmodSync(this.folder, 0o777);
    this.stateDir = join(this.folder, "state");
    this.client = new LabClient(this.name, this.stateDir);
  }

  up(): Promise<Answer> {
    const objects = (this.#options.objects ?? [MANIFESTS]).flatMap((path) => ["--objects", path]);
    return this.#lab("up", ["--no-mesh", ...objects, ...(this.#options.args ?? [])]);
  }

  /** Also removes the state folder. */
  async down(): Promise<Answer> {
    const answer = await this.#lab("down", []);
    rmSync(this.folder, { recursive: true, force: true });
    return answer;
  }

  async #lab(verb: string, args: readonly string[]): Promise<Answer> {
    const { uid, mode, within = [] } = this.#options;
    const user = uid === undefined ? [] : ["setpriv", "--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups", "--"];
    const main = programPath("packages/lab/src/main.ts");
    const command = [
      process.execPath,
      "--conditions=@ambit/source",
      main,
      verb,
      "--name",
      this.name,
      "--state",
      this.stateDir,
    ];
    const [program = "", ...rest] = [...within, ...user, ...command, ...args];
    const env = { ...process.env, NODE_OPTIONS: "", ...(mode ? { AMBIT_LAB_MODE: mode } : {}) };
    const { stdout } = await run(program, rest, { env, timeout: 90_000 }).catch((error: { stdout?: string }) => ({
      stdout: error.stdout ?? "{}",
    }));
    return JSON.parse(stdout) as Answer;
  }

  /** Waits until `condition` holds for the status. */
  async until(what: string, condition: (status: LabStatus) => boolean, timeoutMs = 40_000): Promise<LabStatus> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const status = await this.client.status();
      if (condition(status)) return status;
      if (performance.now() > deadline) throw new Error(`${what}: still not so: ${JSON.stringify(status.pods)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  ready(): Promise<LabStatus> {
    return this.until("all pods are ready", ({ pods }) => pods.length > 0 && pods.every((pod) => pod.ready));
  }

  async pod(name: string): Promise<PodStatus> {
    const found = (await this.client.status()).pods.find((pod) => pod.name === name || pod.name.startsWith(`${name}-`));
    if (!found) throw new Error(`no pod ${name}`);
    return found;
  }

  exec(target: ExecTarget, ...command: string[]): Promise<RunResult> {
    return runIn(this.client, target, command);
  }

  /** Standard output of a shell line in a pod of namespace `app`, without the last newline. */
  async sh(pod: string, line: string): Promise<string> {
    return (await this.exec({ namespace: "app", pod }, "sh", "-c", line)).stdout.trimEnd();
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const files = objects.map((object, at) => ({ name: `${at}.json`, text: JSON.stringify(object) }));
    const { problems } = await this.client.apply(files);
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
  }
}

/** Processes whose environment or command line names the text, on the whole machine. */
export function processesNaming(text: string): string[] {
  const listing = spawnSync("ps", ["axww", "-o", "pid=,args="], { encoding: "utf8" }).stdout;
  return listing.split("\n").filter((line) => line.includes(text) && !line.includes("ps axww"));
}

export const isRoot = process.getuid?.() === 0;
