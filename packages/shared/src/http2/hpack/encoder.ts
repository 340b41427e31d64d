import type { HeaderList } from "../api.ts";
import { STATIC_NAME_INDEX, staticFieldIndex } from "./static-table.ts";

/** "Our table holds nothing": said once, it makes every later change of the peer's table size irrelevant to us. */
const EMPTY_TABLE_UPDATE = 0x20;

/**
 * Encodes a header block without state: fields of the static table by index, everything else as a literal that is not
 * indexed and not Huffman-coded. Tunnels open rarely and carry values that never repeat; a table would cost memory per
 * connection and gain nothing.
 *
 * Spec: RFC 7541 sections 6.1, 6.2.2 and 6.3. Texts are latin-1; check them with `checkOutgoing` first.
 */
export function encodeHeaderBlock(headers: HeaderList, firstBlock: boolean): Buffer {
  let bound = 1;
  for (const [name, value] of headers) bound += name.length + value.length + 11;
  const target = Buffer.allocUnsafe(bound);
  let at = 0;
  if (firstBlock) target[at++] = EMPTY_TABLE_UPDATE;
  for (const [name, value] of headers) at = writeField(target, at, name, value);
  return target.subarray(0, at);
}

function writeField(target: Buffer, at: number, name: string, value: string): number {
  const field = staticFieldIndex(name, value);
  if (field !== undefined) return writeInteger(target, at, { pattern: 0x80, prefixBits: 7, value: field });
  const nameIndex = STATIC_NAME_INDEX.get(name) ?? 0;
  const afterIndex = writeInteger(target, at, { pattern: 0, prefixBits: 4, value: nameIndex });
  return writeText(target, nameIndex === 0 ? writeText(target, afterIndex, name) : afterIndex, value);
}

function writeText(target: Buffer, at: number, text: string): number {
  const start = writeInteger(target, at, { pattern: 0, prefixBits: 7, value: text.length });
  return start + target.write(text, start, "latin1");
}

interface PrefixedInteger {
  /** Bits above the prefix. */
  readonly pattern: number;
  readonly prefixBits: number;
  readonly value: number;
}

function writeInteger(target: Buffer, at: number, { pattern, prefixBits, value }: PrefixedInteger): number {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    target[at] = pattern | value;
    return at + 1;
  }
  target[at++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 0x80;
  target[at++] = rest;
  return at;
}
