import { addsAtMost, atMost, type Goal, makeRow, median, type Row } from "../row.ts";
import { vsEnvoy } from "./against-envoy.ts";
import type { Measurement, MeshedSide, Side, Topology } from "./topology.ts";

const RATE_PER_SECOND = 1000;
export const CONNECTIONS = 8;
const SECONDS = 8;

export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly failed: number;
  readonly firstFailure: string;
  /** How many configurations answered, and which one last. */
  readonly versions: number;
  readonly lastVersion?: string;
}

export interface PacedRun extends Percentiles {
  /** Of the waypoint, in vCPU; NaN on the direct path. */
  readonly cpu: number;
}

const GOALS: Partial<Record<"p50" | "p90" | "p99", Goal>> = { p90: addsAtMost(0.6, "ms") };
export const PACED: Measurement = { mode: "paced", numbers: [CONNECTIONS, RATE_PER_SECOND, SECONDS] };

/** 1 000 requests a second with answers of 1 KiB over 8 connections: the latency that the way adds, and CPU on it. */
export async function paced(topology: Topology, rounds: number): Promise<Row[]> {
  const runs: Record<Side, PacedRun[]> = { direct: [], ours: [], envoy: [] };
  const ztunnelCpu: number[] = [];
  await topology.warmUp(PACED);
  for (let round = 0; round < rounds; round++) {
    for (const side of topology.sides) {
      const before = await topology.ztunnels();
      runs[side].push(await pacedRun(topology, side, PACED));
      const after = await topology.ztunnels();
      if (side !== "ours") continue;
      const used = after.map((now, index) => now.cpuSeconds - (before[index]?.cpuSeconds ?? 0));
      ztunnelCpu.push(Math.max(...used) / SECONDS);
    }
  }
  const middle = (side: Side, name: "p50" | "p90" | "p99" | "cpu"): number =>
    median(runs[side].map((run) => run[name]));
  const latencies = (["p50", "p90", "p99"] as const).map((name) =>
    makeRow(`paced 1000 req/s, ${name}`, "ms", middle("direct", name), middle("ours", name), GOALS[name]),
  );
  const rows = [
    ...latencies,
    makeRow("paced 1000 req/s: CPU of the waypoint", "vCPU", null, middle("ours", "cpu"), atMost(0.3, "vCPU")),
    makeRow("paced 1000 req/s: CPU of the busier ztunnel", "vCPU", null, median(ztunnelCpu)),
  ];
  if (!topology.sides.includes("envoy")) return rows;
  const envoyLatencies = (["p50", "p90", "p99"] as const).map((name) =>
    makeRow(vsEnvoy(`paced 1000 req/s, ${name}`), "ms", middle("envoy", name), middle("ours", name)),
  );
  const cpu = makeRow(vsEnvoy("paced 1000 req/s: CPU"), "vCPU", middle("envoy", "cpu"), middle("ours", "cpu"));
  return [...rows, ...envoyLatencies, cpu];
}

/** One paced run of a side and what its waypoint used. Throws when a request failed, unless `mayFail`. */
export async function pacedRun(
  topology: Topology,
  side: Side,
  measurement: Measurement,
  mayFail = false,
): Promise<PacedRun> {
  const before = await cpuOf(topology, side);
  const found = await topology.measure<Percentiles>(side, measurement);
  const cpu = ((await cpuOf(topology, side)) - before) / (measurement.numbers[2] ?? Number.NaN);
  if (found.failed > 0 && !mayFail)
    throw new Error(`${found.failed} requests failed on the path "${side}", first: ${found.firstFailure}`);
  return { ...found, cpu };
}

export async function cpuOf(topology: Topology, side: Side): Promise<number> {
  return side === "direct" ? Number.NaN : (await topology.waypoint(side satisfies MeshedSide)).cpuSeconds;
}
