import { readdirSync, readFileSync } from "node:fs";

/** A process that no later one with the same number is taken for. */
export interface ProcessMark {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  readonly startTicks: string;
}

/** The fields of /proc/PID/stat after the name, which may hold blanks and parentheses; field 3 comes first. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

export function markProcess(pid: number): ProcessMark | undefined {
  const startTicks = statFields(pid)?.[19];
  return startTicks === undefined ? undefined : { pid, startTicks };
}

/** Runs, and is not a zombie. */
export function isAlive(mark: ProcessMark): boolean {
  const fields = statFields(mark.pid);
  return fields?.[19] === mark.startTicks && fields[0] !== "Z";
}

/** The first child found; by a scan, since `/proc/PID/task/PID/children` is not in every kernel. */
export function childOf(pid: number): number | undefined {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    if (statFields(Number(name))?.[1] === String(pid)) return Number(name);
  }
  return undefined;
}
