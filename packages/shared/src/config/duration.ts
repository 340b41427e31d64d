import { err, ok, type Result } from "../errors/result.ts";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h)/gy;
const LONGEST_MS = 10 * 365 * 24 * 3_600_000;

/**
 * Parses `5s`, `1m30s`, `24h`, `100ms`, `1.5h` to milliseconds. No sign, no spaces, a unit on every number;
 * `0` alone is zero. At most ten years, so that sums stay exact.
 *
 * Spec: Go's time.ParseDuration, which Istio's variables use (without its ns, us and negative values).
 */
export function parseDuration(text: string): Result<number> {
  if (text === "0") return ok(0);
  let totalMs = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length || text === "") {
    const part = PART.exec(text);
    if (!part) return err("expected a duration such as 5s, 1m30s, 24h or 100ms");
    totalMs += Number(part[1]) * (UNIT_MS[part[2] ?? ""] ?? Number.NaN);
  }
  if (!(totalMs <= LONGEST_MS)) return err("expected a duration of at most ten years");
  return ok(totalMs);
}

/** The shortest text `parseDuration` reads back as `ms` (a whole, non-negative number). */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  let rest = ms;
  let text = "";
  for (const [unit, size] of [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1000],
    ["ms", 1],
  ] as const) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}
