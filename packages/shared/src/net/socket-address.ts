import { err, ok, type Result } from "../errors/result.ts";
import { type IpAddress, parseIp } from "./ip.ts";

/** An IP and a TCP or UDP port. */
export interface SocketAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

/** `10.0.0.1:80` or `[fd00::1]:80`: the form of `:authority`, `forwarded` and the logs. */
export function formatSocketAddress(address: SocketAddress): string {
  return address.ip.includes(":") ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

/** What an HBONE `:authority` may name: an address, or a hostname with a port. */
export type Authority =
  | { readonly kind: "address"; readonly address: SocketAddress }
  | { readonly kind: "hostname"; readonly hostname: string; readonly port: number };

const HOSTNAME = /^(?=.{1,253}$)[a-z0-9_*]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

/** Parses an `:authority`; the port is mandatory and decimal without sign or leading zeros. Total: never throws. */
export function parseAuthority(text: string): Result<Authority> {
  const colon = text.lastIndexOf(":");
  const portText = text.slice(colon + 1);
  const port = Number(portText);
  if (colon <= 0 || !/^[1-9]\d{0,4}$/.test(portText) || port > 65535) {
    return err(`expected host:port with a port of 1 to 65535, got "${text.slice(0, 300)}"`);
  }
  const host = text.slice(0, colon);
  const bracketed = host.startsWith("[") && host.endsWith("]");
  const ip = parseIp(bracketed ? host.slice(1, -1) : host);
  if (ip.ok && bracketed === host.includes(":")) return ok({ kind: "address", address: { ip: ip.value, port } });
  if (/^[\d.]+$/.test(host) || !HOSTNAME.test(host))
    return err(`expected an IP address or a hostname, got "${host.slice(0, 300)}"`);
  return ok({ kind: "hostname", hostname: host.toLowerCase(), port });
}
