import { type ChildProcess, spawn } from "node:child_process";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Command } from "commander";
import { LabClient, type LabStatus } from "../lab/lab-client.ts";
import { programPath } from "../lab/lab-paths.ts";
import { note, print, printJson } from "../output.ts";
import { renderProblems } from "../render/problems.ts";
import { renderStatus } from "../render/status.ts";
import { collect, type LabOption, labOf, type OutputOption, withLab, withOutput } from "./options.ts";

interface UpOptions extends LabOption, OutputOption {
  readonly file: readonly string[];
  readonly detach?: boolean;
  readonly ztunnelEnv: readonly string[];
  readonly controlPlaneEnv: readonly string[];
}

export interface LabStart {
  readonly name: string;
  readonly manifests: readonly string[];
  /** `NAME=VALUE` passed to every ztunnel, or to the control plane. */
  readonly ztunnelEnv?: readonly string[];
  readonly controlPlaneEnv?: readonly string[];
}

export function addUp(program: Command): void {
  const command = program
    .command("up")
    .description("start a lab: nodes and pods out of network namespaces, with a control plane and a ztunnel per node")
    .option("-f, --file <path>", "manifests to apply: a file or a folder (repeatable)", collect, [])
    .option("-d, --detach", "return when everything is ready and leave the lab running")
    .option("--ztunnel-env <NAME=VALUE>", "setting for every ztunnel (repeatable)", collect, [])
    .option("--control-plane-env <NAME=VALUE>", "setting for the control plane (repeatable)", collect, []);
  withOutput(withLab(command)).action(up);
}

async function up(options: UpOptions): Promise<void> {
  await startLab({
    name: options.name,
    manifests: options.file,
    ztunnelEnv: options.ztunnelEnv,
    controlPlaneEnv: options.controlPlaneEnv,
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

/** Starts the lab's daemon in the background and returns once it answers. Throws MeshError LAB_*. */
export async function startLab(start: LabStart): Promise<void> {
  const lab = new LabClient(start.name);
  const files = start.manifests.flatMap((path) => ["--objects", path]);
  const settings = [
    ...(start.ztunnelEnv ?? []).flatMap((pair) => ["--ztunnel-env", pair]),
    ...(start.controlPlaneEnv ?? []).flatMap((pair) => ["--control-plane-env", pair]),
  ];
  const answer = await runLabProgram(["up", "--name", start.name, "--state", lab.stateDir, ...files, ...settings]);
  if (!answer.ok)
    throw new MeshError(answer.code ?? ErrorCode.LAB_COMMAND_FAILED, answer.message ?? "the lab did not start");
}

export async function stopLab(name: string): Promise<void> {
  const lab = new LabClient(name);
  const answer = await runLabProgram(["down", "--name", name, "--state", lab.stateDir]);
  if (!answer.ok)
    throw new MeshError(answer.code ?? ErrorCode.LAB_COMMAND_FAILED, answer.message ?? "the lab did not stop");
}

interface LabAnswer {
  readonly ok: boolean;
  readonly code?: ErrorCode;
  readonly message?: string;
}

async function runLabProgram(args: readonly string[]): Promise<LabAnswer> {
  const child: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, programPath("packages/lab/src/main.ts"), ...args],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject);
  child.on("close", resolve);
  const exitCode = await promise;
  const lastLine = text.trim().split("\n").at(-1) ?? "";
  try {
    return JSON.parse(lastLine) as LabAnswer;
  } catch {
    return { ok: exitCode === 0, message: `the lab program ended with status ${exitCode}: ${text.slice(-500)}` };
  }
}

/** Waits until control plane, ztunnels and pods are ready, telling what it still waits for. */
export async function waitUntilReady(lab: LabClient, timeoutMs = 60_000): Promise<LabStatus> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const status = await lab.status();
    const waiting = pendingParts(status);
    if (waiting.length === 0) return status;
    if (performance.now() > deadline) {
      const message = `still not ready after ${timeoutMs / 1000} s: ${waiting.join(", ")}; look at: ambit logs lab --name ${lab.name}`;
      throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, message);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function pendingParts(status: LabStatus): string[] {
  const parts: string[] = [];
  if (status.controlPlane && !status.controlPlane.ready) parts.push("control plane");
  for (const node of status.nodes) if (node.ztunnel && !node.ztunnel.ready) parts.push(`ztunnel/${node.name}`);
  for (const pod of status.pods) {
    const over = pod.phase === "Succeeded" || pod.phase === "Failed";
    if (!pod.ready && !over) parts.push(`${pod.namespace}/${pod.name}`);
  }
  return parts;
}

function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
    setInterval(() => {}, 1 << 30);
  });
}
