import { type ChildProcess, spawn } from "node:child_process";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { findPod } from "./find-pod.ts";
import type { LabClient } from "./lab-client.ts";

export type ExecTarget = { readonly namespace: string; readonly pod: string } | { readonly node: string };

/** `NS/POD` or `node/NAME`. */
export function parseTarget(text: string): ExecTarget {
  const [scope = "", name = "", ...rest] = text.split("/");
  if (!scope || !name || rest.length > 0) {
    throw new MeshError(ErrorCode.CONFIG_INVALID, `expected NAMESPACE/POD or node/NAME, got "${text}"`);
  }
  return scope === "node" ? { node: name } : { namespace: scope, pod: name };
}

/** Starts a command in a pod or node; the caller owns the child. */
export async function spawnIn(
  lab: LabClient,
  target: ExecTarget,
  command: readonly string[],
  stdio: "inherit" | "pipe",
): Promise<ChildProcess> {
  const exact = "pod" in target ? { ...target, pod: (await findPod(lab, target.namespace, target.pod)).name } : target;
  const plan = await lab.exec(exact);
  const [program = "", ...prefix] = plan.argv;
  return spawn(program, [...prefix, ...command], { stdio, env: { ...process.env, ...plan.env } });
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and collects what it printed (at most 1 MiB a stream). */
export async function runIn(
  lab: LabClient,
  target: ExecTarget,
  command: readonly string[],
  timeoutMs = 15_000,
): Promise<RunResult> {
  const child = await spawnIn(lab, target, command, "pipe");
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      if (output[name].length < 1 << 20) output[name] += text;
    });
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject);
  child.on("close", (code, signal) => resolve(code ?? (signal ? 128 : 1)));
  try {
    return { exitCode: await promise, ...output };
  } finally {
    clearTimeout(timer);
  }
}
