/** The chunked coding. Spec: RFC 9112 section 7.1. Result and work depend on the bytes, not on how they were split. */
import type { HeaderList } from "@ambit/shared/http2";
import { FieldCollector, type FieldLimits } from "./field-collector.ts";
import { type HttpFault, httpFault } from "./http-fault.ts";
import { LineCutter, type LineSink } from "./line-cutter.ts";
import { allowedTrailers } from "./trailers.ts";

/** Of one message, all its chunks together: extensions that nobody reads have cost proxies their memory and their time. */
export const MAX_EXTENSION_BYTES = 256;
const MAX_SIZE_DIGITS = 16;
const MAX_TRAILER_BYTES = 16 * 1024;
const CR = 13;
const LF = 10;
const SEMICOLON = 0x3b;

const Step = { SIZE: 0, EXTENSION: 1, SIZE_LF: 2, DATA: 3, DATA_CR: 4, DATA_LF: 5, TRAILERS: 6 } as const;

/** Cuts chunks out of the bytes; `onData` gets their content as views of them. */
export class ChunkedDecoder implements LineSink {
  readonly #onData: (bytes: Buffer) => void;
  readonly #fields: FieldCollector;
  readonly #lines: LineCutter;
  #step: number = Step.SIZE;
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  fault: HttpFault | undefined;
  done = false;

  constructor(limits: FieldLimits, onData: (bytes: Buffer) => void) {
    this.#onData = onData;
    this.#fields = new FieldCollector(limits);
    this.#lines = new LineCutter(this, MAX_TRAILER_BYTES);
  }

  /** What came after the last chunk and may be passed on. */
  get trailers(): HeaderList {
    return allowedTrailers(this.#fields.headers);
  }

  reset(): void {
    this.#step = Step.SIZE;
    this.#size = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
    this.fault = undefined;
    this.done = false;
    this.#fields.reset();
    this.#lines.reset();
  }

  /** Reads from `at` until the end of the chunk or of the body, or after one piece of data. @returns where it stopped */
  read(bytes: Buffer, at: number): number {
    let next = at;
    while (next < bytes.length && this.fault === undefined && !this.done) {
      if (this.#step === Step.DATA) return this.#data(bytes, next);
      if (this.#step === Step.TRAILERS) return this.#readTrailers(bytes, next);
      this.#octet(bytes[next++] as number);
    }
    return next;
  }

  onLine(text: string, start: number, end: number): HttpFault | boolean {
    return start === end || (this.#fields.add(text, start, end) ?? false);
  }

  tooLong(): HttpFault {
    return httpFault(431, `trailers of more than ${MAX_TRAILER_BYTES} bytes`);
  }

  #data(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#size);
    this.#size -= end - at;
    if (this.#size === 0) this.#step = Step.DATA_CR;
    this.#onData(bytes.subarray(at, end));
    return end;
  }

  #readTrailers(bytes: Buffer, at: number): number {
    const next = this.#lines.read(bytes, at);
    this.fault = this.#lines.fault;
    this.done = this.#lines.done;
    return next;
  }

  #octet(octet: number): void {
    switch (this.#step) {
      case Step.SIZE:
        this.#sizeOctet(octet);
        return;
      case Step.EXTENSION:
        this.#extensionOctet(octet);
        return;
      case Step.SIZE_LF:
        if (octet === LF) this.#sizeRead();
        else this.#fail("a chunk size not ended by CRLF");
        return;
      case Step.DATA_CR:
        if (octet === CR) this.#step = Step.DATA_LF;
        else this.#fail("a chunk not ended by CRLF");
        return;
      case Step.DATA_LF:
        if (octet === LF) this.#step = Step.SIZE;
        else this.#fail("a chunk not ended by CRLF");
        return;
    }
  }

  #sizeOctet(octet: number): void {
    const digit = hexDigit(octet);
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit;
      if (++this.#digits > MAX_SIZE_DIGITS || !Number.isSafeInteger(this.#size)) this.#fail("a chunk size too large");
    } else if (this.#digits === 0) this.#fail("a chunk size without digits");
    else if (octet === CR) this.#step = Step.SIZE_LF;
    else if (octet === SEMICOLON) this.#step = Step.EXTENSION;
    else this.#fail("a chunk size with something else than hexadecimal digits");
  }

  #extensionOctet(octet: number): void {
    if (octet === CR) {
      this.#step = Step.SIZE_LF;
      return;
    }
    if ((octet < 32 && octet !== 9) || octet === 127) this.#fail("a control character in a chunk extension");
    else if (++this.#extensionBytes > MAX_EXTENSION_BYTES) {
      this.#fail(`chunk extensions of more than ${MAX_EXTENSION_BYTES} bytes`);
    }
  }

  #sizeRead(): void {
    this.#step = this.#size === 0 ? Step.TRAILERS : Step.DATA;
    this.#digits = 0;
  }

  #fail(message: string): void {
    this.fault = httpFault(400, message);
  }
}

function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const lower = octet | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** The line before a chunk of `bytes` > 0. */
export const chunkHeader = (bytes: number): string => `${bytes.toString(16)}\r\n`;

/** What ends a body. `trailers` must have passed `isSendable`. */
export function lastChunk(trailers: HeaderList): string {
  let text = "0\r\n";
  for (const [name, value] of trailers) text += `${name}: ${value}\r\n`;
  return `${text}\r\n`;
}
