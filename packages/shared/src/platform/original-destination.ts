import type { SocketAddress } from "../net/index.ts";
import { SO_ORIGINAL_DST, SOL_IP, SOL_IPV6 } from "./constants.ts";
import { libc } from "./libc.ts";
import { decodeSockaddr } from "./sockaddr.ts";

/**
 * What conntrack remembers as the destination before REDIRECT. A dual-stack listener carries IPv4 connections on IPv6
 * sockets, so the IPv4 question comes first on every socket. For a connection that conntrack saw but nothing redirected
 * it is the local address; without conntrack it is `undefined`.
 *
 * Parity: ztunnel src/socket.rs, orig_dst_addr
 */
export function originalDestination(fd: number): SocketAddress | undefined {
  return ask(fd, SOL_IP, 16) ?? ask(fd, SOL_IPV6, 28);
}

function ask(fd: number, level: number, bytes: number): SocketAddress | undefined {
  const address = Buffer.alloc(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes);
  if (libc().getsockopt(fd, level, SO_ORIGINAL_DST, address, length) < 0) return undefined;
  const decoded = decodeSockaddr(address);
  return decoded.ok ? decoded.value : undefined;
}
