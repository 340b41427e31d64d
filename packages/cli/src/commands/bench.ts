import { spawnSync } from "node:child_process";
import { programPath } from "@ambit/shared/lab-client";
import type { Command } from "commander";

export function addBench(program: Command): void {
  program
    .command("bench")
    .argument("<suite>", "l4: through two ztunnels; l7: with a waypoint between them")
    .description("measure: the direct path and ours in the same run, interleaved, as medians and ratios")
    .option("--json", "one object for machines: machine, node, rows")
    .option("--rounds <n>", "interleaved repetitions", "3")
    .option(
      "--only <rows>",
      "comma-separated row groups; l4: policies, memory, paced, connections, bulk; l7: memory, paced, flat, connections, routes, swap",
    )
    .action((suite: string, options: { json?: boolean; rounds: string; only?: string }) => {
      const args = [
        ...(options.json ? ["--json"] : []),
        "--rounds",
        options.rounds,
        ...(options.only ? ["--only", options.only] : []),
      ];
      const script = programPath("bench/src/main.ts");
      const result = spawnSync(process.execPath, [...process.execArgv, script, suite, ...args], { stdio: "inherit" });
      process.exitCode = result.status ?? 1;
    });
}
