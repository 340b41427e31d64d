import { startLab, stopLab, waitUntilReady } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { note, print, printJson } from "../output.ts";
import { renderProblems } from "../render/problems.ts";
import { renderStatus } from "../render/status.ts";
import { collect, type LabOption, labOf, type OutputOption, withLab, withOutput } from "./options.ts";

interface UpOptions extends LabOption, OutputOption {
  readonly file: readonly string[];
  readonly detach?: boolean;
  readonly ztunnelEnv: readonly string[];
  readonly controlPlaneEnv: readonly string[];
  readonly waypointEnv: readonly string[];
}

export function addUp(program: Command): void {
  const command = program
    .command("up")
    .description("start a lab: nodes and pods out of network namespaces, with a control plane and a ztunnel per node")
    .option("-f, --file <path>", "manifests to apply: a file or a folder (repeatable)", collect, [])
    .option("-d, --detach", "return when everything is ready and leave the lab running")
    .option("--ztunnel-env <NAME=VALUE>", "setting for every ztunnel (repeatable)", collect, [])
    .option("--control-plane-env <NAME=VALUE>", "setting for the control plane (repeatable)", collect, [])
    .option("--waypoint-env <NAME=VALUE>", "setting for every waypoint (repeatable)", collect, []);
  withOutput(withLab(command)).action(up);
}

async function up(options: UpOptions): Promise<void> {
  await startLab({
    name: options.name,
    manifests: options.file,
    ztunnelEnv: options.ztunnelEnv,
    controlPlaneEnv: options.controlPlaneEnv,
    waypointEnv: options.waypointEnv,
  });
  const lab = labOf(options);
  const status = await waitUntilReady(lab);
  if (options.output === "json") printJson(status);
  else print(renderStatus(status));
  process.stderr.write(renderProblems(status.problems));
  if (options.detach) return note(`lab "${options.name}" is up; stop it with: ambit down --name ${options.name}`);
  note("Ctrl-C stops the lab");
  await untilInterrupted();
  await stopLab(options.name);
}

function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
    setInterval(() => {}, 1 << 30);
  });
}
