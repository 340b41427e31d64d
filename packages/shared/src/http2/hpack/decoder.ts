import { err, ok, type Result } from "../../errors/index.ts";
import type { HeaderList } from "../api.ts";
import { DynamicTable, entryBytes } from "./dynamic-table.ts";
import { decodeHuffman } from "./huffman.ts";
import { STATIC_TABLE } from "./static-table.ts";

export interface DecodedHeaders {
  /** Without the fields that came after the limit was passed. */
  readonly headers: HeaderList;
  /** The list is larger than the limit; the stream must not be served, the connection may go on. */
  readonly tooLarge: boolean;
}

/** No length or index of a sane peer needs more; four continuation bytes. */
const MAX_INTEGER = 0x0fff_ffff;
type Field = readonly [string, string];

/**
 * One direction's HPACK state. A failed block leaves it unusable: the connection must end with COMPRESSION_ERROR.
 * Limits count decoded bytes, so that references into the table cannot multiply a small block.
 *
 * Spec: RFC 7541. Text is latin-1, one character a byte.
 */
export class HpackDecoder {
  readonly #table: DynamicTable;
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;
  #problem = "";

  /**
   * @param maxTableBytes our SETTINGS_HEADER_TABLE_SIZE
   * @param maxListBytes our SETTINGS_MAX_HEADER_LIST_SIZE
   */
  constructor(maxTableBytes: number, maxListBytes: number) {
    this.#table = new DynamicTable(maxTableBytes);
    this.#maxTableBytes = maxTableBytes;
    this.#maxListBytes = maxListBytes;
  }

  /** Decodes one whole header block. Total: never throws. */
  decode(block: Buffer): Result<DecodedHeaders> {
    this.#block = block;
    this.#at = 0;
    this.#problem = "";
    const headers: Field[] = [];
    let listBytes = 0;
    let updatesAllowed = true;
    while (this.#at < block.length && this.#problem === "") {
      if (((block[this.#at] as number) & 0xe0) === 0x20) {
        this.#resizeTable(updatesAllowed);
        continue;
      }
      updatesAllowed = false;
      const field = this.#field();
      if (field === undefined) break;
      listBytes += entryBytes(field[0], field[1]);
      if (listBytes <= this.#maxListBytes) headers.push(field);
    }
    this.#block = Buffer.alloc(0);
    if (this.#problem !== "") return err(this.#problem);
    return ok({ headers, tooLarge: listBytes > this.#maxListBytes });
  }

  /** Section 6.3: only before the first field, never above what our SETTINGS allow. */
  #resizeTable(allowed: boolean): void {
    const capacity = this.#integer(5);
    if (!allowed) this.#fail("a table size update after the first field");
    else if (capacity > this.#maxTableBytes) {
      this.#fail(`a table size of ${capacity} bytes, at most ${this.#maxTableBytes}`);
    } else if (capacity >= 0) this.#table.resize(capacity);
  }

  #field(): Field | undefined {
    const first = this.#block[this.#at] as number;
    if ((first & 0x80) !== 0) return this.#entry(this.#integer(7));
    const indexed = (first & 0x40) !== 0;
    const nameIndex = this.#integer(indexed ? 6 : 4);
    const name = nameIndex === 0 ? this.#text() : this.#entry(nameIndex)?.[0];
    const value = name === undefined ? undefined : this.#text();
    if (name === undefined || value === undefined) return undefined;
    if (indexed) this.#table.add(name, value);
    return [name, value];
  }

  #entry(index: number): Field | undefined {
    if (index < 0) return undefined;
    const entry =
      index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#table.at(index - STATIC_TABLE.length - 1);
    if (entry === undefined) this.#fail(`index ${index} of a table with ${STATIC_TABLE.length + this.#table.length}`);
    return entry;
  }

  /** Section 5.1; -1 on failure. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (this.#block[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#block[this.#at++];
      if (byte === undefined) return this.#fail("an integer that does not end");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value <= MAX_INTEGER ? value : this.#fail("an integer above 2^28");
    }
    return this.#fail("an integer of more than five bytes");
  }

  /** Section 5.2; undefined on failure. */
  #text(): string | undefined {
    const first = this.#block[this.#at];
    if (first === undefined) {
      this.#fail("a text that does not begin");
      return undefined;
    }
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (length < 0 || end > this.#block.length) {
      this.#fail("a text longer than its block");
      return undefined;
    }
    this.#at = end;
    return (first & 0x80) === 0 ? this.#block.toString("latin1", start, end) : this.#huffmanText(start, end);
  }

  #huffmanText(start: number, end: number): string | undefined {
    const target = Buffer.allocUnsafe(Math.ceil(((end - start) * 8) / 5));
    const length = decodeHuffman(this.#block, start, end, target);
    if (length >= 0) return target.toString("latin1", 0, length);
    this.#fail("an invalid Huffman code or padding");
    return undefined;
  }

  /** The first problem of a block is the one that counts. */
  #fail(problem: string): -1 {
    if (this.#problem === "") this.#problem = `header block with ${problem}`;
    return -1;
  }
}
