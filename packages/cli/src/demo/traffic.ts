import { programPath, runIn } from "@ambit/shared/lab-client";
import type { DemoContext } from "./check.ts";

const CLIENT = programPath("packages/lab/src/apps/traffic-client.ts");

export interface GetResult {
  readonly status: number;
  readonly body: string;
  readonly error: string;
}

export interface LoopResult {
  readonly sent: number;
  readonly failed: number;
  readonly firstError: string;
}

export interface HoldResult {
  readonly lines: number;
  readonly heldMs: number;
  readonly ended: string;
}

/** Runs the traffic client inside a pod, named `NAMESPACE/POD`, and reads its one line of JSON. */
export async function fromPod<T>(
  context: DemoContext,
  pod: string,
  args: readonly (string | number)[],
  timeoutMs = 30_000,
): Promise<T> {
  const [namespace = "", name = ""] = pod.split("/");
  const command = [process.execPath, CLIENT, ...args.map(String)];
  const result = await runIn(context.lab, { namespace, pod: name }, command, timeoutMs);
  try {
    return JSON.parse(result.stdout) as T;
  } catch {
    throw new Error(
      `the client in ${pod} ended with status ${result.exitCode}: ${(result.stderr || result.stdout).slice(0, 400)}`,
    );
  }
}

export const describeGet = (url: string, result: GetResult): string =>
  result.status > 0 ? `${url} -> HTTP ${result.status}` : `${url} -> ${result.error}`;
