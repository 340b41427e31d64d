import { once } from "node:events";
import type { Readable } from "node:stream";
import {
  type ExecTarget,
  LabClient,
  type LabStatus,
  type PodStatus,
  programPath,
  type RunResult,
  runIn,
  spawnIn,
  startLab,
  stopLab,
  waitUntilReady,
} from "@ambit/shared/lab-client";
import { afterAll, beforeAll } from "@jest/globals";
import { eventually } from "../eventually/index.ts";

/** Whether this machine lets us make network namespaces; tests that need them skip with that reason otherwise. */
export const canRunLab = process.getuid?.() === 0 && process.platform === "linux";

const CLIENT = programPath("packages/testing/src/programs/client.ts");
const HTTP_CLIENT = programPath("packages/testing/src/programs/http-client.ts");

/** What became of one GET: an answer, or why there was none (`ECONNRESET`, ...). */
export interface HttpResult {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  readonly error?: string;
}

export interface LoadResult {
  readonly sent: number;
  /** Answers of status 200. */
  readonly ok: number;
  readonly failed: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Answers by the pod that gave them. */
  readonly pods: Readonly<Record<string, number>>;
  readonly firstError: string;
  readonly longestMs: number;
}

/** A client still at work inside a pod. */
export interface RunningClient<T> {
  /** Ends its input, which tells some modes to finish. */
  finish(): void;
  readonly result: Promise<T>;
}

let started = 0;

/** One lab for one test file: up before its first test, down after its last, under a name of its own. */
export class TestLab {
  readonly name = `t${process.pid}-${++started}`;
  readonly client = new LabClient(this.name);

  status(): Promise<LabStatus> {
    return this.client.status();
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const { problems } = await this.client.apply(
      objects.map((object, at) => ({ name: `test-${at}.json`, text: JSON.stringify(object) })),
    );
    if (problems.length > 0) throw new Error(`apply: ${JSON.stringify(problems)}`);
  }

  async delete(...objects: readonly object[]): Promise<void> {
    await this.client.delete({
      files: objects.map((object, at) => ({ name: `test-${at}.json`, text: JSON.stringify(object) })),
    });
  }

  /** Labels a namespace and waits until its pods are (not) enrolled. */
  async enrol(namespace: string, mode: "ambient" | null = "ambient"): Promise<void> {
    const labels = { "istio.io/dataplane-mode": mode };
    await this.client.label({ kind: "Namespace", name: namespace, labels, overwrite: true });
    const wanted = mode === "ambient";
    await eventually(
      `pods of ${namespace} enrolled: ${wanted}`,
      async () => {
        const pods = (await this.status()).pods.filter((pod) => pod.namespace === namespace);
        return pods.length > 0 && pods.every((pod) => pod.enrolled === wanted);
      },
      60_000,
    );
  }

  async pod(namespace: string, name: string): Promise<PodStatus> {
    const found = (await this.status()).pods.find(
      (pod) => pod.namespace === namespace && (pod.name === name || pod.name.startsWith(`${name}-`)),
    );
    if (!found) throw new Error(`no pod ${namespace}/${name}`);
    return found;
  }

  exec(target: ExecTarget, command: readonly string[], timeoutMs?: number): Promise<RunResult> {
    return runIn(this.client, target, command, timeoutMs);
  }

  spawn(target: ExecTarget, command: readonly string[]): ReturnType<typeof spawnIn> {
    return spawnIn(this.client, target, command, "pipe");
  }

  /** Runs the test client (see programs/client.ts) in `NAMESPACE/POD` and reads its JSON. */
  run<T>(from: string, ...args: readonly (string | number)[]): Promise<T> {
    return this.#run(CLIENT, from, args);
  }

  /** A GET by the HTTP client (see programs/http-client.ts) in `NAMESPACE/POD`. */
  get(from: string, url: string, ...headers: readonly string[]): Promise<HttpResult> {
    return this.#run(HTTP_CLIENT, from, ["get", url, ...headers]);
  }

  async #run<T>(program: string, from: string, args: readonly (string | number)[]): Promise<T> {
    const [namespace = "", pod = ""] = from.split("/");
    const result = await this.exec({ namespace, pod }, [process.execPath, program, ...args.map(String)], 120_000);
    if (result.exitCode !== 0) throw new Error(`test client in ${from}: ${result.stderr.slice(-800)}`);
    return JSON.parse(result.stdout) as T;
  }

  /** Starts the test client and resolves once it printed "open" on its error stream. */
  start<T>(from: string, ...args: readonly (string | number)[]): Promise<RunningClient<T>> {
    return this.#start(CLIENT, from, args);
  }

  /** Starts requests at a steady rate; resolves after the first answer. `finish()` ends them before `seconds` are over. */
  load(from: string, url: string, seconds: number, rate: number): Promise<RunningClient<LoadResult>> {
    return this.#start(HTTP_CLIENT, from, ["load", url, seconds, rate]);
  }

  async #start<T>(program: string, from: string, args: readonly (string | number)[]): Promise<RunningClient<T>> {
    const [namespace = "", pod = ""] = from.split("/");
    const child = await this.spawn({ namespace, pod }, [process.execPath, program, ...args.map(String)]);
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    await Promise.race([once(child.stderr as Readable, "data"), closed]);
    return {
      finish: () => child.stdin?.end(),
      result: closed.then(() => JSON.parse(output) as T),
    };
  }

  /** kill -9, from inside the lab's process namespace. */
  async kill(node: string, pid: number): Promise<void> {
    await this.exec({ node }, ["kill", "-9", String(pid)]);
  }

  async admin<T>(node: string, path: string): Promise<T> {
    return JSON.parse(await this.client.proxy(node, 15000, path)) as T;
  }
}

/** Registers start and stop of a lab with the manifests given (files or folders, relative to the project's root). */
export function useLab(
  manifests: readonly string[],
  ztunnelEnv: readonly string[] = ["LOG_FORMAT=json"],
  waypointEnv: readonly string[] = [],
): TestLab {
  const lab = new TestLab();
  beforeAll(async () => {
    const paths = manifests.map((path) => programPath(path));
    await startLab({ name: lab.name, manifests: paths, ztunnelEnv, waypointEnv });
    await waitUntilReady(lab.client);
  }, 180_000);
  afterAll(() => stopLab(lab.name), 90_000);
  return lab;
}
