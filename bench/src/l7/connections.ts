import { makeRow, median, type Row } from "../row.ts";
import { vsEnvoy } from "./against-envoy.ts";
import type { Measurement, Side, Topology } from "./topology.ts";

const SECONDS = 4;

/** A new connection for each request, one after another and 16 at once. */
export async function connections(topology: Topology, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const concurrency of [1, 16]) rows.push(...(await atOnce(topology, rounds, concurrency)));
  return rows;
}

async function atOnce(topology: Topology, rounds: number, concurrency: number): Promise<Row[]> {
  const perSecond: Record<Side, number[]> = { direct: [], ours: [], envoy: [] };
  const connect: Measurement = { mode: "connect", numbers: [concurrency, SECONDS] };
  await topology.warmUp(connect);
  for (let round = 0; round < rounds; round++) {
    for (const side of topology.sides) {
      const run = await topology.measure<{ perSecond: number; failed: number; firstFailure: string }>(side, connect);
      if (run.failed > 0)
        throw new Error(`${run.failed} connections failed on the path "${side}": ${run.firstFailure}`);
      perSecond[side].push(run.perSecond);
    }
  }
  const name = `new connections, ${concurrency} at once`;
  const row = makeRow(name, "1/s", median(perSecond.direct), median(perSecond.ours));
  if (!topology.sides.includes("envoy")) return [row];
  return [row, makeRow(vsEnvoy(name), "1/s", median(perSecond.envoy), median(perSecond.ours))];
}
