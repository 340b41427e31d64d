import { constants } from "node:os";

const NAMES = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) if (!NAMES.has(number)) NAMES.set(number, name);

/** `EPERM` for 1; an unknown number stays a number. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? String(errno);
}

export const EAGAIN: number = constants.errno.EAGAIN;
