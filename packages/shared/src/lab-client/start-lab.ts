import { type ChildProcess, spawn } from "node:child_process";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { LabClient, type LabStatus } from "./lab-client.ts";
import { programPath } from "./lab-paths.ts";

export interface LabStart {
  readonly name: string;
  readonly manifests: readonly string[];
  /** `NAME=VALUE` passed to every ztunnel, or to the control plane. */
  readonly ztunnelEnv?: readonly string[];
  readonly controlPlaneEnv?: readonly string[];
  /** The same for every waypoint pod. */
  readonly waypointEnv?: readonly string[];
}

/** Starts the lab's daemon in the background and returns once it answers. Throws MeshError LAB_*. */
export async function startLab(start: LabStart): Promise<void> {
  const lab = new LabClient(start.name);
  const files = start.manifests.flatMap((path) => ["--objects", path]);
  const settings = [
    ...(start.ztunnelEnv ?? []).flatMap((pair) => ["--ztunnel-env", pair]),
    ...(start.controlPlaneEnv ?? []).flatMap((pair) => ["--control-plane-env", pair]),
    ...(start.waypointEnv ?? []).flatMap((pair) => ["--waypoint-env", pair]),
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
