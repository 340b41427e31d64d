/**
 * What a request is placed by: the upper 53 bits of xxHash64 as an integer, which is all of a hash that a number holds.
 * Pure. Parity: Envoy hash policies, the same values down to the last 11 bits.
 */
import { type Hash64, xxHash64 } from "./xx-hash.ts";

/** 0 to 2^53 - 1. */
export type RequestHash = number;

const LOW_BITS = 21;
const LOW_SIZE = 2 ** LOW_BITS;

export function requestHashOf({ high, low }: Hash64): RequestHash {
  return high * LOW_SIZE + (low >>> (32 - LOW_BITS));
}

/** Hash of what the route's hash policies found in a request, or of any text. */
export function hashText(text: string): RequestHash {
  return requestHashOf(xxHash64(Buffer.from(text)));
}

/** Any integer a caller may have, in the range above; a bigint is taken for unsigned 64 bits. */
export function normalizeHash(hash: number | bigint): RequestHash {
  if (typeof hash === "bigint") return Number(BigInt.asUintN(64, hash) >> 11n);
  return Number.isSafeInteger(hash) && hash >= 0 ? hash : hashText(String(hash));
}
