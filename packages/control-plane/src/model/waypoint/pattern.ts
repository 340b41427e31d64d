import { RE2JS } from "re2js";

const MAX_LENGTH = 4_096;
const MAX_PROGRAM = 4_096;

/** Whether RE2 can put this in place of what the pattern matched: `\0` to `\9` for groups there are, `\\`. */
export function isSubstitution(pattern: string, substitution: string): boolean {
  if (!isPattern(pattern) || substitution.length > MAX_LENGTH || /[\0\r\n]/.test(substitution)) return false;
  const groups = RE2JS.compile(pattern).groupCount();
  return [...substitution.matchAll(/\\([\s\S])?/g)].every(
    ([, next]) => next === "\\" || (next !== undefined && /\d/.test(next) && Number(next) <= groups),
  );
}

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
