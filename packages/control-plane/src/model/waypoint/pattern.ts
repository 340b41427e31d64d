import { RE2JS } from "re2js";

const MAX_LENGTH = 4_096;
const MAX_PROGRAM = 4_096;

/**
 * Whether proxies can compile it: RE2 syntax, of bounded size. One pattern that is none would make a proxy refuse the
 * whole resource it is in, and with it what others wrote.
 */
export function isPattern(text: string): boolean {
  if (text === "" || text.length > MAX_LENGTH) return false;
  try {
    return RE2JS.compile(text).programSize() <= MAX_PROGRAM;
  } catch {
    return false;
  }
}
