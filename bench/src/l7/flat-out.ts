import { makeRow, median, type Row } from "../row.ts";
import { vsEnvoy, withinTimes } from "./against-envoy.ts";
import { cpuOf } from "./paced.ts";
import { FLAT_OUT, type Side, type Topology } from "./topology.ts";

interface FlatRun {
  readonly perSecond: number;
  readonly count: number;
  readonly failed: number;
  readonly firstFailure: string;
}

/** 16 connections that ask again as soon as they are answered: requests a second, and what one costs the waypoint. */
export async function flatOut(topology: Topology, rounds: number): Promise<Row[]> {
  const perSecond: Record<Side, number[]> = { direct: [], ours: [], envoy: [] };
  const microseconds: Record<Side, number[]> = { direct: [], ours: [], envoy: [] };
  await topology.warmUp();
  for (let round = 0; round < rounds; round++) {
    for (const side of topology.sides) {
      const before = await cpuOf(topology, side);
      const run = await topology.measure<FlatRun>(side, FLAT_OUT);
      if (run.failed > 0) throw new Error(`${run.failed} requests failed on the path "${side}": ${run.firstFailure}`);
      perSecond[side].push(run.perSecond);
      microseconds[side].push((((await cpuOf(topology, side)) - before) / run.count) * 1e6);
    }
  }
  const each = (side: Side): number => median(microseconds[side]);
  const rows = [
    makeRow("flat out, 16 connections", "req/s", median(perSecond.direct), median(perSecond.ours)),
    makeRow("flat out: CPU of the waypoint per request", "us", null, each("ours")),
    makeRow("flat out: requests per CPU second of the waypoint", "1/s", null, 1e6 / each("ours")),
  ];
  if (!topology.sides.includes("envoy")) return rows;
  return [
    ...rows,
    makeRow(vsEnvoy("flat out, 16 connections"), "req/s", median(perSecond.envoy), median(perSecond.ours)),
    makeRow(vsEnvoy("flat out: CPU per request"), "us", each("envoy"), each("ours"), withinTimes(2)),
    makeRow(vsEnvoy("flat out: requests per CPU second"), "1/s", 1e6 / each("envoy"), 1e6 / each("ours")),
  ];
}
