/** Identifiers of traces, spans and requests, from a given source of randomness. Pure. */
import type { Random } from "@ambit/shared/time";

export const randomSpanId = (random: Random): string => randomHex(16, random);

/** @returns lower-case hex, not all zero */
export function randomHex(digits: number, random: Random): string {
  let text = "";
  while (text.length < digits) {
    text += Math.floor(random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, "0");
  }
  return /^0+$/.test(text) ? `${text.slice(1)}1` : text;
}
