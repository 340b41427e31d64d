/** `ambit bench l4`: measures the direct path and ours in one run, interleaved, and prints medians and ratios. */
import { parseArgs } from "node:util";
import { bulk } from "./l4/bulk.ts";
import { connections } from "./l4/connections.ts";
import { memory } from "./l4/memory.ts";
import { paced } from "./l4/paced.ts";
import { policies } from "./l4/policies.ts";
import { machineFacts, startTopology, type Topology } from "./l4/topology.ts";
import { renderRows } from "./render.ts";
import type { Row } from "./row.ts";

const GROUPS: Readonly<Record<string, (topology: Topology, rounds: number) => Promise<Row[]>>> = {
  memory,
  paced,
  connections,
  bulk,
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, rounds: { type: "string", default: "3" }, only: { type: "string" } },
  });
  const known = [...Object.keys(GROUPS), "policies"];
  const chosen = values.only ? values.only.split(",") : known;
  const unknown = chosen.filter((name) => !known.includes(name));
  if (positionals[0] !== "l4" || unknown.length > 0 || !/^[1-9]\d?$/.test(values.rounds)) {
    process.stderr.write(`expected: ambit bench l4 [--rounds 1..99] [--only ${known.join(",")}]\n`);
    return 64;
  }
  const rows = [...(chosen.includes("policies") ? policies() : []), ...(await measured(chosen, Number(values.rounds)))];
  const report = { machine: await machineFacts(), node: process.version, rounds: Number(values.rounds), rows };
  process.stdout.write(
    values.json
      ? `${JSON.stringify(report, null, 2)}\n`
      : `${report.machine}, Node ${report.node}, median of ${report.rounds}\n\n${renderRows(rows)}`,
  );
  return 0;
}

async function measured(chosen: readonly string[], rounds: number): Promise<Row[]> {
  const groups = Object.entries(GROUPS).filter(([name]) => chosen.includes(name));
  if (groups.length === 0) return [];
  process.stderr.write("starting two nodes and two pairs of pods ...\n");
  const topology = await startTopology();
  try {
    const rows: Row[] = [];
    for (const [name, run] of groups) {
      process.stderr.write(`measuring: ${name}\n`);
      rows.push(...(await run(topology, rounds)));
    }
    return rows;
  } finally {
    await topology.stop();
  }
}

process.exitCode = await main();
