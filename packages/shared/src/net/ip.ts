import ipaddr from "ipaddr.js";
import { err, ok, type Result } from "../errors/result.ts";

/**
 * An IP address in its one canonical text form: dotted quad, or RFC 5952 IPv6 without zone.
 * An IPv4-mapped IPv6 address is always unwrapped, so two texts are equal exactly when the addresses are.
 */
export type IpAddress = string & { readonly __brand: "IpAddress" };

/** Parses any text form to the canonical one. Scoped (`%eth0`) and abbreviated IPv4 forms are refused. */
export function parseIp(text: string): Result<IpAddress> {
  if (text.length > 64 || text.includes("%"))
    return err(`expected an IP address without zone, got "${text.slice(0, 64)}"`);
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ok(ipaddr.IPv4.parse(text).toString() as IpAddress);
  if (!text.includes(":") || !ipaddr.IPv6.isValid(text))
    return err(`expected an IP address, got "${text.slice(0, 64)}"`);
  return ok(canonicalV6(ipaddr.IPv6.parse(text)));
}

/** 4 or 16 bytes, network order, as istio.workload sends them. */
export function ipFromBytes(bytes: Uint8Array): Result<IpAddress> {
  if (bytes.length === 4) return ok(`${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as IpAddress);
  if (bytes.length !== 16) return err(`expected 4 or 16 address bytes, got ${bytes.length}`);
  return ok(canonicalV6(ipaddr.fromByteArray([...bytes]) as ipaddr.IPv6));
}

export function ipToBytes(ip: IpAddress): Uint8Array {
  return Uint8Array.from(ipaddr.parse(ip).toByteArray());
}

export const isIpv4 = (ip: IpAddress): boolean => !ip.includes(":");

export function isLoopback(ip: IpAddress): boolean {
  return ip === "::1" || ip.startsWith("127.");
}

/** Canonical form of an address the kernel or Node reported; throws on anything that is not an address. */
export function ipOf(text: string): IpAddress {
  const zone = text.indexOf("%");
  const parsed = parseIp(zone < 0 ? text : text.slice(0, zone));
  if (!parsed.ok) throw new TypeError(parsed.error);
  return parsed.value;
}

function canonicalV6(address: ipaddr.IPv6): IpAddress {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address().toString() as IpAddress;
  return address.toRFC5952String() as IpAddress;
}
