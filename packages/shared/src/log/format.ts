import { escapeUnsafe, quote } from "./escape.ts";
import { type LogFields, plainValues } from "./fields.ts";
import type { LogLevel } from "./levels.ts";

/** One line before formatting. */
export interface LogEntry {
  /** ms since the epoch. */
  readonly atMs: number;
  readonly level: LogLevel;
  readonly scope: string;
  readonly message: string;
  readonly fields: LogFields;
}

const BARE = /^[\x21\x23-\x3c\x3e-\x5b\x5d-\x7e]+$/;

/**
 * `TIME<tab>level<tab>scope<tab>message<tab>key=value key="text"`.
 *
 * Parity: ztunnel's plain layout; strings are quoted, addresses and numbers are not.
 */
export function formatPlain(entry: LogEntry): string {
  const head = `${rfc3339Micros(entry.atMs)}\t${entry.level}\t${escapeUnsafe(entry.scope)}\t${escapeUnsafe(entry.message)}`;
  const values = plainValues(entry.fields);
  const pairs = Object.entries(values).map(([name, value]) => {
    const original = entry.fields[name];
    const isBare = typeof original === "object" && original !== null && "bare" in original;
    return `${name}=${plainValue(value, isBare)}`;
  });
  return pairs.length > 0 ? `${head}\t${pairs.join(" ")}\n` : `${head}\n`;
}

function plainValue(value: unknown, isBare: boolean): string {
  if (typeof value !== "string") return Array.isArray(value) ? quote(value.join(",")) : String(value);
  return isBare && BARE.test(value) ? value : quote(value);
}

/** The fields of a line as the JSON format prints them, unsafe characters escaped. */
export function jsonFields(fields: LogFields): Record<string, unknown> {
  const values: Record<string, unknown> = plainValues(fields);
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === "string") values[name] = escapeUnsafe(value);
    else if (Array.isArray(value)) values[name] = value.map((each) => escapeUnsafe(String(each)));
  }
  return values;
}

/** RFC 3339 with six digits; the clock has three, so the last are zero. */
export const rfc3339Micros = (atMs: number): string => new Date(atMs).toISOString().replace("Z", "000Z");
