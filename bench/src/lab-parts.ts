/** What the topologies of the suites have in common. */
import { readFile } from "node:fs/promises";
import { type ExecTarget, type LabClient, runIn } from "@ambit/shared/lab-client";

export interface ProgramUsage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Kernel clock ticks a second, as /proc counts them; fixed at 100 on Linux. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** One `/proc/PID/stat`: user and system time of all threads, and resident memory. */
export function readStat(stat: string): ProgramUsage {
  // The name in parentheses may hold blanks; everything counted comes after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  return { cpuSeconds, residentBytes: Number(fields[21]) * PAGE_BYTES };
}

/** The biggest process of a pod: its program, beside the few that hold the pod together. */
export async function podUsage(lab: LabClient, target: ExecTarget): Promise<ProgramUsage> {
  const { stdout } = await runIn(lab, target, ["sh", "-c", "cat /proc/[0-9]*/stat"]);
  const programs = stdout.trim().split("\n").map(readStat);
  const [biggest] = programs.sort((a, b) => b.residentBytes - a.residentBytes);
  if (!biggest) throw new Error(`found no process in ${JSON.stringify(target)}`);
  return biggest;
}

/** Usage of each node's ztunnel. */
export async function ztunnelUsage(lab: LabClient): Promise<(ProgramUsage & { readonly node: string })[]> {
  const { nodes } = await lab.status();
  return Promise.all(
    nodes.map(async (node) => {
      const { stdout } = await runIn(lab, { node: node.name }, ["cat", `/proc/${node.ztunnel?.pid}/stat`]);
      return { node: node.name, ...readStat(stdout) };
    }),
  );
}

/** Tens of thousands of short connections in a minute would otherwise run out of local ports, on the direct path first. */
export async function allowPortReuse(lab: LabClient, namespace: string): Promise<void> {
  await runIn(lab, { namespace, pod: "client" }, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"]);
}

/** Clients and servers of the namespaces are captured. */
export async function untilEnrolled(lab: LabClient, namespaces: readonly string[]): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const { pods } = await lab.status();
    const measured = pods.filter(({ namespace, name }) => namespaces.includes(namespace) && ENDS.has(name));
    if (measured.every((pod) => pod.enrolled)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the pods of ${namespaces.join(", ")} were not enrolled within 10 s`);
}

const ENDS: ReadonlySet<string> = new Set(["client", "server"]);

export async function machineFacts(): Promise<string> {
  const cpu = await readFile("/proc/cpuinfo", "utf8");
  const model = /model name\s*:\s*(.*)/.exec(cpu)?.[1] ?? "unknown CPU";
  const cores = cpu.split("\n").filter((line) => line.startsWith("processor")).length;
  const kernel = (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim();
  return `${cores} x ${model}, Linux ${kernel}`;
}
