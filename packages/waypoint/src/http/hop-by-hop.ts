/** Fields of one connection, and what a Connection field may remove. Pure. Spec: RFC 9110 section 7.6.1. */
import type { HeaderList } from "@ambit/shared/http2";
import { TOKEN } from "./field-names.ts";

/** End-to-end fields whose removal would change who asks, for what, or how the message is framed. */
const PROTECTED: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "authorization",
  "cookie",
  "traceparent",
  "forwarded",
]);
/** Said by Connection of the connection itself. */
const OPTIONS: ReadonlySet<string> = new Set(["close", "keep-alive", "upgrade", "te"]);
/** A Connection field naming more than this is refused by its codec. */
export const MAX_CONNECTION_OPTIONS = 64;

/** Field names never valid in a version without connections of its own. RFC 9113 section 8.2.2. */
export const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "host",
]);

/** The options of a Connection field (several fields joined by commas), lower case; undefined when one is no token. */
export function parseConnectionOptions(value: string): readonly string[] | undefined {
  const options: string[] = [];
  for (const part of value.split(",")) {
    const option = part.trim().toLowerCase();
    if (option === "") continue;
    if (!TOKEN.test(option) || options.length >= MAX_CONNECTION_OPTIONS) return undefined;
    options.push(option);
  }
  return options;
}

/** Whether a nomination by Connection is obeyed. */
export const mayNominate = (name: string): boolean =>
  !PROTECTED.has(name) && !name.startsWith("x-forwarded-") && !name.startsWith(":");

/** `headers` without the fields that Connection names, except those it may not remove. */
export function withoutNominated(headers: HeaderList, options: readonly string[]): HeaderList {
  const nominated = options.filter((option) => !OPTIONS.has(option) && mayNominate(option));
  return nominated.length === 0 ? headers : headers.filter(([name]) => !nominated.includes(name));
}
