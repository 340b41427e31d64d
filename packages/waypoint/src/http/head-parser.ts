/**
 * HTTP/1 heads, from bytes to `RequestHead` and `ResponseHead`. Total: every input gives a head, a fault or a wish for
 * more, and the same one however the bytes were split. What is in doubt is refused: two readers of one message must not
 * see two messages.
 *
 * Spec: RFC 9112 sections 2 to 6; RFC 9110 sections 5, 7.2, 7.6.1, 7.8, 10.1.1.
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { isAuthority } from "./authority.ts";
import { FieldCollector, type FieldLimits } from "./field-collector.ts";
import { type Framing, requestFraming } from "./framing.ts";
import { parseConnectionOptions, withoutNominated } from "./hop-by-hop.ts";
import { type HttpFault, httpFault, shown } from "./http-fault.ts";
import { LineCutter, type LineSink } from "./line-cutter.ts";
import type { RequestHead } from "./message.ts";
import { methodFault, parseTarget, type RequestTarget } from "./request-target.ts";

export interface HeadLimits extends FieldLimits {
  /** Request line or status line and fields together. Default 60 KiB. */
  readonly maxHeadBytes: number;
}

export interface RequestRules extends HeadLimits {
  /** Without it HTTP/1.0 gets 426. */
  readonly acceptsHttp10: boolean;
  /** Authority of an HTTP/1.0 request without Host; undefined: it is refused. */
  readonly http10DefaultHost: string | undefined;
}

export interface ParsedRequest {
  readonly head: RequestHead;
  readonly framing: Framing;
  /** The client wants another exchange on this connection. */
  readonly keepAlive: boolean;
}

const PROTOCOL = /^HTTP\/[0-9]\.[0-9]$/;
const NO_OPTIONS: readonly string[] = [];

/** Reads one request head after another. */
export class RequestHeadParser implements LineSink {
  readonly #rules: RequestRules;
  readonly #fields: FieldCollector;
  readonly #lines: LineCutter;
  #line: "first" | "first after an empty one" | "field" = "first";
  #version: "HTTP/1.0" | "HTTP/1.1" = "HTTP/1.1";
  #method = "";
  #target: RequestTarget = { authority: undefined, path: "" };
  #parsed: ParsedRequest | undefined;

  constructor(rules: RequestRules) {
    this.#rules = rules;
    this.#fields = new FieldCollector(rules);
    this.#lines = new LineCutter(this, rules.maxHeadBytes);
  }

  /** Bytes of a head came, but not all of it. */
  get started(): boolean {
    return this.#lines.started;
  }

  /** The request, once `read` came to its end. */
  get parsed(): ParsedRequest | undefined {
    return this.#parsed;
  }

  get fault(): HttpFault | undefined {
    return this.#lines.fault;
  }

  reset(): void {
    this.#lines.reset();
    this.#fields.reset();
    this.#line = "first";
    this.#parsed = undefined;
  }

  /** @returns where the head ends in `chunk`; its length when more must come or on a fault */
  read(chunk: Buffer, at: number): number {
    return this.#lines.read(chunk, at);
  }

  onLine(text: string, start: number, end: number): HttpFault | boolean {
    if (this.#line === "field") return start === end ? this.#finish() : (this.#fields.add(text, start, end) ?? false);
    if (start === end && this.#line === "first") {
      this.#line = "first after an empty one";
      return false;
    }
    this.#line = "field";
    return this.#requestLine(text.slice(start, end)) ?? false;
  }

  tooLong(): HttpFault {
    const { maxHeadBytes } = this.#rules;
    return this.#line === "field"
      ? httpFault(431, `request head of more than ${maxHeadBytes} bytes`)
      : httpFault(414, `request line of more than ${maxHeadBytes} bytes`);
  }

  #requestLine(line: string): HttpFault | undefined {
    const space = line.indexOf(" ");
    const version = line.slice(-8);
    if (space <= 0 || line.charCodeAt(line.length - 9) !== 32 || !PROTOCOL.test(version) || line.length < space + 10) {
      return httpFault(400, `request line ${shown(line)}, expected METHOD TARGET HTTP/1.1`);
    }
    if (version !== "HTTP/1.1" && version !== "HTTP/1.0") return httpFault(505, `version ${version}`);
    if (version === "HTTP/1.0" && !this.#rules.acceptsHttp10) return httpFault(426, "HTTP/1.0 is not served here");
    const method = line.slice(0, space);
    const fault = methodFault(method);
    if (fault !== undefined) return fault;
    const target = parseTarget(line.slice(space + 1, -9), method);
    if (!target.ok) return target.error;
    this.#version = version;
    this.#method = method;
    this.#target = target.value;
    return undefined;
  }

  #finish(): HttpFault | true {
    const parsed = this.#request();
    if (!parsed.ok) return parsed.error;
    this.#parsed = parsed.value;
    return true;
  }

  #request(): Result<ParsedRequest, HttpFault> {
    const fields = this.#fields;
    const authority = this.#authority();
    if (!authority.ok) return authority;
    const framing = requestFraming(fields, this.#version);
    if (!framing.ok) return framing;
    const options = fields.connection === "" ? NO_OPTIONS : parseConnectionOptions(fields.connection);
    if (options === undefined) return err(httpFault(400, `Connection of ${shown(fields.connection)}`));
    const expects = fields.expect?.toLowerCase();
    if (expects !== undefined && expects !== "100-continue") return err(httpFault(417, `Expect of ${shown(expects)}`));
    const version = this.#version;
    const upgrade = this.#upgrade(options, framing.value);
    const head: RequestHead = {
      version,
      method: this.#method,
      scheme: "http",
      authority: authority.value,
      path: this.#target.path,
      headers: this.#headers(options),
      // Spec: RFC 9110 section 10.1.1: ignored from HTTP/1.0 clients.
      expectsContinue: expects !== undefined && version === "HTTP/1.1",
    };
    return ok({
      head: upgrade === undefined ? head : { ...head, upgrade },
      framing: framing.value,
      keepAlive: version === "HTTP/1.1" && !options.includes("close"),
    });
  }

  /** The target's authority replaces Host, which must be there and well-formed all the same. RFC 9112 section 3.2.2. */
  #authority(): Result<string, HttpFault> {
    const { hosts, host } = this.#fields;
    if (hosts > 1) return err(httpFault(400, "more than one Host"));
    if (hosts === 0 && this.#version === "HTTP/1.1") return err(httpFault(400, "no Host"));
    if (hosts === 1 && !isAuthority(host)) return err(httpFault(400, `Host of ${shown(host)}`));
    const authority = this.#target.authority ?? (hosts === 1 ? host : this.#rules.http10DefaultHost);
    return authority === undefined ? err(httpFault(400, "no Host")) : ok(authority);
  }

  #headers(options: readonly string[]): HeaderList {
    const { te } = this.#fields;
    const dropsExpect = this.#version === "HTTP/1.0" && this.#fields.expect !== undefined;
    const end = withoutNominated(this.#fields.headers, options);
    const headers = dropsExpect ? end.filter(([name]) => name !== "expect") : end;
    return te !== "" && acceptsTrailers(te) ? [...headers, ["te", "trailers"]] : headers;
  }

  /**
   * One protocol, asked for by both fields, on a request without body: what follows is then either the next request or
   * the new protocol, with nothing in between. `h2c` is never passed on. Others are requests without upgrade.
   */
  #upgrade(options: readonly string[], framing: Framing): string | undefined {
    const { upgrade } = this.#fields;
    if (upgrade === "" || this.#version === "HTTP/1.0" || !options.includes("upgrade")) return undefined;
    if (framing.kind !== "length" || framing.bytes > 0) return undefined;
    const protocols = parseProtocols(upgrade).filter((protocol) => protocol !== "h2c");
    return protocols.length === 1 ? protocols[0] : undefined;
  }
}

/** Lower case, e.g. ["websocket"]. Spec: RFC 9110 section 7.8. */
export const parseProtocols = (upgrade: string): readonly string[] =>
  upgrade
    .split(",")
    .map((protocol) => protocol.trim().toLowerCase())
    .filter((protocol) => /^[!#$%&'*+.^_`|~0-9a-z/-]+$/.test(protocol));

const acceptsTrailers = (te: string): boolean =>
  te.split(",").some((coding) => coding.trim().toLowerCase() === "trailers");

/** A whole head at once, and where it ends; "incomplete" when there is more to come. */
export function parseRequestHead(
  bytes: Buffer,
  rules: RequestRules,
): Result<ParsedRequest & { readonly end: number }, HttpFault | "incomplete"> {
  const parser = new RequestHeadParser(rules);
  const end = parser.read(bytes, 0);
  if (parser.fault !== undefined) return err(parser.fault);
  return parser.parsed === undefined ? err("incomplete") : ok({ ...parser.parsed, end });
}
