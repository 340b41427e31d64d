/**
 * Consistent hashing on a ring: every member has points in proportion to its weight, a request goes to the next point.
 * A member that leaves moves only the requests it had.
 *
 * Parity: Envoy RING_HASH: points are xxHash64 of `ip:port_i`; the ring is scaled so that the lightest member has at
 * least a whole point, within the two size limits.
 */
import { type HashMember, type HashTable, walk } from "./hash-table.ts";
import type { RequestHash } from "./request-hash.ts";
import { xxHash64 } from "./xx-hash.ts";

/** Bounds memory (8 bytes an entry) and the time to build (0.1 s). Differs: Envoy allows 8 Mi. */
export const MAXIMUM_RING = 131_072;

/** Of an entry's 53 bits the upper 32 are the place on the ring and the lower 21 the member, so one sort does it all. */
const MEMBER_SPACE = 2 ** 21;

export interface RingSize {
  readonly minimumRing: number;
  readonly maximumRing: number;
}

/** Points per member. Spec: scale = min(ceil(w_min * minimum) / w_min, maximum), w_min the least share of the weight. */
export function ringPoints(weights: readonly number[], size: RingSize): readonly number[] {
  const maximum = Math.max(weights.length, Math.min(size.maximumRing, MAXIMUM_RING));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const least = weights.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) / total;
  const minimum = Math.min(size.minimumRing, maximum);
  const scale = Math.min(Math.ceil(least * minimum) / least, maximum);
  let target = 0;
  let placed = 0;
  return weights.map((weight) => {
    target += (scale * weight) / total;
    // Rounding of sums must not take a member's only point.
    const points = Math.max(1, Math.ceil(target - 1e-9) - placed);
    placed += points;
    return points;
  });
}

export function createRing(members: readonly HashMember[], size: RingSize): HashTable {
  const points = ringPoints(
    members.map((member) => member.weight),
    size,
  );
  const ring = new Float64Array(points.reduce((sum, count) => sum + count, 0));
  let filled = 0;
  for (const [index, member] of members.entries()) {
    for (let point = 0; point < points[index]!; point += 1) {
      ring[filled] = xxHash64(Buffer.from(`${member.name}_${point}`)).high * MEMBER_SPACE + index;
      filled += 1;
    }
  }
  ring.sort();
  const memberAt = (entry: number): number => ring[entry]! % MEMBER_SPACE;
  return {
    size: ring.length,
    find: (hash, accepts) => walk(ring.length, firstAtOrAfter(ring, hash), memberAt, accepts),
  };
}

/** Entry of the first point at or after the hash; past the last one the ring begins again. */
function firstAtOrAfter(ring: Float64Array, hash: RequestHash): number {
  let low = 0;
  let high = ring.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ring[middle]! < hash) low = middle + 1;
    else high = middle;
  }
  return low === ring.length ? 0 : low;
}
