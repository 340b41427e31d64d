/** `%START_TIME(FORMAT)%`: the part of strftime that access logs use, compiled once. Pure; always UTC. */
import { err, ok, type Result } from "@ambit/shared/errors";

const pad = (value: number, digits: number): string => String(value).padStart(digits, "0");
/** Milliseconds are what our clock has; further digits are zero. */
const fraction = (digits: number) => (date: Date) => pad(date.getUTCMilliseconds(), 3).padEnd(9, "0").slice(0, digits);
const seconds = (date: Date): string => pad(date.getUTCSeconds(), 2);
const hours = (date: Date): string => pad(date.getUTCHours(), 2);
const minutes = (date: Date): string => pad(date.getUTCMinutes(), 2);
const day = (date: Date): string =>
  `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

const SPECIFIERS: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getUTCFullYear()),
  m: (date) => pad(date.getUTCMonth() + 1, 2),
  d: (date) => pad(date.getUTCDate(), 2),
  b: (date) => MONTHS[date.getUTCMonth()] ?? "",
  F: day,
  H: hours,
  M: minutes,
  S: seconds,
  T: (date) => `${hours(date)}:${minutes(date)}:${seconds(date)}`,
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  f: fraction(9),
  z: () => "+0000",
  Z: () => "UTC",
  "%": () => "%",
};

const TOKEN = /%(?:([1-9])f|E([1-9])S|E\*S|([A-Za-z%]))/y;

/**
 * A reader of a record's time as text. Without a format: RFC 3339 with milliseconds. Envoy's `%3f`, `%E3S`, `%s` work.
 *
 * @returns an error for a specifier that is none of ours
 */
export function compileTimeFormat<R>(
  format: string | undefined,
  at: (record: R) => number,
): Result<(record: R) => string> {
  if (format === undefined || format === "") return ok((record) => new Date(at(record)).toISOString());
  const parts: (string | ((date: Date) => string))[] = [];
  for (let i = 0; i < format.length; ) {
    if (format[i] !== "%") {
      parts.push(format[i++] as string);
      continue;
    }
    TOKEN.lastIndex = i;
    const part = partOf(TOKEN.exec(format));
    if (part === undefined) return err(`expected a strftime specifier, got "${format.slice(i, i + 4)}"`);
    parts.push(part);
    i = TOKEN.lastIndex;
  }
  return ok((record) => {
    const date = new Date(at(record));
    return parts.map((part) => (typeof part === "string" ? part : part(date))).join("");
  });
}

function partOf(match: RegExpExecArray | null): ((date: Date) => string) | undefined {
  if (match === null) return undefined;
  const [whole, digits, withSeconds, letter] = match;
  if (digits !== undefined) return fraction(Number(digits));
  if (whole === "%E*S") return (date) => `${seconds(date)}.${fraction(3)(date)}`;
  if (withSeconds !== undefined) return (date) => `${seconds(date)}.${fraction(Number(withSeconds))(date)}`;
  return letter !== undefined && Object.hasOwn(SPECIFIERS, letter) ? SPECIFIERS[letter] : undefined;
}
