/**
 * Consistent hashing by a table of prime size that the members fill in turns, each along a permutation of its own: every
 * member gets its share almost exactly, and a member that leaves moves few requests beside its own.
 *
 * Spec: Eisenbud et al., Maglev (NSDI 2016), section 3.4; offset = h1(name) mod M, skip = h2(name) mod (M - 1) + 1.
 * Parity: Envoy MAGLEV, with xxHash64 of seed 0 and 1; a member of weight w takes w / w_max turns a round.
 */
import { type HashMember, type HashTable, walk } from "./hash-table.ts";
import { type Hash64, xxHash64 } from "./xx-hash.ts";

/** Parity: Envoy's default and its largest table. */
export const DEFAULT_TABLE_SIZE = 65_537;
export const MAXIMUM_TABLE_SIZE = 5_000_011;

export function createMaglev(members: readonly HashMember[], tableSize: number): HashTable {
  const size = tableSizeFor(tableSize, members.length);
  const table = fillTable(members, size);
  const memberAt = (entry: number): number => table[entry]!;
  return {
    size: table.length,
    find: (hash, accepts) => walk(table.length, hash % size, memberAt, accepts),
  };
}

/** The next prime from the size asked for; the default when that is none, and never fewer entries than members. */
export function tableSizeFor(asked: number, members: number): number {
  const wanted = asked >= 2 ? asked : DEFAULT_TABLE_SIZE;
  let size = Math.max(2, Math.ceil(Math.min(Math.max(wanted, members), MAXIMUM_TABLE_SIZE)));
  while (!isPrime(size)) size += 1;
  return size;
}

/** Member index by entry. */
function fillTable(members: readonly HashMember[], size: number): Int32Array {
  const table = new Int32Array(members.length === 0 ? 0 : size).fill(-1);
  const fillers = members.map((member) => createFiller(member, size));
  const heaviest = members.reduce((most, member) => Math.max(most, member.weight), 0);
  let filled = 0;
  for (let round = 1; filled < table.length; round += 1) {
    for (let index = 0; index < fillers.length && filled < table.length; index += 1) {
      const filler = fillers[index]!;
      // A lighter member waits until its weight, added up over the rounds, has reached a turn of the heaviest.
      if (round * members[index]!.weight < filler.owed) continue;
      filler.owed += heaviest;
      table[nextFree(table, filler)] = index;
      filled += 1;
    }
  }
  return table;
}

interface Filler {
  at: number;
  readonly skip: number;
  /** Weight over all rounds at which the next turn is due. */
  owed: number;
}

function createFiller(member: HashMember, size: number): Filler {
  const name = Buffer.from(member.name);
  const offset = modulo(xxHash64(name), size);
  const skip = size > 2 ? modulo(xxHash64(name, 1), size - 1) + 1 : 1;
  // The first turn is due at once, so that a member however light has an entry.
  return { at: offset, skip, owed: 0 };
}

function nextFree(table: Int32Array, filler: Filler): number {
  while (table[filler.at] !== -1) filler.at = (filler.at + filler.skip) % table.length;
  return filler.at;
}

/** A 64-bit value modulo something under 2^26. */
function modulo({ high, low }: Hash64, divisor: number): number {
  return ((high % divisor) * (2 ** 32 % divisor) + (low % divisor)) % divisor;
}

function isPrime(value: number): boolean {
  if (value < 4) return value > 1;
  if (value % 2 === 0) return false;
  for (let divisor = 3; divisor * divisor <= value; divisor += 2) {
    if (value % divisor === 0) return false;
  }
  return true;
}
