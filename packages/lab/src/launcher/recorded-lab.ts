import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabMode } from "../network/machine.ts";
import { isAlive, type ProcessMark } from "../network/process-tree.ts";

/** The number of the lab's PID 1 as the host sees it; written by that process before anything else. */
export const INIT_PID_FILE = "init.pid";
const LAB_FILE = "lab.json";

/** What the launcher leaves for later commands. */
export interface RecordedLab {
  readonly name: string;
  readonly mode: LabMode;
  /** The process whose death ends the lab: `unshare`, or the daemon itself in loopback mode. */
  readonly holder: ProcessMark;
}

export function recordLab(stateDir: string, lab: RecordedLab): void {
  writeFileSync(join(stateDir, LAB_FILE), `${JSON.stringify(lab)}\n`);
}

/** Undefined when no lab was ever recorded there, or its file cannot be read. */
export function readRecordedLab(stateDir: string): RecordedLab | undefined {
  try {
    const value = JSON.parse(readFileSync(join(stateDir, LAB_FILE), "utf8")) as RecordedLab;
    return typeof value.holder?.pid === "number" && typeof value.holder.startTicks === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}

export const isLabAlive = (lab: RecordedLab | undefined): lab is RecordedLab =>
  lab !== undefined && isAlive(lab.holder);

/** Goes before a command that somebody outside starts inside the lab. */
export function enterLabPrefix(mode: LabMode, initPid: string): readonly string[] {
  if (mode === "loopback") return [];
  const user = mode === "userns" ? ["--user", "--preserve-credentials"] : [];
  return ["nsenter", "--target", initPid, ...user, "--mount", "--pid", "--net", "--"];
}
