/** HTTP/1 response heads; the same strictness, so that no upstream can make its answer look like two. RFC 9112 section 4. */
import { FieldCollector } from "./field-collector.ts";
import { type Framing, responseFraming } from "./framing.ts";
import { type HeadLimits, parseProtocols } from "./head-parser.ts";
import { parseConnectionOptions, withoutNominated } from "./hop-by-hop.ts";
import { type HttpFault, httpFault, shown } from "./http-fault.ts";
import { LineCutter, type LineSink } from "./line-cutter.ts";
import type { ResponseHead } from "./message.ts";

export interface ParsedResponse {
  readonly head: ResponseHead;
  readonly framing: Framing;
  /** The server takes another request on this connection. */
  readonly keepAlive: boolean;
  /** Lower case; what a 101 switches to. */
  readonly upgrade: readonly string[];
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?$/;

/** Reads one response head after another. */
export class ResponseHeadParser implements LineSink {
  readonly #limits: HeadLimits;
  readonly #fields: FieldCollector;
  readonly #lines: LineCutter;
  #statusSeen = false;
  #version: "HTTP/1.0" | "HTTP/1.1" = "HTTP/1.1";
  #status = 0;
  #parsed: ParsedResponse | undefined;
  /** Set before each head: a HEAD's answer has no body. */
  toHead = false;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
    this.#fields = new FieldCollector(limits);
    this.#lines = new LineCutter(this, limits.maxHeadBytes);
  }

  get started(): boolean {
    return this.#lines.started;
  }

  get parsed(): ParsedResponse | undefined {
    return this.#parsed;
  }

  get fault(): HttpFault | undefined {
    return this.#lines.fault;
  }

  reset(): void {
    this.#lines.reset();
    this.#fields.reset();
    this.#statusSeen = false;
    this.#parsed = undefined;
  }

  /** @returns where the head ends in `chunk`; its length when more must come or on a fault */
  read(chunk: Buffer, at: number): number {
    return this.#lines.read(chunk, at);
  }

  onLine(text: string, start: number, end: number): HttpFault | boolean {
    if (this.#statusSeen) return start === end ? this.#finish() : (this.#fields.add(text, start, end) ?? false);
    const line = text.slice(start, end);
    const match = STATUS_LINE.exec(line);
    if (match === null) return httpFault(400, `status line ${shown(line)}`);
    this.#statusSeen = true;
    this.#version = match[1] === "0" ? "HTTP/1.0" : "HTTP/1.1";
    this.#status = Number(match[2]);
    return false;
  }

  tooLong(): HttpFault {
    return httpFault(431, `response head of more than ${this.#limits.maxHeadBytes} bytes`);
  }

  #finish(): HttpFault | true {
    const fields = this.#fields;
    const options = parseConnectionOptions(fields.connection);
    if (options === undefined) return httpFault(400, `Connection of ${shown(fields.connection)}`);
    const framing = responseFraming(fields, this.#version, this.toHead || isBodiless(this.#status));
    if (!framing.ok) return framing.error;
    this.#parsed = {
      head: { status: this.#status, headers: withoutNominated(fields.headers, options) },
      framing: framing.value,
      keepAlive: this.#version === "HTTP/1.1" && !options.includes("close") && framing.value.kind !== "until-close",
      upgrade: this.#status === 101 ? parseProtocols(fields.upgrade) : [],
    };
    return true;
  }
}

/** Statuses whose responses have no body. RFC 9110 sections 15.2, 15.3.5, 15.4.5. */
export const isBodiless = (status: number): boolean => status < 200 || status === 204 || status === 304;
