import { addsAtMost, atMost, type Goal, makeRow, median, type Row } from "../row.ts";
import { busiest } from "./bulk.ts";
import type { Side, Topology } from "./topology.ts";

const RATE_PER_SECOND = 1000;
const CONNECTIONS = 4;
const SECONDS = 8;

interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

const GOALS: Partial<Record<keyof Percentiles, Goal>> = { p90: addsAtMost(0.25, "ms"), p99: addsAtMost(0.6, "ms") };

/** 1 000 requests a second of 1 KiB each way over 4 connections: the latency two proxies add, and their CPU. */
export async function paced(topology: Topology, rounds: number): Promise<Row[]> {
  const runs: Record<Side, Percentiles[]> = { direct: [], ours: [] };
  const cpu: number[] = [];
  await topology.warmUp(["paced", CONNECTIONS, RATE_PER_SECOND, SECONDS]);
  for (let round = 0; round < rounds; round++) {
    for (const side of ["direct", "ours"] as const) {
      const before = await topology.usage();
      runs[side].push(await topology.measure<Percentiles>(side, ["paced", CONNECTIONS, RATE_PER_SECOND, SECONDS]));
      if (side === "ours") cpu.push(busiest(before, await topology.usage()) / SECONDS);
    }
  }
  const rows = (["p50", "p90", "p99"] as const).map((name) => {
    const of = (side: Side): number => median(runs[side].map((run) => run[name]));
    return makeRow(`paced 1000 req/s, ${name}`, "ms", of("direct"), of("ours"), GOALS[name]);
  });
  return [...rows, makeRow("paced 1000 req/s: CPU per proxy", "vCPU", null, median(cpu), atMost(0.09, "vCPU"))];
}
