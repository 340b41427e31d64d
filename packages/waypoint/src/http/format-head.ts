/** HTTP/1 heads as text. Pure. What could split a message is never formatted. Spec: RFC 9112 sections 3, 4 and 6. */
import { STATUS_CODES } from "node:http";
import type { HeaderList } from "@ambit/shared/http2";
import { FieldKind, fieldNameOf } from "./field-names.ts";
import type { BodyLength, OutgoingRequest, ResponseHead } from "./message.ts";
import { isBodiless } from "./response-head-parser.ts";

const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Methods whose requests usually have no body, so that none is said by saying nothing. RFC 9110 section 8.6. */
const BODY_UNUSUAL: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"]);
/** `: ` and CRLF. */
const LINE_OVERHEAD = 4;

/** Whether name and value are read by the other side as we mean them. */
export function isSendable(name: string, value: string): boolean {
  return fieldNameOf(name) !== undefined && VALUE.test(value);
}

/** The first field that cannot be sent; undefined when all can. */
export function unsendable(headers: HeaderList): string | undefined {
  for (const [name, value] of headers) if (!isSendable(name, value)) return name;
  return undefined;
}

/** Bytes of the fields on an HTTP/1 wire. */
export function fieldBytes(headers: HeaderList): number {
  let bytes = 0;
  for (const [name, value] of headers) bytes += name.length + value.length + LINE_OVERHEAD;
  return bytes;
}

/** How our side of an HTTP/1 message is framed. */
export type SentFraming = "none" | "length" | "chunked" | "until-close";

export interface FormattedResponse {
  readonly text: string;
  readonly framing: SentFraming;
}

export interface ResponseContext {
  readonly requestMethod: string;
  readonly http10: boolean;
  /** This is the last exchange of the connection. */
  readonly closes: boolean;
  /** IMF-fixdate, for a response that has no Date. */
  readonly date: string;
}

/** A final response head. Without a known length it is chunked, or ends with the connection towards HTTP/1.0. */
export function formatResponse(
  head: ResponseHead,
  bodyLength: BodyLength,
  context: ResponseContext,
): FormattedResponse {
  const bodiless = isBodiless(head.status) || context.requestMethod === "HEAD";
  const tells = tellsLength(head.status, context.requestMethod);
  const framing = bodiless ? "none" : responseSentFraming(bodyLength, context.http10);
  const length = bodiless ? (tells ? toldLength(head.headers, bodyLength) : undefined) : bodyLength;
  let text = statusLine(head.status) + formatFields(head.headers);
  if (!hasField(head.headers, "date")) text += `date: ${context.date}\r\n`;
  if (length !== undefined) text += `content-length: ${length}\r\n`;
  if (framing === "chunked") text += "transfer-encoding: chunked\r\n";
  if (context.closes || framing === "until-close") text += "connection: close\r\n";
  return { text: `${text}\r\n`, framing };
}

/** A HEAD's and a 304's Content-Length tell of a body that is not sent; a 204 has none. RFC 9110 section 8.6. */
export const tellsLength = (status: number, requestMethod: string): boolean =>
  status === 304 || (requestMethod === "HEAD" && !isBodiless(status));

function responseSentFraming(bodyLength: BodyLength, http10: boolean): SentFraming {
  if (bodyLength === undefined) return http10 ? "until-close" : "chunked";
  return bodyLength === 0 ? "none" : "length";
}

function toldLength(headers: HeaderList, bodyLength: BodyLength): string | number | undefined {
  for (const [name, value] of headers) if (name === "content-length") return value;
  return bodyLength === 0 ? undefined : bodyLength;
}

/** 1xx without 101. */
export const formatInformational = (head: ResponseHead): string =>
  `${statusLine(head.status)}${formatFields(head.headers)}\r\n`;

/** 101. */
export const formatSwitching = (headers: HeaderList, protocol: string): string =>
  `${statusLine(101)}${formatFields(headers)}connection: upgrade\r\nupgrade: ${protocol}\r\n\r\n`;

/** A request head in origin or asterisk form. */
export function formatRequest(head: OutgoingRequest, bodyLength: BodyLength, extra: HeaderList = []): string {
  let text = `${head.method} ${head.path} HTTP/1.1\r\nhost: ${head.authority}\r\n${formatFields(head.headers)}`;
  if (extra.length > 0) text += formatFields(extra);
  if (head.upgrade !== undefined) return `${text}connection: upgrade\r\nupgrade: ${head.upgrade}\r\n\r\n`;
  if (bodyLength === undefined) text += "transfer-encoding: chunked\r\n";
  else if (bodyLength > 0 || !BODY_UNUSUAL.has(head.method)) text += `content-length: ${bodyLength}\r\n`;
  if (hasField(head.headers, "te")) text += "connection: te\r\n";
  return `${text}\r\n`;
}

export function hasField(headers: HeaderList, wanted: string): boolean {
  for (const [name] of headers) if (name === wanted) return true;
  return false;
}

/** Framing and connection fields are left out: they are said by whoever frames. */
function formatFields(headers: HeaderList): string {
  let text = "";
  for (const [name, value] of headers) {
    const kind = fieldNameOf(name)?.kind ?? FieldKind.HOP;
    const passes = kind === FieldKind.ORDINARY || kind === FieldKind.EXPECT || kind === FieldKind.TE;
    if (passes) text += `${name}: ${value}\r\n`;
  }
  return text;
}

const statusLines = new Map<number, string>();

function statusLine(status: number): string {
  const known = statusLines.get(status);
  if (known !== undefined) return known;
  const line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`;
  if (Number.isInteger(status) && status >= 100 && status <= 999) statusLines.set(status, line);
  return line;
}
