/** Text from the network made harmless inside an access log line. Pure. Hardening case 41. */
import { escapeUnsafe } from "@ambit/shared/log";

/** Quotes, backslashes, and whatever `escapeUnsafe` looks for; the fast path is one scan. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const SUSPICIOUS = /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const LONG = 2048;

/** For a place between double quotes: cannot end the quotes or the line, or drive a terminal. */
export function escapeQuoted(text: string): string {
  if (text.length <= LONG && !SUSPICIOUS.test(text)) return text;
  return escapeUnsafe(text.replace(/["\\]/g, "\\$&"));
}

/** For a place without quotes: blanks become `_` as well, so that no value looks like two columns. */
export function escapeBare(text: string): string {
  const escaped = escapeQuoted(text);
  return escaped.includes(" ") ? escaped.replaceAll(" ", "_") : escaped;
}

/** A JSON string, quotes included; safe to print after `jq -r` too. */
export function jsonText(text: string): string {
  return JSON.stringify(text.length <= LONG && !SUSPICIOUS.test(text) ? text : escapeUnsafe(text));
}
