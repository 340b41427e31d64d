/**
 * Access log formats, compiled once into functions of a record. Pure.
 *
 * Spec: Envoy "Access logging" (format strings and dictionaries).
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import { compileCommand, type ReadValue } from "./access-log-commands.ts";
import { escapeBare, escapeQuoted, jsonText } from "./log-escape.ts";
import type { FileSink, LoggedRecord } from "./model.ts";

/** One line, newline included. */
export type FormatLine = (record: LoggedRecord) => string;

/** Istio's default. */
export const DEFAULT_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% " +
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/** Istio's keys. */
const ISTIO_JSON_FORMAT: Readonly<Record<string, string>> = {
  start_time: "%START_TIME%",
  route_name: "%ROUTE_NAME%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  response_code: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  duration: "%DURATION%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
  user_agent: "%REQ(USER-AGENT)%",
  request_id: "%REQ(X-REQUEST-ID)%",
  authority: "%REQ(:AUTHORITY)%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER%",
  upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%",
  downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  requested_server_name: "%REQUESTED_SERVER_NAME%",
  upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
};

/** Istio's keys, then ours. */
export const DEFAULT_JSON_FORMAT: Readonly<Record<string, string>> = {
  ...ISTIO_JSON_FORMAT,
  grpc_status: "%GRPC_STATUS_NUMBER%",
  attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
  trace_id: "%TRACE_ID%",
  source_principal: "%DOWNSTREAM_PEER_URI_SAN%",
  reason: "%AMBIT_CODE%",
  policy: "%AMBIT_POLICY%",
  dry_run: "%AMBIT_DRY_RUN%",
};

/** What the default text line says beyond Istio's columns, as `key="value"` behind them, when there is something to say. */
const EXTRA: readonly (readonly [name: string, command: string])[] = [
  ["reason", "AMBIT_CODE"],
  ["policy", "AMBIT_POLICY"],
  ["dry_run", "AMBIT_DRY_RUN"],
  ["source_principal", "DOWNSTREAM_PEER_URI_SAN"],
  ["trace_id", "TRACE_ID"],
];

const MAX_TEMPLATE_CHARS = 16_384;
const MAX_DEPTH = 8;

/**
 * Compiles what the configuration asks for; the error names the first thing that is not understood.
 *
 * Differs from Envoy: values are escaped by where they stand (between quotes, bare, JSON); the default formats have our own
 * fields behind Istio's.
 */
export function compileAccessLog(config: Pick<FileSink, "format" | "template">): Result<FormatLine> {
  const { format, template } = config;
  if ((template?.length ?? 0) > MAX_TEMPLATE_CHARS) return err(`expected at most ${MAX_TEMPLATE_CHARS} characters`);
  if (format === "json") return compileJsonLine(template);
  // istiod spells its default out.
  const isDefault = template === undefined || template.trimEnd() === DEFAULT_TEXT_FORMAT.trimEnd();
  const base = compileText(isDefault ? DEFAULT_TEXT_FORMAT : template);
  if (!base.ok) return base;
  return isDefault ? withExtras(base.value) : ok(endingLine(base.value));
}

/** Envoy leaves the newline to the format; a line without one would be joined to the next record. */
const endingLine =
  (write: FormatLine): FormatLine =>
  (record) => {
    const line = write(record);
    return line.endsWith("\n") ? line : `${line}\n`;
  };

function withExtras(base: FormatLine): Result<FormatLine> {
  const extras: [string, ReadValue][] = [];
  for (const [name, command] of EXTRA) {
    const read = compileCommand(command, undefined);
    if (!read.ok) return read;
    extras.push([name, read.value]);
  }
  return ok((record) => {
    let line = base(record).slice(0, -1);
    for (const [name, read] of extras) {
      const value = read(record);
      if (value !== undefined) line += ` ${name}="${escapeQuoted(String(value))}"`;
    }
    return `${line}\n`;
  });
}

type Part = string | { readonly read: ReadValue; readonly maxChars: number; readonly isQuoted: boolean };

/** "%%", a command, text without "%", or a "%" that begins nothing. */
const TOKEN = /%%|%([A-Z0-9_]+)(?:\(((?:[^()%]|%[^%()]|%%)*)\))?(?::(\d{1,5}))?%|[^%]+|%/g;

/** Splits a format string into text and commands. */
function parseFormat(template: string): Result<readonly Part[]> {
  const parts: Part[] = [];
  let isQuoted = false;
  for (const [whole, name, argument, limit] of template.matchAll(TOKEN)) {
    if (name !== undefined) {
      const read = compileCommand(name, argument);
      if (!read.ok) return read;
      // The blanks of a time are the format's own.
      const keepsBlanks = isQuoted || name === "START_TIME";
      parts.push({ read: read.value, maxChars: Number(limit ?? Number.POSITIVE_INFINITY), isQuoted: keepsBlanks });
      continue;
    }
    if (whole === "%") return err("expected %COMMAND% or %COMMAND(ARGUMENT):LENGTH%; a percent sign is written %%");
    // An odd number of quotes opens or closes.
    if (whole.split('"').length % 2 === 0) isQuoted = !isQuoted;
    parts.push(whole === "%%" ? "%" : whole);
  }
  return ok(parts);
}

function compileText(template: string): Result<FormatLine> {
  const parts = parseFormat(template);
  if (!parts.ok) return parts;
  return ok((record) => {
    let line = "";
    for (const part of parts.value) line += typeof part === "string" ? part : textOf(part, record);
    return line;
  });
}

function textOf({ read, maxChars, isQuoted }: Exclude<Part, string>, record: LoggedRecord): string {
  const value = read(record);
  if (value === undefined) return "-";
  if (typeof value === "number") return String(value);
  const cut = value.length > maxChars ? value.slice(0, maxChars) : value;
  return isQuoted ? escapeQuoted(cut) : escapeBare(cut);
}

type WriteJson = (record: LoggedRecord) => string;

function compileJsonLine(template: string | undefined): Result<FormatLine> {
  const parsed = template === undefined ? undefined : parseJson(template);
  const isDefault = template === undefined || isIstioDefault(parsed);
  const write = compileJsonObject(isDefault ? DEFAULT_JSON_FORMAT : parsed, 0);
  return write.ok ? ok((record) => `${write.value(record)}\n`) : write;
}

/** istiod spells its default out; by its keys, since one value differs between versions. */
function isIstioDefault(parsed: unknown): boolean {
  if (typeof parsed !== "object" || parsed === null) return false;
  return Object.keys(parsed).toSorted().join() === Object.keys(ISTIO_JSON_FORMAT).toSorted().join();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function compileJsonObject(value: unknown, depth: number): Result<WriteJson> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject || depth > MAX_DEPTH) return err("expected a JSON object of format strings, at most 8 deep");
  const fields: [prefix: string, write: WriteJson][] = [];
  for (const [key, inner] of Object.entries(value)) {
    const write = typeof inner === "string" ? compileJsonValue(inner) : compileJsonObject(inner, depth + 1);
    if (!write.ok) return write;
    fields.push([`${fields.length === 0 ? "{" : ","}${jsonText(key)}:`, write.value]);
  }
  if (fields.length === 0) return ok(() => "{}");
  return ok((record) => {
    let text = "";
    for (const [prefix, write] of fields) text += prefix + write(record);
    return `${text}}`;
  });
}

/** A value that is one command keeps its type: numbers are numbers, absent is null. Parity: Envoy json_format. */
function compileJsonValue(template: string): Result<WriteJson> {
  const parts = parseFormat(template);
  if (!parts.ok) return parts;
  const [first] = parts.value;
  if (parts.value.length === 1 && typeof first === "object") return ok((record) => jsonValueOf(first, record));
  return ok((record) => {
    let text = "";
    for (const part of parts.value) text += typeof part === "string" ? part : rawText(part, record);
    return jsonText(text);
  });
}

function jsonValueOf({ read, maxChars }: Exclude<Part, string>, record: LoggedRecord): string {
  const value = read(record);
  if (value === undefined) return "null";
  return typeof value === "number" ? String(value) : jsonText(value.slice(0, maxChars));
}

function rawText({ read, maxChars }: Exclude<Part, string>, record: LoggedRecord): string {
  return String(read(record) ?? "-").slice(0, maxChars);
}
