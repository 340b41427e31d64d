/** One DER element: its tag byte, its content, and the whole of it. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

export const DerTag = { INTEGER: 0x02, UTC_TIME: 0x17, GENERALIZED_TIME: 0x18, SEQUENCE: 0x30 } as const;

/**
 * Reads the elements of a DER content one after another. Never throws: past the end or on a malformed element
 * `next` answers undefined and `failed` says which of the two it was.
 */
export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;
  failed = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  next(): DerElement | undefined {
    if (this.#at >= this.#bytes.length) return undefined;
    const start = this.#at;
    const header = readHeader(this.#bytes, start);
    if (header === undefined || header.end > this.#bytes.length) {
      this.failed = true;
      this.#at = this.#bytes.length;
      return undefined;
    }
    this.#at = header.end;
    const content = this.#bytes.subarray(header.contentAt, header.end);
    return { tag: this.#bytes[start] ?? 0, content, whole: this.#bytes.subarray(start, header.end) };
  }

  /** The next element if it has this tag; otherwise undefined, and the reader stays where it is. */
  nextIf(...tags: readonly number[]): DerElement | undefined {
    return tags.includes(this.#bytes[this.#at] ?? -1) ? this.next() : undefined;
  }
}

/** Definite lengths of up to four bytes and single-byte tags: all that X.509 uses. */
function readHeader(bytes: Buffer, at: number): { contentAt: number; end: number } | undefined {
  const form = bytes[at + 1];
  if (form === undefined || ((bytes[at] ?? 0) & 0x1f) === 0x1f) return undefined;
  if (form < 0x80) return { contentAt: at + 2, end: at + 2 + form };
  const lengthBytes = form & 0x7f;
  if (lengthBytes === 0 || lengthBytes > 4 || at + 2 + lengthBytes > bytes.length) return undefined;
  const contentAt = at + 2 + lengthBytes;
  return { contentAt, end: contentAt + bytes.readUIntBE(at + 2, lengthBytes) };
}
