/**
 * What ring and Maglev have in common: from a request's hash to a member, by a table that is made once per membership.
 *
 * Health does not change the table. A search walks on from the hash's place until a member is accepted, so when an
 * endpoint fails only its own requests move, and they come back when it does.
 * Differs: Envoy builds its tables of healthy hosts only, and again at every change of health.
 */
import type { RequestHash } from "./request-hash.ts";

/** A member of a table. Names are unique; weights are over 0. */
export interface HashMember {
  readonly name: string;
  readonly weight: number;
}

export interface HashTable {
  /** Entries in the table. */
  readonly size: number;
  /** Index of the first accepted member from the hash's place on; -1 when none is. */
  find(hash: RequestHash, accepts: (member: number) => boolean): number;
}

/** Walks a table of member indices from `start` once around. */
export function walk(
  size: number,
  start: number,
  memberAt: (entry: number) => number,
  accepts: (member: number) => boolean,
): number {
  let refused = -1;
  for (let step = 0; step < size; step += 1) {
    const member = memberAt((start + step) % size);
    if (member === refused) continue;
    if (accepts(member)) return member;
    refused = member;
  }
  return -1;
}
