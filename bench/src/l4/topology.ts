import { readFile } from "node:fs/promises";
import {
  LabClient,
  type PodStatus,
  programPath,
  runIn,
  spawnIn,
  startLab,
  stopLab,
  waitUntilReady,
} from "@ambit/shared/lab-client";

export const CLIENT = programPath("bench/src/programs/client.ts");

export type Side = "direct" | "ours";

/** Two pairs of pods on two nodes: one un-meshed, one enrolled. The same programs run in both. */
export interface Topology {
  readonly lab: LabClient;
  /** Runs the client program in a side's client pod against that side's server pod. */
  measure<T>(side: Side, args: readonly (string | number)[]): Promise<T>;
  /** The same, not counted: proxies run for weeks, and their first second of compiling is not what is measured. */
  warmUp(args: readonly (string | number)[]): Promise<void>;
  /** A client that stays until `release`. */
  hold(side: Side, args: readonly (string | number)[]): Promise<{ release(): Promise<void> }>;
  /** CPU seconds (user + system) and resident bytes of each node's ztunnel. */
  usage(): Promise<readonly ProgramUsage[]>;
  stop(): Promise<void>;
}

export interface ProgramUsage {
  readonly node: string;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

const NAMESPACES: Readonly<Record<Side, string>> = { direct: "direct", ours: "mesh" };

export async function startTopology(): Promise<Topology> {
  const name = `bench-${process.pid}`;
  await startLab({ name, manifests: [programPath("bench/manifests")] });
  const lab = new LabClient(name);
  const status = await waitUntilReady(lab);
  const servers = new Map<Side, PodStatus>();
  for (const side of ["direct", "ours"] as const) {
    const pod = status.pods.find((one) => one.namespace === NAMESPACES[side] && one.name === "server");
    if (!pod) throw new Error(`expected a pod ${NAMESPACES[side]}/server`);
    servers.set(side, pod);
  }
  await untilEnrolled(lab);
  for (const side of ["direct", "ours"] as const) await allowPortReuse(lab, NAMESPACES[side]);
  const target = (side: Side) => ({ namespace: NAMESPACES[side], pod: "client" });
  const argv = (side: Side, [mode = "", ...numbers]: readonly (string | number)[]) =>
    [process.execPath, CLIENT, mode, servers.get(side)?.ip ?? "", ...numbers].map(String);
  const measure = async <T>(side: Side, args: readonly (string | number)[]): Promise<T> => {
    const result = await runIn(lab, target(side), argv(side, args), 120_000);
    if (result.exitCode !== 0) throw new Error(`${side} ${args.join(" ")}: ${result.stderr.slice(-600)}`);
    return JSON.parse(result.stdout) as T;
  };
  return {
    lab,
    measure,
    async warmUp(args) {
      await measure("ours", args);
    },
    async hold(side, args) {
      const child = await spawnIn(lab, target(side), argv(side, args), "pipe");
      await new Promise<void>((resolve, reject) => {
        child.stdout?.once("data", () => resolve());
        child.once("close", (code) => reject(new Error(`the idle client ended with status ${code}`)));
      });
      return {
        release: () =>
          new Promise<void>((resolve) => {
            child.removeAllListeners("close");
            child.once("close", () => resolve());
            child.stdin?.end();
          }),
      };
    },
    usage: () => usageOf(lab),
    stop: () => stopLab(name),
  };
}

/** Tens of thousands of short connections in a minute would otherwise run out of local ports, on the direct path first. */
async function allowPortReuse(lab: LabClient, namespace: string): Promise<void> {
  await runIn(lab, { namespace, pod: "client" }, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"]);
}

async function untilEnrolled(lab: LabClient): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const pods = (await lab.status()).pods.filter((pod) => pod.namespace === NAMESPACES.ours);
    if (pods.every((pod) => pod.enrolled)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the pods of namespace mesh were not enrolled within 10 s");
}

/** Kernel clock ticks a second, as /proc counts them; fixed at 100 on Linux. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

async function usageOf(lab: LabClient): Promise<ProgramUsage[]> {
  const { nodes } = await lab.status();
  return Promise.all(
    nodes.map(async (node) => {
      const { stdout } = await runIn(lab, { node: node.name }, ["cat", `/proc/${node.ztunnel?.pid}/stat`]);
      // The name in parentheses may hold blanks; everything counted comes after it.
      const fields = stdout.slice(stdout.lastIndexOf(")") + 2).split(" ");
      const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
      return { node: node.name, cpuSeconds, residentBytes: Number(fields[21]) * PAGE_BYTES };
    }),
  );
}

export async function machineFacts(): Promise<string> {
  const cpu = await readFile("/proc/cpuinfo", "utf8");
  const model = /model name\s*:\s*(.*)/.exec(cpu)?.[1] ?? "unknown CPU";
  const cores = cpu.split("\n").filter((line) => line.startsWith("processor")).length;
  const kernel = (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim();
  return `${cores} x ${model}, Linux ${kernel}`;
}
