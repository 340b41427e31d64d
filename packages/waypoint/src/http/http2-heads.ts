/**
 * HTTP/2 header lists to heads and back. The engine has checked names, pseudo-headers and their order; here is what only
 * a general proxy must ask of them, so that a request means the same when it goes on as HTTP/1. Pure.
 *
 * Spec: RFC 9113 sections 8.2 and 8.3; RFC 8441 section 4.
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { isAuthority } from "./authority.ts";
import type { FieldLimits } from "./field-collector.ts";
import { fieldBytes, hasField } from "./format-head.ts";
import { parseContentLength } from "./framing.ts";
import { CONNECTION_FIELDS } from "./hop-by-hop.ts";
import { type HttpFault, httpFault, shown } from "./http-fault.ts";
import type { BodyLength, OutgoingRequest, RequestHead, ResponseHead } from "./message.ts";
import { methodFault, pathFault } from "./request-target.ts";
import { withoutKeys } from "./websocket-key.ts";

const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

export interface Http2Limits extends FieldLimits {
  readonly maxHeadBytes: number;
}

/** `answer`: well-formed, but the answer is a status. `reset`: malformed (RFC 9113 section 8.1.1). */
export type Http2Fault =
  | { readonly kind: "answer"; readonly fault: HttpFault }
  | { readonly kind: "reset"; readonly message: string };

export interface DecodedHead<Head> {
  readonly head: Head;
  /** What Content-Length says; undefined without one. */
  readonly contentLength: number | undefined;
}

interface Fields {
  readonly headers: HeaderList;
  readonly contentLength: number | undefined;
  readonly host: string | undefined;
  readonly expect: string | undefined;
}

const reset = (message: string): { readonly ok: false; readonly error: Http2Fault } => err({ kind: "reset", message });
const answer = (fault: HttpFault): { readonly ok: false; readonly error: Http2Fault } => err({ kind: "answer", fault });

export function decodeRequest(list: HeaderList, limits: Http2Limits): Result<DecodedHead<RequestHead>, Http2Fault> {
  const line = decodeLine(list);
  if (!line.ok) return line;
  const fields = decodeFields(list, limits);
  if (!fields.ok) return fields;
  const authority = authorityOf(pseudo(list, ":authority"), fields.value.host);
  if (!authority.ok) return answer(authority.error);
  const expects = fields.value.expect?.toLowerCase();
  if (expects !== undefined && expects !== "100-continue") return answer(httpFault(417, `Expect of ${shown(expects)}`));
  const { method, path, upgrade } = line.value;
  const head: RequestHead = {
    version: "HTTP/2",
    method,
    scheme: pseudo(list, ":scheme") ?? "http",
    authority: authority.value,
    path,
    headers: fields.value.headers,
    expectsContinue: expects !== undefined,
  };
  if (upgrade === undefined) return ok({ head, contentLength: fields.value.contentLength });
  return ok({ head: { ...head, upgrade }, contentLength: undefined });
}

interface RequestLine {
  readonly method: string;
  readonly path: string;
  readonly upgrade: string | undefined;
}

/** Extended CONNECT becomes GET, as HTTP/1.1 asks for the same upgrade and as policies know it. */
function decodeLine(list: HeaderList): Result<RequestLine, Http2Fault> {
  const upgrade = pseudo(list, ":protocol")?.toLowerCase();
  const asked = pseudo(list, ":method") ?? "";
  const method = upgrade !== undefined && asked === "CONNECT" ? "GET" : asked;
  const wrongMethod = methodFault(method);
  if (wrongMethod !== undefined) return wrongMethod.status === 405 ? answer(wrongMethod) : reset(wrongMethod.message);
  const path = pseudo(list, ":path") ?? "";
  const wrongPath = pathFault(path, method);
  return wrongPath === undefined ? ok({ method, path, upgrade }) : reset(wrongPath.message);
}

export function decodeResponse(list: HeaderList, limits: Http2Limits): Result<DecodedHead<ResponseHead>> {
  const status = Number(pseudo(list, ":status"));
  const fields = decodeFields(list, limits);
  if (!fields.ok) return err(fields.error.kind === "reset" ? fields.error.message : fields.error.fault.message);
  return ok({ head: { status, headers: fields.value.headers }, contentLength: fields.value.contentLength });
}

function pseudo(list: HeaderList, wanted: string): string | undefined {
  for (const [name, value] of list) {
    if (name.charCodeAt(0) !== 0x3a) return undefined;
    if (name === wanted) return value;
  }
  return undefined;
}

/** `:authority` and Host must agree. RFC 9113 section 8.3.1. */
function authorityOf(authority: string | undefined, host: string | undefined): Result<string, HttpFault> {
  if (authority !== undefined && host !== undefined && authority !== host) {
    return err(httpFault(400, `:authority ${shown(authority)} and Host ${shown(host)} differ`));
  }
  const either = authority ?? host;
  if (either === undefined) return err(httpFault(400, "no :authority"));
  return isAuthority(either) ? ok(either) : err(httpFault(400, `:authority of ${shown(either)}`));
}

function decodeFields(list: HeaderList, limits: Http2Limits): Result<Fields, Http2Fault> {
  const reader = new FieldReader(limits);
  for (const [name, value] of list) {
    if (!VALUE.test(value)) return reset(`${shown(name)} with a control character in its value`);
    if (name.charCodeAt(0) === 0x3a) continue;
    const fault = reader.add(name, value);
    if (fault !== undefined) return err(fault);
  }
  if (reader.count > limits.maxFields) {
    return answer(httpFault(431, `more than ${limits.maxFields} header fields`));
  }
  if (fieldBytes(list) > limits.maxHeadBytes) {
    return answer(httpFault(431, `header fields of more than ${limits.maxHeadBytes} bytes`));
  }
  return ok(reader);
}

class FieldReader implements Fields {
  readonly headers: (readonly [string, string])[] = [];
  contentLength: number | undefined;
  host: string | undefined;
  expect: string | undefined;
  count = 0;
  readonly #limits: Http2Limits;
  #cookieAt = -1;

  constructor(limits: Http2Limits) {
    this.#limits = limits;
  }

  add(name: string, value: string): Http2Fault | undefined {
    // Crumbs of one cookie count once: browsers cut it small for the sake of compression. RFC 9113 section 8.2.3.
    if (name === "cookie" && this.#cookieAt >= 0) {
      const [, before] = this.headers[this.#cookieAt] as readonly [string, string];
      // An empty crumb would leave a blank at an end, which HTTP/1 readers cut off: policy must see what they see.
      this.headers[this.#cookieAt] = [name, [before, value].filter((crumb) => crumb !== "").join("; ")];
      return undefined;
    }
    this.count++;
    if (name === "host") return this.#addHost(value);
    if (name === "content-length") return this.#addContentLength(value);
    if (name === "http2-settings") return undefined;
    if (name === "expect") this.expect = this.expect === undefined ? value : `${this.expect}, ${value}`;
    if (this.#limits.underscores !== "allow" && name.includes("_")) {
      if (this.#limits.underscores === "drop") return undefined;
      return { kind: "answer", fault: httpFault(400, `header name ${shown(name)} with "_"`) };
    }
    if (name === "cookie") this.#cookieAt = this.headers.length;
    this.headers.push([name, value]);
    return undefined;
  }

  #addHost(value: string): Http2Fault | undefined {
    if (this.host !== undefined) return { kind: "reset", message: "more than one Host" };
    this.host = value;
    return undefined;
  }

  #addContentLength(value: string): Http2Fault | undefined {
    const bytes = parseContentLength(value);
    if (bytes === undefined || this.contentLength !== undefined) {
      return { kind: "reset", message: `Content-Length of ${shown(value)}, or more than one` };
    }
    this.contentLength = bytes;
    this.headers.push(["content-length", value]);
    return undefined;
  }
}

/** An upgrade goes out as extended CONNECT, without the WebSocket key that HTTP/2 does not have. */
export function encodeRequest(head: OutgoingRequest, bodyLength: BodyLength): HeaderList {
  const { upgrade } = head;
  const list: (readonly [string, string])[] = [[":method", upgrade === undefined ? head.method : "CONNECT"]];
  if (upgrade !== undefined) list.push([":protocol", upgrade]);
  list.push([":scheme", head.scheme], [":authority", head.authority], [":path", head.path]);
  pushFields(list, upgrade === undefined ? head.headers : withoutKeys(head.headers));
  if (bodyLength !== undefined && bodyLength > 0) list.push(["content-length", String(bodyLength)]);
  return list;
}

/** @param tellsLength a HEAD's or a 304's own Content-Length stays: it tells of a body that is not sent */
export function encodeResponse(
  head: ResponseHead,
  length: number | undefined,
  init: { readonly tellsLength: boolean; readonly date: string | undefined },
): HeaderList {
  const list: (readonly [string, string])[] = [[":status", String(head.status)]];
  pushFields(list, head.headers);
  const told = init.tellsLength ? head.headers.find(([name]) => name === "content-length") : undefined;
  if (told !== undefined) list.push(told);
  else if (length !== undefined) list.push(["content-length", String(length)]);
  if (init.date !== undefined && !hasField(head.headers, "date")) list.push(["date", init.date]);
  return list;
}

/** 200 to an extended CONNECT. */
export function encodeAccepted(head: ResponseHead): HeaderList {
  const list: (readonly [string, string])[] = [[":status", "200"]];
  pushFields(list, withoutKeys(head.headers));
  return list;
}

function pushFields(list: (readonly [string, string])[], headers: HeaderList): void {
  for (const field of headers) {
    const [name, value] = field;
    if (name === "content-length" || CONNECTION_FIELDS.has(name)) continue;
    if (name === "te" && value !== "trailers") continue;
    list.push(field);
  }
}
