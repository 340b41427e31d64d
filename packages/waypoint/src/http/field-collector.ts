/** The fields of one head, with those that the codec itself acts on set apart. */
import type { HeaderList } from "@ambit/shared/http2";
import { FieldKind, type FieldName, fieldNameOf } from "./field-names.ts";
import { type HttpFault, httpFault, shown } from "./http-fault.ts";

export interface FieldLimits {
  /** Default 100. */
  readonly maxFields: number;
  /** Names with "_", which some servers read as "-". */
  readonly underscores: "allow" | "drop" | "reject";
}

const TAB = 9;
const SPACE = 32;
const isBlank = (code: number): boolean => code === SPACE || code === TAB;

export class FieldCollector {
  readonly #limits: FieldLimits;
  #headers: (readonly [string, string])[] = [];
  #count = 0;
  hosts = 0;
  host = "";
  contentLengths = 0;
  contentLength = "";
  transferEncodings = 0;
  transferEncoding = "";
  /** Repeated fields joined by commas; "" when there were none. */
  connection = "";
  upgrade = "";
  te = "";
  /** Undefined when there was none. */
  expect: string | undefined;

  constructor(limits: FieldLimits) {
    this.#limits = limits;
  }

  /** Everything that is end-to-end, in order; content-length stays as information. */
  get headers(): HeaderList {
    return this.#headers;
  }

  reset(): void {
    this.#headers = [];
    this.#count = 0;
    this.hosts = 0;
    this.host = "";
    this.contentLengths = 0;
    this.contentLength = "";
    this.transferEncodings = 0;
    this.transferEncoding = "";
    this.connection = "";
    this.upgrade = "";
    this.te = "";
    this.expect = undefined;
  }

  /** Takes the field line `text.slice(start, end)`, which has no control character but tabs. */
  add(text: string, start: number, end: number): HttpFault | undefined {
    if (++this.#count > this.#limits.maxFields)
      return httpFault(431, `more than ${this.#limits.maxFields} header fields`);
    const colon = text.indexOf(":", start);
    if (colon < 0 || colon >= end) return httpFault(400, `a header line without ":": ${shown(text.slice(start, end))}`);
    const field = fieldNameOf(text.slice(start, colon));
    // Also obs-fold and a blank before the colon: a blank is in no token.
    if (field === undefined) return httpFault(400, `header name ${shown(text.slice(start, colon))} is no token`);
    let from = colon + 1;
    let to = end;
    // The smuggler's favourite: a tab around "chunked" is trimmed by some readers and not by others.
    const tabs = field.kind !== FieldKind.TRANSFER_ENCODING;
    while (from < to && (tabs ? isBlank(text.charCodeAt(from)) : text.charCodeAt(from) === SPACE)) from++;
    while (from < to && (tabs ? isBlank(text.charCodeAt(to - 1)) : text.charCodeAt(to - 1) === SPACE)) to--;
    return this.#take(field, text.slice(from, to));
  }

  /** @returns fields that may be forwarded with the line's own kind already acted on */
  #take(field: FieldName, value: string): HttpFault | undefined {
    if (field.kind === FieldKind.ORDINARY) return this.#ordinary(field, value);
    switch (field.kind) {
      case FieldKind.HOST:
        this.hosts++;
        this.host = value;
        return undefined;
      case FieldKind.CONTENT_LENGTH:
        this.contentLengths++;
        this.contentLength = value;
        this.#headers.push([field.name, value]);
        return undefined;
      case FieldKind.TRANSFER_ENCODING:
        this.transferEncodings++;
        this.transferEncoding = value;
        return undefined;
      case FieldKind.EXPECT:
        this.expect = this.expect === undefined ? value : `${this.expect}, ${value}`;
        this.#headers.push([field.name, value]);
        return undefined;
      default:
        this.#ofConnection(field, value);
        return undefined;
    }
  }

  #ordinary(field: FieldName, value: string): HttpFault | undefined {
    if (field.hasUnderscore && this.#limits.underscores !== "allow") {
      if (this.#limits.underscores === "drop") return undefined;
      return httpFault(400, `header name ${shown(field.name)} with "_"`);
    }
    this.#headers.push([field.name, value]);
    return undefined;
  }

  #ofConnection({ kind }: FieldName, value: string): void {
    if (kind === FieldKind.CONNECTION) this.connection = joined(this.connection, value);
    else if (kind === FieldKind.UPGRADE) this.upgrade = joined(this.upgrade, value);
    else if (kind === FieldKind.TE) this.te = joined(this.te, value);
  }
}

const joined = (before: string, value: string): string => (before === "" ? value : `${before},${value}`);
