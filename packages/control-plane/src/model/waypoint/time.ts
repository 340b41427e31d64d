const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const GROUP = /(\d{1,10}(?:\.\d{1,9})?)(ms|h|m|s)/y;
/** Ten years: more than anybody means, and safe in every field it is put into. */
const MAX_MS = 315_360_000_000;

/**
 * A duration as Gateway API and Istio write it (`1h30m`, `1.5s`, `25ms`); undefined for anything else.
 * Spec: GEP-2257, Go time.ParseDuration. Whole milliseconds; fractions of one are dropped.
 */
export function milliseconds(text: unknown): number | undefined {
  if (typeof text !== "string" || text === "" || text.length > 64) return undefined;
  if (text === "0") return 0;
  let at = 0;
  let total = 0;
  while (at < text.length) {
    GROUP.lastIndex = at;
    const match = GROUP.exec(text);
    if (!match) return undefined;
    total += Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? 0);
    at = GROUP.lastIndex;
  }
  return total <= MAX_MS ? Math.floor(total) : undefined;
}
