import { err, ok, type Result } from "../errors/result.ts";
import { type IpAddress, ipToBytes, parseIp } from "./ip.ts";

/** A prefix: the bytes of its network address (4 or 16) and its length in bits. */
export interface Cidr {
  readonly bytes: Uint8Array;
  readonly prefixLength: number;
}

/** `10.0.0.0/8`, `fd00::/8`, or a plain address (full length). */
export function parseCidr(text: string): Result<Cidr> {
  const slash = text.indexOf("/");
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (!ip.ok) return ip;
  const bytes = ipToBytes(ip.value);
  const lengthText = slash < 0 ? String(bytes.length * 8) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(lengthText)) return err(`expected a prefix length, got "${lengthText}"`);
  return makeCidr(bytes, Number(lengthText));
}

export function makeCidr(bytes: Uint8Array, prefixLength: number): Result<Cidr> {
  const max = bytes.length * 8;
  if (prefixLength > max) return err(`expected a prefix length of at most ${max}, got ${prefixLength}`);
  return ok({ bytes, prefixLength });
}

/** Whether the prefix contains the address. An IPv4 prefix never contains an IPv6 address or the other way round. */
export function cidrContains(cidr: Cidr, ip: IpAddress): boolean {
  return cidrContainsBytes(cidr, ipToBytes(ip));
}

export function cidrContainsBytes(cidr: Cidr, address: Uint8Array): boolean {
  if (address.length !== cidr.bytes.length) return false;
  const whole = cidr.prefixLength >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== cidr.bytes[i]) return false;
  const rest = cidr.prefixLength & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((cidr.bytes[whole] ?? 0) & mask);
}
