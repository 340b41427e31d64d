/** The `tracestate` header: other vendors' entries, passed on unread. Pure. Spec: W3C Trace Context Level 2, 3.3. */

const MAX_MEMBERS = 32;
/** What a tracing system must at least be able to pass on is 512; all 32 members of usual size fit in this. */
const MAX_CHARS = 4096;
/** Members above this length leave first when the list must be shortened. */
const LONG_MEMBER_CHARS = 128;
/** A key begins with a letter or digit; `tenant@system` is its multi-tenant form. The value ends in no blank. */
const MEMBER = /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/;

/**
 * All `tracestate` lines of a request as one value in normal form: members in their order, joined by commas, blanks around
 * and empty members gone. `undefined`: none, or invalid (a malformed member, a key twice, more than 32 members).
 * Total: never throws.
 */
export function parseTracestate(lines: readonly string[]): string | undefined {
  const members: string[] = [];
  const keys = new Set<string>();
  for (const part of lines.join(",").split(",")) {
    const member = part.replace(/^[ \t]+|[ \t]+$/g, "");
    if (member === "") continue;
    const key = member.slice(0, member.indexOf("="));
    if (!MEMBER.test(member) || keys.has(key) || members.length === MAX_MEMBERS) return undefined;
    keys.add(key);
    members.push(member);
  }
  return members.length === 0 ? undefined : trimTracestate(members, MAX_CHARS).join(",") || undefined;
}

/** Shortens a list to `maxChars`: whole members over 128 characters leave first, from the right, then others from the right. */
export function trimTracestate(members: readonly string[], maxChars: number): readonly string[] {
  const kept = [...members];
  let chars = kept.reduce((sum, member) => sum + member.length + 1, -1);
  const drop = (index: number): void => {
    chars -= (kept[index]?.length ?? 0) + 1;
    kept.splice(index, 1);
  };
  for (let i = kept.length - 1; i >= 0 && chars > maxChars; i--) {
    if ((kept[i]?.length ?? 0) > LONG_MEMBER_CHARS) drop(i);
  }
  while (kept.length > 0 && chars > maxChars) drop(kept.length - 1);
  return kept;
}
