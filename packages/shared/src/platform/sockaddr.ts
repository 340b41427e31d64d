/** Socket addresses as the kernel reads them: struct sockaddr_in, sockaddr_in6, sockaddr_ll. Pure. */
import { err, ok, type Result } from "../errors/index.ts";
import { type IpAddress, ipFromBytes, ipToBytes, isIpv4, type SocketAddress } from "../net/index.ts";
import { AF_INET, AF_INET6, AF_PACKET, ETH_P_ALL } from "./constants.ts";

const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
/** Enough for every family: sizeof(struct sockaddr_storage). */
export const SOCKADDR_STORAGE_BYTES = 128;

/** The family is in host order (little endian on x86-64 and arm64), port and address in network order. */
export function encodeSockaddr({ ip, port }: SocketAddress): Buffer {
  const bytes = Buffer.alloc(isIpv4(ip) ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  bytes.writeUInt16LE(isIpv4(ip) ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ipToBytes(ip), isIpv4(ip) ? 4 : 8);
  return bytes;
}

/** Total. A v4-mapped IPv6 address comes out as IPv4. */
export function decodeSockaddr(bytes: Uint8Array): Result<SocketAddress> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < SOCKADDR_IN_BYTES) return err(`expected a socket address, got ${view.length} bytes`);
  const family = view.readUInt16LE(0);
  const port = view.readUInt16BE(2);
  if (family === AF_INET) return withPort(ipFromBytes(view.subarray(4, 8)), port);
  if (family !== AF_INET6) return err(`expected address family 2 or 10, got ${family}`);
  if (view.length < SOCKADDR_IN6_BYTES) return err(`expected 28 bytes of sockaddr_in6, got ${view.length}`);
  return withPort(ipFromBytes(view.subarray(8, 24)), port);
}

function withPort(ip: Result<IpAddress>, port: number): Result<SocketAddress> {
  return ip.ok ? ok({ ip: ip.value, port }) : ip;
}

/** struct sockaddr_ll for "everything on this interface". */
export function encodeLinkAddress(interfaceIndex: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16LE(AF_PACKET, 0);
  bytes.writeUInt16BE(ETH_P_ALL, 2);
  bytes.writeInt32LE(interfaceIndex, 4);
  return bytes;
}
