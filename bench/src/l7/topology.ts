import {
  LabClient,
  type LabStatus,
  programPath,
  runIn,
  startLab,
  stopLab,
  waitUntilReady,
} from "@ambit/shared/lab-client";
import { allowPortReuse, type ProgramUsage, podUsage, untilEnrolled, ztunnelUsage } from "../lab-parts.ts";
import { findEnvoy, startEnvoy } from "./envoy-pod.ts";

const CLIENT = programPath("bench/src/programs/http-client.ts");

/** `envoy`: through ztunnel, an Envoy in the waypoint's place, and ztunnel. */
export type Side = "direct" | "ours" | "envoy";
export type MeshedSide = Exclude<Side, "direct">;

export interface Measurement {
  readonly mode: "paced" | "flat" | "connect";
  /** Default `/`. */
  readonly path?: string;
  /** See the client program. */
  readonly numbers: readonly number[];
}

/** 16 connections, 8 s. */
export const FLAT_OUT: Measurement = { mode: "flat", numbers: [16, 8] };

/** A client, a server and, on a node of its own, a waypoint; the same programs for every side. */
export interface Topology {
  readonly lab: LabClient;
  /** Without `envoy` where none is installed. */
  readonly sides: readonly Side[];
  measure<T>(side: Side, measurement: Measurement): Promise<T>;
  /**
   * Flat-out load, then the measurement, on all sides, not counted: proxies run for weeks, and the tens of thousands of
   * requests until everything is compiled are not what is measured.
   */
  warmUp(measurement?: Measurement): Promise<void>;
  /** CPU seconds (user + system, all threads) and resident bytes of the side's waypoint. */
  waypoint(side: MeshedSide): Promise<ProgramUsage>;
  /** Of the node proxies before and behind it. */
  ztunnels(): Promise<readonly ProgramUsage[]>;
  stop(): Promise<void>;
}

const NAMESPACES: Readonly<Record<Side, string>> = { direct: "direct", ours: "mesh", envoy: "envoy" };
const LONGEST_RUN_MS = 120_000;

export async function startTopology(): Promise<Topology> {
  const name = `bench-${process.pid}`;
  await startLab({ name, manifests: [programPath("bench/manifests-l7")] });
  try {
    return await prepare(name);
  } catch (error) {
    await stopLab(name);
    throw error;
  }
}

async function prepare(name: string): Promise<Topology> {
  const lab = new LabClient(name);
  await waitUntilReady(lab);
  await untilEnrolled(lab, [NAMESPACES.ours, NAMESPACES.envoy]);
  const envoy = findEnvoy(process.env);
  if (envoy !== undefined) await startEnvoy(lab, NAMESPACES.envoy, envoy);
  const sides: readonly Side[] = envoy === undefined ? ["direct", "ours"] : ["direct", "ours", "envoy"];
  const status = await waitUntilReady(lab);
  const addresses = new Map<Side, string>();
  for (const side of sides) {
    await allowPortReuse(lab, NAMESPACES[side]);
    addresses.set(side, await serviceAddress(lab, NAMESPACES[side]));
  }
  const measure = async <T>(side: Side, { mode, path = "/", numbers }: Measurement): Promise<T> => {
    const namespace = NAMESPACES[side];
    const argv = [process.execPath, CLIENT, mode, addresses.get(side), `server.${namespace}`, path, ...numbers];
    const result = await runIn(lab, { namespace, pod: "client" }, argv.map(String), LONGEST_RUN_MS);
    if (result.exitCode !== 0) throw new Error(`${side} ${mode} ${numbers.join(" ")}: ${result.stderr.slice(-600)}`);
    return JSON.parse(result.stdout) as T;
  };
  for (const side of sides) await untilAnswers(side, measure);
  return {
    lab,
    sides,
    measure,
    async warmUp(measurement) {
      for (const side of sides) {
        await measure(side, FLAT_OUT);
        if (measurement) await measure(side, measurement);
      }
    },
    waypoint: (side) => podUsage(lab, { namespace: NAMESPACES[side], pod: waypointPod(status, NAMESPACES[side]) }),
    ztunnels: async () => (await ztunnelUsage(lab)).filter(({ node }) => node !== "node3"),
    stop: () => stopLab(name),
  };
}

async function serviceAddress(lab: LabClient, namespace: string): Promise<string> {
  const [service] = await lab.objects({ kind: "Service", namespace, name: "server" });
  const address = service?.spec?.["clusterIP"] ?? "";
  if (typeof address !== "string" || address === "")
    throw new Error(`expected an address of service ${namespace}/server`);
  return address;
}

function waypointPod({ pods }: LabStatus, namespace: string): string {
  const pod = pods.find((one) => one.namespace === namespace && one.name.startsWith("waypoint"));
  if (!pod) throw new Error(`expected a waypoint pod in namespace ${namespace}`);
  return pod.name;
}

/** Certificates and the way to the waypoint come a moment after readiness. */
async function untilAnswers(side: Side, measure: Topology["measure"]): Promise<void> {
  const once: Measurement = { mode: "paced", numbers: [1, 10, 0.2] };
  let last: unknown;
  for (let attempt = 0; attempt < 40; attempt++) {
    last = await measure<{ failed: number }>(side, once).catch((error: unknown) => ({
      failed: 1,
      error: String(error),
    }));
    if ((last as { failed: number }).failed === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`the path "${side}" does not answer: ${JSON.stringify(last)}`);
}
