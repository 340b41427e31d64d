import { LabClient, startLab, stopLab, waitUntilReady } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import type { Check } from "../demo/check.ts";
import { type DemoListener, runDemo } from "../demo/run-demo.ts";
import { SHOP } from "../demo/shop.ts";
import { note, print, printJson } from "../output.ts";
import { renderCheck, renderPicture, renderSummary } from "../render/demo-report.ts";
import { type LabOption, withLab } from "./options.ts";

interface DemoOptions extends LabOption {
  readonly json?: boolean;
  readonly keep?: boolean;
}

/** Short-lived certificates, so that the person watching sees them rotate; JSON logs, so that the demo can read them. */
const ZTUNNEL_ENV = ["SECRET_TTL=15s", "LOG_FORMAT=json"];

export function addDemo(program: Command): void {
  const command = program
    .command("demo")
    .description("build a two-node mesh, enrol a running shop, and prove each claim with evidence")
    .option("--json", "print {checks: [{name, held, evidence}]} instead of the report")
    .option("--keep", "leave the lab running to look around");
  withLab(command).action(demo);
}

async function demo(options: DemoOptions): Promise<void> {
  const name = options.name === "default" ? "demo" : options.name;
  const lab = new LabClient(name);
  const listener = options.json ? quiet : talkative;
  note("building two nodes with a control plane, a ztunnel each, and an un-meshed shop ...");
  await startLab({ name, manifests: [SHOP.manifests], ztunnelEnv: ZTUNNEL_ENV });
  let checks: Check[] = [];
  try {
    const status = await waitUntilReady(lab);
    if (!options.json) print(renderPicture(status));
    checks = await runDemo({ lab, mode: status.mode }, listener);
  } finally {
    if (options.keep)
      note(`the lab runs on; look around with: ambit status --name ${name}, stop it with: ambit down --name ${name}`);
    else await stopLab(name);
  }
  if (options.json) printJson({ checks });
  else print(renderSummary(checks));
  if (checks.length === 0 || checks.some((check) => !check.held)) process.exitCode = 1;
}

const talkative: DemoListener = {
  onStep: (step) => print(`\n${step.says}\n`),
  onCheck: (check) => print(renderCheck(check)),
  onLeftOut: (step) => print(`\n(left out, needs network namespaces: ${step.name})\n`),
};

const quiet: DemoListener = {
  onStep: (step) => note(`... ${step.name}`),
  onCheck: () => {},
  onLeftOut: (step) => note(`left out, needs network namespaces: ${step.name}`),
};
