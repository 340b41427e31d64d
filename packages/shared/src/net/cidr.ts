import { err, ok, type Result } from "../errors/result.ts";
import { type IpAddress, ipFromBytes, ipToBytes, parseIp } from "./ip.ts";

/** A prefix: the bytes of an address in it (4 or 16) and its length in bits. Bits past the length mean nothing. */
export interface Cidr {
  readonly bytes: Uint8Array;
  readonly prefixLength: number;
}

/** `10.0.0.0/8`, `fd00::/8`, or a plain address (full length). */
export function parseCidr(text: string): Result<Cidr> {
  const slash = text.indexOf("/");
  const host = slash < 0 ? text : text.slice(0, slash);
  const ip = parseIp(host);
  if (!ip.ok) return ip;
  const bytes = ipToBytes(ip.value);
  if (slash < 0) return ok({ bytes, prefixLength: bytes.length * 8 });
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText)) return err(`expected a prefix length, got "${lengthText.slice(0, 20)}"`);
  const mapped = host.includes(":") && bytes.length === 4;
  return mapped ? unmapped(bytes, Number(lengthText)) : makeCidr(bytes, Number(lengthText));
}

/** From 4 or 16 address bytes; an IPv4-mapped IPv6 prefix becomes the IPv4 one. */
export function makeCidr(bytes: Uint8Array, prefixLength: number): Result<Cidr> {
  if (bytes.length !== 4 && bytes.length !== 16) return err(`expected 4 or 16 address bytes, got ${bytes.length}`);
  const max = bytes.length * 8;
  if (!(prefixLength >= 0 && prefixLength <= max)) {
    return err(`expected a prefix length of 0 to ${max}, got ${prefixLength}`);
  }
  const mapped = bytes.length === 16 && isMapped(bytes);
  return mapped ? unmapped(bytes.subarray(12), prefixLength) : ok({ bytes, prefixLength });
}

/** `10.0.0.0/8`: canonical text with the bits past the length cleared, which `parseCidr` reads back. */
export function formatCidr(cidr: Cidr): string {
  const masked = cidr.bytes.map((byte, index) => byte & byteMask(cidr.prefixLength - index * 8));
  const ip = ipFromBytes(masked);
  if (!ip.ok) throw new TypeError(ip.error);
  return `${ip.value}/${cidr.prefixLength}`;
}

/** Whether the prefix contains the address. An IPv4 prefix never contains an IPv6 address or the other way round. */
export function cidrContains(cidr: Cidr, ip: IpAddress): boolean {
  return cidrContainsBytes(cidr, ipToBytes(ip));
}

export function cidrContainsBytes(cidr: Cidr, address: Uint8Array): boolean {
  if (address.length !== cidr.bytes.length) return false;
  return address.every((byte, index) => {
    const mask = byteMask(cidr.prefixLength - index * 8);
    return (byte & mask) === ((cidr.bytes[index] ?? 0) & mask);
  });
}

/** The mask of a byte of which the first `bits` count; any number is accepted. */
const byteMask = (bits: number): number => (0xff << (8 - Math.max(0, Math.min(8, bits)))) & 0xff;

const isMapped = (bytes: Uint8Array): boolean =>
  bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;

function unmapped(bytes: Uint8Array, prefixLength: number): Result<Cidr> {
  // ::ffff:10.0.0.0/8 would span all of ::/8, IPv4 and not: nobody means that.
  if (prefixLength < 96 || prefixLength > 128) {
    return err(`expected a prefix length of 96 to 128 for an IPv4-mapped prefix, got ${prefixLength}`);
  }
  return ok({ bytes, prefixLength: prefixLength - 96 });
}
