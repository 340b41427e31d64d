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
import { allowPortReuse, type ProgramUsage, untilEnrolled, ztunnelUsage } from "../lab-parts.ts";

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
  await untilEnrolled(lab, [NAMESPACES.ours]);
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
    usage: () => ztunnelUsage(lab),
    stop: () => stopLab(name),
  };
}
