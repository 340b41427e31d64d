/** Node releases before this have known holes in HTTP, TLS or crypto. */
const OLDEST_GOOD_NODE = [26, 3] as const;

/** A sentence for the log when this Node has holes that have been closed since; undefined when it is recent enough. */
export function nodeWarning(version: string): string | undefined {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const [goodMajor, goodMinor] = OLDEST_GOOD_NODE;
  if (major > goodMajor || (major === goodMajor && minor >= goodMinor)) return undefined;
  return `Node ${version} has known security holes; run Node ${goodMajor}.${goodMinor} or later (CVE-2026-48619, CVE-2026-48937, CVE-2026-56846)`;
}
