/**
 * Header values with `%COMMAND%` substitutions: split once at compile time, resolved per request. Pure.
 *
 * Spec: Envoy "Command operators", HeaderValueOption
 * Differs: a command that we do not know, or know not to have a meaning here, is refused at compile time.
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderCommand, HeaderFormat } from "./model.ts";
import { wireText } from "./wire-text.ts";

/** Answers one command; undefined when there is nothing to say. */
export type CommandResolver = (command: string, argument: string | undefined) => string | undefined;

/** Longest format taken, UTF-16 units, and most parts of it. */
const MAX_FORMAT_LENGTH = 16_384;
const MAX_PARTS = 64;

/** Longest value made; more is cut off, so that copied headers cannot grow a request without end. */
const MAX_VALUE_LENGTH = 16_384;

/** Commands by whether they want an argument. */
const COMMANDS: ReadonlyMap<string, "required" | "optional" | "none"> = new Map([
  ...["REQ", "RESP", "DYNAMIC_METADATA", "FILTER_STATE"].map((name) => [name, "required"] as const),
  ["START_TIME", "optional"] as const,
  ...[
    "PROTOCOL",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "REQUESTED_SERVER_NAME",
    "UPSTREAM_HOST",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "ROUTE_NAME",
    "RESPONSE_CODE",
    "RESPONSE_FLAGS",
    "HOSTNAME",
    "STREAM_ID",
  ].map((name) => [name, "none"] as const),
]);

/** `%NAME%`, `%NAME(argument)%`, `%NAME(argument):length%`. An argument may hold "%", never ")". */
const COMMAND = /%([A-Z][A-Z0-9_]*)(?:\(([^)]*)\))?(?::(\d{1,5}))?%/y;

/**
 * Splits a value into literal text and commands; `%%` is one "%".
 *
 * @returns an error for an unknown command, a lone "%", or text that could end a header (CR, LF, NUL)
 */
export function parseHeaderFormat(text: string): Result<HeaderFormat> {
  if (text.length > MAX_FORMAT_LENGTH) return err(`expected at most ${MAX_FORMAT_LENGTH} characters`);
  if (/[\0\r\n]/.test(text)) return err("expected no CR, LF or NUL");
  const parts: (string | HeaderCommand)[] = [];
  let literal = "";
  for (let at = 0; at < text.length; ) {
    const next = readPart(text, at);
    if (!next.ok) return next;
    at = next.value.end;
    if (typeof next.value.part === "string") {
      literal += next.value.part;
      continue;
    }
    if (literal !== "") parts.push(wireText(literal));
    literal = "";
    parts.push(next.value.part);
  }
  if (literal !== "") parts.push(wireText(literal));
  return parts.length > MAX_PARTS ? err(`expected at most ${MAX_PARTS} commands and texts`) : ok(parts);
}

function readPart(text: string, at: number): Result<{ readonly part: string | HeaderCommand; readonly end: number }> {
  const percent = text.indexOf("%", at);
  if (percent !== at)
    return ok({ part: text.slice(at, percent < 0 ? undefined : percent), end: percent < 0 ? text.length : percent });
  if (text[at + 1] === "%") return ok({ part: "%", end: at + 2 });
  COMMAND.lastIndex = at;
  const found = COMMAND.exec(text);
  if (!found) return err(`expected %COMMAND%, or %% for a percent sign, at ${at} of "${text.slice(0, 200)}"`);
  const [whole, command = "", argument, length] = found;
  const wants = COMMANDS.get(command);
  if (wants === undefined || (wants === "required" && !argument) || (wants === "none" && argument !== undefined)) {
    return err(`expected a command that is known, with its argument, got "${whole.slice(0, 100)}"`);
  }
  const part = length === undefined ? { command, argument } : { command, argument, limit: Number(length) };
  return ok({ part, end: at + whole.length });
}

/**
 * The value for one request. It cannot end a header whatever the commands say: control characters become blanks, and
 * characters outside Latin-1 the bytes of their UTF-8 form.
 *
 * @returns undefined when it is empty: then the header is not added. Parity: Envoy without keep_empty_value
 */
export function formatHeader(format: HeaderFormat, resolve: CommandResolver): string | undefined {
  let value = "";
  for (const part of format) {
    value += typeof part === "string" ? part : (resolve(part.command, part.argument) ?? "").slice(0, part.limit);
    if (value.length > MAX_VALUE_LENGTH) break;
  }
  const bytes = /[^\0-\xff]/.test(value) ? wireText(value) : value;
  const safe = bytes
    .slice(0, MAX_VALUE_LENGTH)
    .replace(/[^\t\x20-\x7e\x80-\xff]/g, " ")
    .trim();
  return safe === "" ? undefined : safe;
}
