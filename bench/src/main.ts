/** `ambit bench l4|l7`: measures the direct path and ours in one run, interleaved, and prints medians and ratios. */
import { parseArgs } from "node:util";
import { bulk } from "./l4/bulk.ts";
import { connections } from "./l4/connections.ts";
import { memory } from "./l4/memory.ts";
import { paced } from "./l4/paced.ts";
import { policies } from "./l4/policies.ts";
import { startTopology } from "./l4/topology.ts";
import { connections as l7Connections } from "./l7/connections.ts";
import { flatOut } from "./l7/flat-out.ts";
import { memory as l7Memory } from "./l7/memory.ts";
import { paced as l7Paced } from "./l7/paced.ts";
import { routes } from "./l7/routes.ts";
import { swap } from "./l7/swap.ts";
import { startTopology as startL7Topology } from "./l7/topology.ts";
import { machineFacts } from "./lab-parts.ts";
import { renderRows } from "./render.ts";
import type { Row } from "./row.ts";

interface Stoppable {
  stop(): Promise<void>;
}

type Group<T> = (topology: T, rounds: number) => Promise<Row[]>;

interface Suite {
  /** In the order in which they run. */
  readonly groups: readonly string[];
  run(chosen: readonly string[], rounds: number): Promise<Row[]>;
}

function suiteOf<T extends Stoppable>(
  what: string,
  start: () => Promise<T>,
  groups: Readonly<Record<string, Group<T>>>,
): Suite {
  return {
    groups: Object.keys(groups),
    async run(names, rounds) {
      const chosen = Object.entries(groups).filter(([name]) => names.includes(name));
      if (chosen.length === 0) return [];
      process.stderr.write(`starting ${what} ...\n`);
      const topology = await start();
      try {
        const rows: Row[] = [];
        for (const [name, measure] of chosen) {
          process.stderr.write(`measuring: ${name}\n`);
          rows.push(...(await measure(topology, rounds)));
        }
        return rows;
      } finally {
        await topology.stop();
      }
    },
  };
}

const inLab = suiteOf("two nodes and two pairs of pods", startTopology, { memory, paced, connections, bulk });

const SUITES: Readonly<Record<string, Suite>> = {
  l4: {
    groups: ["policies", ...inLab.groups],
    // Needs no lab.
    run: async (names, rounds) => [
      ...(names.includes("policies") ? policies() : []),
      ...(await inLab.run(names, rounds)),
    ],
  },
  l7: suiteOf("three nodes, a waypoint, and Envoy if there is one", startL7Topology, {
    memory: l7Memory,
    paced: l7Paced,
    flat: flatOut,
    connections: l7Connections,
    routes,
    swap,
  }),
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, rounds: { type: "string", default: "3" }, only: { type: "string" } },
  });
  const suite = SUITES[positionals[0] ?? ""];
  const chosen = values.only ? values.only.split(",") : (suite?.groups ?? []);
  const unknown = chosen.filter((name) => !suite?.groups.includes(name));
  if (!suite || unknown.length > 0 || !/^[1-9]\d?$/.test(values.rounds)) {
    const usage = Object.entries(SUITES).map(([name, { groups }]) => `${name} [--only ${groups.join(",")}]`);
    process.stderr.write(`expected: ambit bench [--json] [--rounds 1..99] ${usage.join(" | ")}\n`);
    return 64;
  }
  const rows = await suite.run(chosen, Number(values.rounds));
  const report = { machine: await machineFacts(), node: process.version, rounds: Number(values.rounds), rows };
  process.stdout.write(
    values.json
      ? `${JSON.stringify(report, null, 2)}\n`
      : `${report.machine}, Node ${report.node}, median of ${report.rounds}\n\n${renderRows(rows)}`,
  );
  return 0;
}

process.exitCode = await main();
