import { readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { killLeftovers } from "../network/process-ledger.ts";
import { isAlive, type ProcessMark } from "../network/process-tree.ts";
import { readRecordedLab } from "./recorded-lab.ts";

const POLITE_MS = 8_000;
const KILLED_MS = 3_000;
const POLL_MS = 10;
const SHUTDOWN_CALL_MS = 2_000;

/**
 * Stops the lab of this state folder if one runs, and removes whatever one left behind, also after a crash. Nothing there
 * is fine. Throws MeshError LAB_COMMAND_FAILED when a process does not even end by SIGKILL.
 */
export async function removeLab(stateDir: string, options: { readonly keepLog?: boolean } = {}): Promise<void> {
  const recorded = readRecordedLab(stateDir);
  if (recorded && isAlive(recorded.holder)) {
    const asked = await askToStop(join(stateDir, "lab.sock"));
    const ended = asked && (await untilGone(recorded.holder, POLITE_MS));
    if (!ended) await kill(recorded.holder);
  }
  killLeftovers(stateDir);
  clear(stateDir, options.keepLog === true);
}

/** Only what a lab makes; a folder somebody named by mistake keeps its own files. */
const OWN_FILES = [
  "captures",
  "control-plane",
  "init.pid",
  "lab.json",
  "lab.sock",
  "logs",
  "netns",
  "objects",
  "processes",
  "settings.json",
  "tokens",
];

function clear(stateDir: string, keepLog: boolean): void {
  let present: readonly string[];
  try {
    present = readdirSync(stateDir);
  } catch {
    return;
  }
  const isOwn = (name: string): boolean =>
    OWN_FILES.includes(name) || (!keepLog && /^(lab|control-plane|ztunnel-.*)\.log(\.1)?$/.test(name));
  for (const name of present) if (isOwn(name)) rmSync(join(stateDir, name), { recursive: true, force: true });
  if (!keepLog && readdirSync(stateDir).length === 0) rmSync(stateDir, { recursive: true, force: true });
}

function askToStop(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request(
      { socketPath, method: "POST", path: "/v1/shutdown", timeout: SHUTDOWN_CALL_MS },
      (response) => {
        response.resume().on("error", () => {});
        resolve(true);
      },
    );
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", () => resolve(false));
    call.end();
  });
}

async function kill(mark: ProcessMark): Promise<void> {
  try {
    process.kill(mark.pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
  if (!(await untilGone(mark, KILLED_MS)))
    throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, `expected process ${mark.pid} of the lab to end, it did not`);
}

async function untilGone(mark: ProcessMark, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(mark)) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}
