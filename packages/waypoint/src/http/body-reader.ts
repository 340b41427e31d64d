/** Takes one body off an HTTP/1 connection, as its framing says. */
import type { HeaderList } from "@ambit/shared/http2";
import { ChunkedDecoder } from "./chunked.ts";
import type { FieldLimits } from "./field-collector.ts";
import type { Framing } from "./framing.ts";
import type { HttpFault } from "./http-fault.ts";
import type { BodyLength } from "./message.ts";

const NO_TRAILERS: HeaderList = [];

export class BodyReader {
  readonly #limits: FieldLimits;
  readonly #onData: (bytes: Buffer) => void;
  #kind: Framing["kind"] = "length";
  #left = 0;
  #chunked: ChunkedDecoder | undefined;

  /** @param onData gets content as views of what is read */
  constructor(limits: FieldLimits, onData: (bytes: Buffer) => void) {
    this.#limits = limits;
    this.#onData = onData;
  }

  get done(): boolean {
    if (this.#kind === "length") return this.#left === 0;
    return this.#kind === "chunked" && (this.#chunked as ChunkedDecoder).done;
  }

  get fault(): HttpFault | undefined {
    return this.#kind === "chunked" ? this.#chunked?.fault : undefined;
  }

  /** The end of the connection is the end of the body. */
  get endsWithConnection(): boolean {
    return this.#kind === "until-close";
  }

  get trailers(): HeaderList {
    return this.#kind === "chunked" ? (this.#chunked as ChunkedDecoder).trailers : NO_TRAILERS;
  }

  begin(framing: Framing): void {
    this.#kind = framing.kind;
    this.#left = framing.kind === "length" ? framing.bytes : 0;
    if (framing.kind !== "chunked") return;
    if (this.#chunked === undefined) this.#chunked = new ChunkedDecoder(this.#limits, this.#onData);
    else this.#chunked.reset();
  }

  /** Reads at most one piece of content. @returns where it stopped */
  read(bytes: Buffer, at: number): number {
    if (this.#kind === "chunked") return (this.#chunked as ChunkedDecoder).read(bytes, at);
    const end = this.#kind === "length" ? Math.min(bytes.length, at + this.#left) : bytes.length;
    if (this.#kind === "length") this.#left -= end - at;
    if (end > at) this.#onData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }
}

export function lengthOf(framing: Framing): BodyLength {
  return framing.kind === "length" ? framing.bytes : undefined;
}
