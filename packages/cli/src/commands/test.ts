import { spawnSync } from "node:child_process";
import { programPath, projectRoot } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { note } from "../output.ts";

const TIERS = ["unit", "integration", "e2e", "soak", "peers"] as const;
const DEFAULT_TIERS = "unit,integration,e2e";

export function addTest(program: Command): void {
  program
    .command("test")
    .argument("[patterns...]", "only test files whose path matches")
    .description("run the tests; ends with a line of totals")
    .option("--tiers <list>", `comma-separated, of: ${TIERS.join(", ")}`, DEFAULT_TIERS)
    .action((patterns: string[], options: { tiers: string }) => {
      const tiers = options.tiers.split(",");
      note(`running the tiers ${tiers.join(", ")} on Node ${process.version}`);
      const script = programPath("scripts/run-jest.mjs");
      const extra = patterns.length > 0 ? ["--", ...patterns] : [];
      const result = spawnSync(process.execPath, [script, ...tiers, ...extra], { stdio: "inherit", cwd: projectRoot });
      process.exitCode = result.status ?? 1;
    });
}
