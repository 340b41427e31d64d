import type { Cidr } from "./cidr.ts";
import { bitsOfBytes, type IpBits } from "./ip-bits.ts";

/** The values of one prefix length, by masked address. */
interface Level<Value> {
  readonly prefixLength: number;
  readonly values: Map<IpBits, Value[]>;
}

/**
 * Values by prefix, several per prefix. A lookup costs one map access per distinct prefix length in use (at most
 * 33 for IPv4 and 129 for IPv6), whatever the number of prefixes.
 */
export class CidrMap<Value> {
  /** Longest prefix first. */
  readonly #v4: Level<Value>[] = [];
  readonly #v6: Level<Value>[] = [];

  get isEmpty(): boolean {
    return this.#v4.length === 0 && this.#v6.length === 0;
  }

  /** Values stored under exactly this prefix. */
  at(cidr: Cidr): readonly Value[] {
    const level = this.#levels(cidr).find((candidate) => candidate.prefixLength === cidr.prefixLength);
    return level?.values.get(keyOf(cidr)) ?? [];
  }

  add(cidr: Cidr, value: Value): void {
    const levels = this.#levels(cidr);
    let level = levels.find((candidate) => candidate.prefixLength === cidr.prefixLength);
    if (!level) {
      level = { prefixLength: cidr.prefixLength, values: new Map() };
      levels.push(level);
      levels.sort((a, b) => b.prefixLength - a.prefixLength);
    }
    const key = keyOf(cidr);
    const values = level.values.get(key);
    if (values) values.push(value);
    else level.values.set(key, [value]);
  }

  /** Removes one copy of the value; no effect when it is not there. */
  remove(cidr: Cidr, value: Value): void {
    const levels = this.#levels(cidr);
    const index = levels.findIndex((candidate) => candidate.prefixLength === cidr.prefixLength);
    const level = levels[index];
    const values = level?.values.get(keyOf(cidr));
    const at = values?.indexOf(value) ?? -1;
    if (!level || !values || at < 0) return;
    values.splice(at, 1);
    if (values.length === 0) level.values.delete(keyOf(cidr));
    if (level.values.size === 0) levels.splice(index, 1);
  }

  /** Visits the values of each prefix that contains the address, longest prefix first, until `visit` returns true. */
  visit(address: IpBits, visit: (values: readonly Value[], prefixLength: number) => boolean): boolean {
    for (const level of typeof address === "number" ? this.#v4 : this.#v6) {
      const values = level.values.get(maskBits(address, level.prefixLength));
      if (values && visit(values, level.prefixLength)) return true;
    }
    return false;
  }

  #levels(cidr: Cidr): Level<Value>[] {
    return cidr.bytes.length === 4 ? this.#v4 : this.#v6;
  }
}

const keyOf = (cidr: Cidr): IpBits => maskBits(bitsOfBytes(cidr.bytes), cidr.prefixLength);

function maskBits(address: IpBits, prefixLength: number): IpBits {
  if (typeof address === "number") {
    return prefixLength === 0 ? 0 : (address & (0xffffffff << (32 - prefixLength))) >>> 0;
  }
  const hostBits = BigInt(128 - prefixLength);
  return (address >> hostBits) << hostBits;
}
