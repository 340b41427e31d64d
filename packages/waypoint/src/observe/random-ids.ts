/** Identifiers of traces, spans and requests, from a given source of randomness. Pure. */
import type { Random } from "@ambit/shared/time";

/** The two digits of each byte: several ids are made for every request, and this is what is left of their cost. */
const BYTE_HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const byteHex = (bits: number): string => BYTE_HEX[bits & 0xff] as string;

export const randomSpanId = (random: Random): string => randomHex(16, random);

/**
 * @param digits  a multiple of 8
 * @returns lower-case hex, not all zero
 */
export function randomHex(digits: number, random: Random): string {
  let text = "";
  let seen = 0;
  for (let left = digits; left > 0; left -= 8) {
    const bits = Math.floor(random() * 0x1_0000_0000);
    seen |= bits;
    text += byteHex(bits >>> 24) + byteHex(bits >>> 16) + byteHex(bits >>> 8) + byteHex(bits);
  }
  return seen === 0 ? `${text.slice(1)}1` : text;
}
