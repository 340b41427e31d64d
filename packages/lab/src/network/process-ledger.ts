import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, markProcess, type ProcessMark } from "./process-tree.ts";

const FILE = "processes";

/**
 * Process groups a loopback lab has started, kept in a file too: without a pid namespace, that is how the next `up` or
 * `down` finds what a killed daemon left behind. A number that was reused for another process is never touched.
 */
export class ProcessLedger {
  readonly #file: string;
  readonly #groups = new Map<string, ProcessMark[]>();

  constructor(stateDir: string) {
    this.#file = join(stateDir, FILE);
  }

  /** `pid` leads its own process group. */
  add(group: string, pid: number): void {
    const known = this.#groups.get(group) ?? [];
    const mark = markProcess(pid);
    if (!mark || known.some((one) => one.pid === pid && one.startTicks === mark.startTicks)) return;
    this.#groups.set(group, [...known.filter(isAlive), mark]);
    appendFileSync(this.#file, `${mark.pid} ${mark.startTicks}\n`);
  }

  killGroup(group: string): void {
    for (const mark of this.#groups.get(group) ?? []) killProcessGroup(mark);
    this.#groups.delete(group);
  }

  killAll(): void {
    for (const group of [...this.#groups.keys()]) this.killGroup(group);
  }
}

/** Ends what a daemon that is gone left behind in this state folder. */
export function killLeftovers(stateDir: string): void {
  for (const line of readLines(join(stateDir, FILE))) {
    const [pid, startTicks] = line.split(" ");
    if (pid !== undefined && startTicks !== undefined) killProcessGroup({ pid: Number(pid), startTicks });
  }
}

function killProcessGroup(mark: ProcessMark): void {
  if (!Number.isInteger(mark.pid) || mark.pid < 2 || !isAlive(mark)) return;
  try {
    process.kill(-mark.pid, "SIGKILL");
  } catch {
    // Gone meanwhile.
  }
}

function readLines(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch {
    return [];
  }
}
