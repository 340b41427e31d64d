/** The little of SOCKS5 that explicit capture needs: no authentication, CONNECT. Pure and total. Spec: RFC 1928. */
import { type IpAddress, ipFromBytes, parseAuthority, type SocketAddress } from "@ambit/shared/net";

export const SocksReply = {
  succeeded: 0,
  generalFailure: 1,
  notAllowed: 2,
  hostUnreachable: 4,
  connectionRefused: 5,
  commandNotSupported: 7,
} as const;

export type SocksTarget =
  | { readonly kind: "address"; readonly address: SocketAddress }
  | { readonly kind: "hostname"; readonly hostname: string; readonly port: number };

/** `used` bytes belong to the message; what follows is the application's. */
export type SocksParse<T> =
  | { readonly kind: "complete"; readonly value: T; readonly used: number }
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed"; readonly message: string };

const incomplete = { kind: "incomplete" } as const;
const malformed = (message: string) => ({ kind: "malformed", message }) as const;

/** Whether the greeting offers "no authentication". */
export function parseGreeting(bytes: Uint8Array): SocksParse<{ readonly acceptable: boolean }> {
  if (bytes.length > 0 && bytes[0] !== 5) return malformed(`expected SOCKS version 5, got ${bytes[0]}`);
  const methods = bytes[1] ?? 0;
  if (bytes.length < 2 + methods || bytes.length < 2) return incomplete;
  return { kind: "complete", value: { acceptable: bytes.subarray(2, 2 + methods).includes(0) }, used: 2 + methods };
}

export function parseRequest(bytes: Uint8Array): SocksParse<SocksTarget> {
  if (bytes.length < 5) return incomplete;
  if (bytes[0] !== 5 || bytes[2] !== 0) return malformed("expected a SOCKS 5 request");
  if (bytes[1] !== 1) return malformed(`expected the CONNECT command, got ${bytes[1]}`);
  const addressBytes = { 1: 4, 3: 1 + (bytes[4] ?? 0), 4: 16 }[bytes[3] ?? 0];
  if (addressBytes === undefined) return malformed(`expected address type 1, 3 or 4, got ${bytes[3]}`);
  const used = 4 + addressBytes + 2;
  if (bytes.length < used) return incomplete;
  const port = ((bytes[used - 2] ?? 0) << 8) | (bytes[used - 1] ?? 0);
  const host = bytes.subarray(4, 4 + addressBytes);
  const target = bytes[3] === 3 ? hostnameTarget(host.subarray(1), port) : addressTarget(host, port);
  return target === undefined ? malformed("expected a valid host and port") : { kind: "complete", value: target, used };
}

function addressTarget(bytes: Uint8Array, port: number): SocksTarget | undefined {
  const ip = ipFromBytes(bytes);
  return ip.ok && port > 0 ? { kind: "address", address: { ip: ip.value as IpAddress, port } } : undefined;
}

function hostnameTarget(bytes: Uint8Array, port: number): SocksTarget | undefined {
  const host = Buffer.from(bytes).toString("latin1").replace(/\.$/, "");
  const parsed = parseAuthority(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
  return parsed.ok ? parsed.value : undefined;
}

export const greetingReply = (acceptable: boolean): Buffer => Buffer.from([5, acceptable ? 0 : 0xff]);

/** The bound address is not told (all zero), as nobody needs it. */
export const requestReply = (code: number): Buffer => Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
