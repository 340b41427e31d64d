import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  type Cidr,
  CidrMap,
  cidrContains,
  formatCidr,
  type IpAddress,
  ipBits,
  ipFromBytes,
  ipToBytes,
  makeCidr,
  parseCidr,
} from "./index.ts";

const family = fc.constantFrom(4, 16);
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
/** Few distinct leading bits, so that prefixes and addresses meet. */
const nearBytes = (length: number) =>
  bytesOf(length).map((raw) => raw.map((byte, index) => (index === 0 ? 32 + (byte & 1) : index < 3 ? byte & 1 : byte)));
const cidr: fc.Arbitrary<Cidr> = family.chain((length) =>
  fc.record({ bytes: nearBytes(length), prefixLength: fc.nat(length * 8) }),
);
const ip: fc.Arbitrary<IpAddress> = family.chain(nearBytes).map((raw) => {
  const parsed = ipFromBytes(raw);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
});
const bitText = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");

describe("CIDR", () => {
  it("contains exactly the addresses that share its first bits", () => {
    fc.assert(
      fc.property(cidr, ip, (prefix, address) => {
        const raw = ipToBytes(address);
        const shares =
          raw.length === prefix.bytes.length &&
          bitText(raw).slice(0, prefix.prefixLength) === bitText(prefix.bytes).slice(0, prefix.prefixLength);
        expect(cidrContains(prefix, address)).toBe(shares);
      }),
    );
  });

  it("survives the way to text and back, as a set of addresses", () => {
    fc.assert(
      fc.property(cidr, ip, (prefix, address) => {
        const again = parseCidr(formatCidr(prefix));
        if (!again.ok) throw new Error(again.error);
        expect(again.value.prefixLength).toBe(prefix.prefixLength);
        expect(cidrContains(again.value, address)).toBe(cidrContains(prefix, address));
      }),
    );
  });

  it("case 49: an IPv4-mapped prefix is the IPv4 prefix", () => {
    expect(parseCidr("::ffff:10.0.0.0/104")).toEqual(parseCidr("10.0.0.0/8"));
    const mapped = makeCidr(Uint8Array.from([...new Array<number>(10).fill(0), 255, 255, 10, 0, 0, 0]), 104);
    expect(mapped.ok && formatCidr(mapped.value)).toBe("10.0.0.0/8");
  });

  it.each([
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "fd00::/129",
    "::ffff:10.0.0.0/8",
    "fe80::%a/64",
    "x/8",
  ])("refuses %j", (text) => expect(parseCidr(text).ok).toBe(false));

  it.each([3, 5, 0, 17])("refuses %d address bytes", (length) => {
    expect(makeCidr(new Uint8Array(length), 0).ok).toBe(false);
  });
});

describe("CidrMap", () => {
  it("visits what contains the address, longest prefix first, also after removals", () => {
    const entries = fc.array(fc.tuple(cidr, fc.nat(5), fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(entries, ip, (list, address) => {
        const map = new CidrMap<number>();
        for (const [prefix, value] of list) map.add(prefix, value);
        for (const [prefix, value, keep] of list) if (!keep) map.remove(prefix, value);
        const kept = list.filter(([, , keep]) => keep);
        const expected = kept.filter(([prefix]) => cidrContains(prefix, address)).map(([, value]) => value);
        const seen: number[] = [];
        const lengths: number[] = [];
        map.visit(ipBits(address), (values, prefixLength) => {
          seen.push(...values);
          lengths.push(prefixLength);
          return false;
        });
        expect(seen.sort()).toEqual(expected.sort());
        expect(lengths).toEqual([...new Set(lengths)].sort((a, b) => b - a));
        expect(map.isEmpty).toBe(kept.length === 0);
      }),
    );
  });
});
