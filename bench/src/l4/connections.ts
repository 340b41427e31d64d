import { makeRow, median, type Row } from "../row.ts";
import type { Side, Topology } from "./topology.ts";

const SECONDS = 4;

/** New connections, each with one byte there and back, one after another and 16 at once. */
export async function connections(topology: Topology, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const concurrency of [1, 16]) {
    const perSecond: Record<Side, number[]> = { direct: [], ours: [] };
    await topology.warmUp(["connect", concurrency, SECONDS]);
    for (let round = 0; round < rounds; round++) {
      for (const side of ["direct", "ours"] as const) {
        const result = await topology.measure<{ perSecond: number; failed: number }>(side, [
          "connect",
          concurrency,
          SECONDS,
        ]);
        if (result.failed > 0) throw new Error(`${result.failed} connections failed on the ${side} path`);
        perSecond[side].push(result.perSecond);
      }
    }
    rows.push(
      makeRow(`new connections, ${concurrency} at once`, "1/s", median(perSecond.direct), median(perSecond.ours)),
    );
  }
  return rows;
}
