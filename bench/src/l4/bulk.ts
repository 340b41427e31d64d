import type { ProgramUsage } from "../lab-parts.ts";
import { atMost, makeRow, median, type Row } from "../row.ts";
import type { Side, Topology } from "./topology.ts";

const BYTES = 512 * 1024 * 1024;
const GIB_TO_GB = BYTES / 1e9;

/** Bulk in both directions over 1 and 8 connections: throughput, and what a gigabyte costs each proxy. */
export async function bulk(topology: Topology, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const direction of ["upload", "download"] as const) {
    for (const connections of [1, 8]) rows.push(...(await oneShape(topology, rounds, direction, connections)));
  }
  return rows;
}

async function oneShape(
  topology: Topology,
  rounds: number,
  direction: "upload" | "download",
  connections: number,
): Promise<Row[]> {
  const gbits: Record<Side, number[]> = { direct: [], ours: [] };
  const cpuPerGb: number[] = [];
  await topology.warmUp([direction, connections, BYTES]);
  for (let round = 0; round < rounds; round++) {
    for (const side of ["direct", "ours"] as const) {
      const before = await topology.usage();
      const { seconds } = await topology.measure<{ seconds: number }>(side, [direction, connections, BYTES]);
      gbits[side].push((BYTES * 8) / 1e9 / seconds);
      if (side === "ours") cpuPerGb.push(busiest(before, await topology.usage()) / GIB_TO_GB);
    }
  }
  const shape = `${direction}, ${connections} connection${connections === 1 ? "" : "s"}`;
  return [
    makeRow(`bulk ${shape}`, "Gbit/s", median(gbits.direct), median(gbits.ours)),
    makeRow(`bulk ${shape}: CPU per proxy`, "s/GB", null, median(cpuPerGb), atMost(1.3, "s/GB")),
  ];
}

/** CPU seconds the busier of the two proxies used between two readings. */
export function busiest(before: readonly ProgramUsage[], after: readonly ProgramUsage[]): number {
  return Math.max(...after.map((now, index) => now.cpuSeconds - (before[index]?.cpuSeconds ?? 0)));
}
