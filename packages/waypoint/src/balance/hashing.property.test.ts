import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { HashMember, HashTable } from "./hash-table.ts";
import { createMaglev, tableSizeFor } from "./maglev.ts";
import { hashText, normalizeHash, requestHashOf } from "./request-hash.ts";
import { createRing, MAXIMUM_RING, ringPoints } from "./ring-hash.ts";
import { type Hash64, xxHash64 } from "./xx-hash.ts";

const MASK = 2n ** 64n - 1n;
const PRIMES = [
  11400714785074694791n,
  14029467366897019727n,
  1609587929392839161n,
  9650029242287828579n,
  2870177450012600261n,
] as const;
const [P1, P2, P3, P4, P5] = PRIMES;

/** xxHash64 as its specification has it, in arithmetic that needs no care. */
function referenceHash(bytes: Uint8Array, seed: bigint): bigint {
  const rotate = (value: bigint, bits: bigint) => ((value << bits) | (value >> (64n - bits))) & MASK;
  const round = (lane: bigint, word: bigint) => (rotate((lane + word * P2) & MASK, 31n) * P1) & MASK;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let hash = (seed + P5) & MASK;
  if (bytes.length >= 32) {
    const lanes = [seed + P1 + P2, seed + P2, seed, seed - P1].map((lane) => lane & MASK);
    for (; at + 32 <= bytes.length; at += 32) {
      for (const [i, lane] of lanes.entries()) lanes[i] = round(lane, view.getBigUint64(at + 8 * i, true));
    }
    hash = [1n, 7n, 12n, 18n].reduce((sum, bits, i) => (sum + rotate(lanes[i]!, bits)) & MASK, 0n);
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * P1 + P4) & MASK;
  }
  hash = (hash + BigInt(bytes.length)) & MASK;
  for (; at + 8 <= bytes.length; at += 8) {
    hash = (rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4) & MASK;
  }
  if (at + 4 <= bytes.length) {
    hash = (rotate(hash ^ ((BigInt(view.getUint32(at, true)) * P1) & MASK), 23n) * P2 + P3) & MASK;
    at += 4;
  }
  for (; at < bytes.length; at += 1) hash = (rotate(hash ^ ((BigInt(bytes[at]!) * P5) & MASK), 11n) * P1) & MASK;
  hash = ((hash ^ (hash >> 33n)) * P2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P3) & MASK;
  return hash ^ (hash >> 32n);
}

const bigOf = ({ high, low }: Hash64): bigint => (BigInt(high) << 32n) | BigInt(low);

describe("xxHash64", () => {
  it.each([
    // Published values, seed 0.
    ["", "ef46db3751d8e999"],
    ["a", "d24ec4f1a98c6e5b"],
    ["abc", "44bc2cf5ad770999"],
    ["Nobody inspects the spammish repetition", "fbcea83c8a378bf1"],
  ])("of %j is %s", (text, hex) => {
    expect(bigOf(xxHash64(Buffer.from(text))).toString(16)).toBe(hex);
  });

  it("is the specified function for any bytes and seed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(2 ** 32 - 1), (bytes, seed) => {
        expect(bigOf(xxHash64(bytes, seed))).toBe(referenceHash(bytes, BigInt(seed)));
      }),
    );
  });
});

describe("request hashes", () => {
  it("are the upper 53 bits, and a bigint of 64 bits gives the same", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const hash = xxHash64(Buffer.from(text));
        expect(requestHashOf(hash)).toBe(Number(bigOf(hash) >> 11n));
        expect(normalizeHash(bigOf(hash))).toBe(hashText(text));
      }),
    );
  });

  it("are in range whatever a caller has", () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.bigInt(), fc.integer()), (any) => {
        const hash = normalizeHash(any);
        expect(Number.isSafeInteger(hash) && hash >= 0).toBe(true);
      }),
    );
  });
});

const names = fc.uniqueArray(fc.nat(5_000), { minLength: 2, maxLength: 8 });
const memberOf = (n: number, weight = 1): HashMember => ({ name: `10.0.${n >> 8}.${n & 255}:8080`, weight });
const KEYS = Array.from({ length: 2_000 }, (_, n) => hashText(`session-${n}`));
const always = (): boolean => true;

interface Kind {
  readonly name: string;
  create(members: readonly HashMember[]): HashTable;
  /** How far a member's share may be from its weight's, of the whole. */
  readonly tolerance: number;
}

const KINDS: readonly Kind[] = [
  {
    name: "createRing",
    create: (members) => createRing(members, { minimumRing: 2_048, maximumRing: 8_192 }),
    tolerance: 0.1,
  },
  { name: "createMaglev", create: (members) => createMaglev(members, 2_053), tolerance: 0.04 },
];

describe.each(KINDS)("$name", ({ create, tolerance }) => {
  it("gives a key the same member whatever is told first, and only members", () => {
    fc.assert(
      fc.property(names, (list) => {
        const table = create(list.map((n) => memberOf(n)));
        for (const key of KEYS.slice(0, 200)) {
          const found = table.find(key, always);
          expect(list[found]).toBeDefined();
          expect(table.find(key, always)).toBe(found);
        }
      }),
      { numRuns: 8 },
    );
  });

  it("moves only the keys of a member that fails, and spreads them over the others", () => {
    fc.assert(
      fc.property(names, fc.nat(), (list, pick) => {
        const table = create(list.map((n) => memberOf(n)));
        const failed = pick % list.length;
        for (const key of KEYS) {
          const before = table.find(key, always);
          const after = table.find(key, (index) => index !== failed);
          if (before === failed) expect(after).not.toBe(failed);
          else expect(after).toBe(before);
        }
      }),
      { numRuns: 8 },
    );
  });

  it("shares keys by weight within tolerance", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 6 }), (list) => {
        const table = create(list.map((weight, n) => memberOf(n, weight)));
        const total = list.reduce((a, b) => a + b, 0);
        const counts = list.map(() => 0);
        for (const key of KEYS) {
          const found = table.find(key, always);
          counts[found] = counts[found]! + 1;
        }
        for (const [index, weight] of list.entries()) {
          expect(Math.abs(counts[index]! / KEYS.length - weight / total)).toBeLessThan(tolerance);
        }
      }),
      { numRuns: 8 },
    );
  });

  it("finds nobody when nobody is accepted, or there is nobody", () => {
    expect(create([memberOf(1), memberOf(2)]).find(KEYS[0]!, () => false)).toBe(-1);
    expect(create([]).find(KEYS[0]!, always)).toBe(-1);
  });
});

describe("a ring", () => {
  it("moves, when a member leaves for good, no key that was not its own", () => {
    // Points per member stay the same here, as they do for equal weights and a fixed number of points.
    const size = (count: number) => ({ minimumRing: 128 * count, maximumRing: 65_536 });
    fc.assert(
      fc.property(names, (list) => {
        const all = createRing(
          list.map((n) => memberOf(n)),
          size(list.length),
        );
        const rest = list.slice(0, -1);
        const fewer = createRing(
          rest.map((n) => memberOf(n)),
          size(rest.length),
        );
        for (const key of KEYS) {
          const before = list[all.find(key, always)];
          if (before !== list.at(-1)) expect(rest[fewer.find(key, always)]).toBe(before);
        }
      }),
      { numRuns: 8 },
    );
  });

  it("begins again after its last point", () => {
    for (let n = 0; n < 20; n += 1) {
      const table = createRing([memberOf(n), memberOf(n + 100)], { minimumRing: 8, maximumRing: 8 });
      expect(table.find(2 ** 53 - 1, always)).toBe(table.find(0, always));
    }
  });

  it("has points by weight: at least one each, at least the minimum, no more than the maximum or the members", () => {
    const weights = fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 50 });
    const limit = fc.integer({ min: 1, max: 10_000 });
    fc.assert(
      fc.property(weights, limit, limit, (list, minimumRing, maximumRing) => {
        const points = ringPoints(list, { minimumRing, maximumRing });
        const total = points.reduce((a, b) => a + b, 0);
        expect(Math.min(...points)).toBeGreaterThanOrEqual(1);
        expect(total).toBeGreaterThanOrEqual(Math.min(minimumRing, maximumRing));
        expect(total).toBeLessThanOrEqual(Math.max(maximumRing, list.length) + list.length);
      }),
    );
  });

  it("gives equal weights equal numbers of points, and bounds what a configuration may ask for", () => {
    expect(ringPoints([1, 1, 1, 1], { minimumRing: 1_024, maximumRing: 8_388_608 })).toEqual([256, 256, 256, 256]);
    const huge = ringPoints([1, 1e9], { minimumRing: 1_024, maximumRing: 8_388_608 });
    expect(huge[0]! + huge[1]!).toBeLessThanOrEqual(MAXIMUM_RING + 2);
  });
});

describe("a Maglev table", () => {
  it("has a prime size, each member within one entry of its share when weights are equal", () => {
    fc.assert(
      fc.property(names, (list) => {
        const table = createMaglev(
          list.map((n) => memberOf(n)),
          2_053,
        );
        const counts = list.map(() => 0);
        for (let entry = 0; entry < table.size; entry += 1) {
          const found = table.find(entry, always);
          counts[found] = counts[found]! + 1;
        }
        expect(table.size).toBe(2_053);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 8 },
    );
  });

  it("moves few keys beside those of a member that leaves", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(5_000), { minLength: 5, maxLength: 12 }), (list) => {
        const all = createMaglev(
          list.map((n) => memberOf(n)),
          65_537,
        );
        const rest = list.slice(0, -1);
        const fewer = createMaglev(
          rest.map((n) => memberOf(n)),
          65_537,
        );
        const moved = KEYS.filter((key) => {
          const before = list[all.find(key, always)];
          return before !== list.at(-1) && rest[fewer.find(key, always)] !== before;
        });
        expect(moved.length / KEYS.length).toBeLessThan(0.1);
      }),
      { numRuns: 8 },
    );
  });

  it.each([
    [0, 3, 65_537],
    [65_537, 3, 65_537],
    [65_536, 3, 65_537],
    [10, 3, 11],
    [2, 100, 101],
    [9_999_999, 3, 5_000_011],
  ])("of size %d for %d members has %d entries", (asked, members, size) => {
    expect(tableSizeFor(asked, members)).toBe(size);
  });
});
