/** Sockets with the options Node cannot set, made in the namespace they belong to. All descriptors are CLOEXEC and non-blocking. */
import { formatSocketAddress, type IpAddress, ipOf, isIpv4 } from "../net/index.ts";
import type { DialOptions, ListenerOptions } from "./api.ts";
import {
  AF_INET,
  AF_INET6,
  F_DUPFD_CLOEXEC,
  IP_BIND_ADDRESS_NO_PORT,
  IP_FREEBIND,
  IP_TRANSPARENT,
  IPV6_FREEBIND,
  IPV6_TRANSPARENT,
  IPV6_V6ONLY,
  SO_BINDTODEVICE,
  SO_MARK,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from "./constants.ts";
import { callFailed, closeDescriptor, libc } from "./libc.ts";
import { inNetns } from "./netns.ts";
import { decodeSockaddr, encodeSockaddr, SOCKADDR_STORAGE_BYTES } from "./sockaddr.ts";

const DEFAULT_BACKLOG = 1024;
const WILDCARD_V4 = ipOf("0.0.0.0");
const WILDCARD_V6 = ipOf("::");
const LOOPBACK_V6 = ipOf("::1");

export function listenTcp(options: ListenerOptions): number {
  return inOptionalNetns(options.netnsFd, () =>
    buildSocket(familyOf(options), SOCK_STREAM, (fd) => {
      configureListener(fd, options);
      if (libc().listen(fd, options.backlog ?? DEFAULT_BACKLOG) < 0) throw callFailed("listen", `on ${where(options)}`);
    }),
  );
}

export function bindUdp(options: ListenerOptions): number {
  return inOptionalNetns(options.netnsFd, () =>
    buildSocket(familyOf(options), SOCK_DGRAM, (fd) => configureListener(fd, options)),
  );
}

export function dialTcp(options: DialOptions): number {
  const family = options.family === 4 ? AF_INET : AF_INET6;
  return inOptionalNetns(options.netnsFd, () =>
    buildSocket(family, SOCK_STREAM, (fd) => {
      if (options.mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, options.mark);
      if (options.transparent) setForeignSource(fd, family);
      if (options.overLoopback) bindToLoopbackDevice(fd);
      if (options.bindTo !== undefined) bindSource(fd, options.bindTo);
    }),
  );
}

function bindSource(fd: number, source: IpAddress): void {
  // The port is chosen at connect(), by the whole four-tuple: 64k connections per destination, not in all.
  setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  bindTo(fd, source, 0);
}

function setForeignSource(fd: number, family: number): void {
  setTransparent(fd, family);
  if (family === AF_INET) setOption(fd, SOL_IP, IP_FREEBIND, 1);
  else setOption(fd, SOL_IPV6, IPV6_FREEBIND, 1);
}

const LOOPBACK_DEVICE = Buffer.from("lo\0");

function bindToLoopbackDevice(fd: number): void {
  if (libc().setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, LOOPBACK_DEVICE, LOOPBACK_DEVICE.length) < 0) {
    throw callFailed("setsockopt", "SO_BINDTODEVICE to lo");
  }
}

/** Whether `::1` can be bound there: false when IPv6 is off by sysctl, absent from the kernel, or `lo` is down. */
export function ipv6Usable(netnsFd?: number): boolean {
  return inOptionalNetns(netnsFd, canBindLoopbackV6);
}

function canBindLoopbackV6(): boolean {
  const fd = libc().socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const address = encodeSockaddr({ ip: LOOPBACK_V6, port: 0 });
  const bound = libc().bind(fd, address, address.length) === 0;
  closeDescriptor(fd);
  return bound;
}

export function boundPort(fd: number): number {
  const address = Buffer.alloc(SOCKADDR_STORAGE_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(address.length);
  if (libc().getsockname(fd, address, length) < 0) throw callFailed("getsockname", `of descriptor ${fd}`);
  const decoded = decodeSockaddr(address);
  return decoded.ok ? decoded.value.port : 0;
}

export function duplicate(fd: number): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, "int", 3);
  if (copy < 0) throw callFailed("fcntl(F_DUPFD_CLOEXEC)", `of descriptor ${fd}`);
  return copy;
}

/** A new socket given to `configure`, closed again if that throws. */
function buildSocket(family: number, type: number, configure: (fd: number) => void): number {
  const fd = libc().socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw callFailed("socket", `of family ${family}`);
  try {
    configure(fd);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function configureListener(fd: number, options: ListenerOptions): void {
  const family = familyOf(options);
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (options.mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, options.mark);
  if (options.transparent) setTransparent(fd, family);
  if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, options.ip === undefined ? 0 : 1);
  bindTo(fd, addressOf(options, family), options.port);
}

/** Called with the thread already in the right namespace, as it asks whether IPv6 works there. */
function familyOf({ ip }: ListenerOptions): number {
  if (ip !== undefined) return isIpv4(ip) ? AF_INET : AF_INET6;
  return canBindLoopbackV6() ? AF_INET6 : AF_INET;
}

function addressOf(options: ListenerOptions, family: number): IpAddress {
  return options.ip ?? (family === AF_INET ? WILDCARD_V4 : WILDCARD_V6);
}

function bindTo(fd: number, ip: IpAddress, port: number): void {
  const address = encodeSockaddr({ ip, port });
  if (libc().bind(fd, address, address.length) < 0) throw callFailed("bind", `to ${formatSocketAddress({ ip, port })}`);
}

function setTransparent(fd: number, family: number): void {
  if (family === AF_INET) setOption(fd, SOL_IP, IP_TRANSPARENT, 1);
  else setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
}

/** One for all calls: they are synchronous, and this is on the path of every connection. */
const optionValue = Buffer.alloc(4);

function setOption(fd: number, level: number, name: number, value: number): void {
  optionValue.writeInt32LE(value);
  if (libc().setsockopt(fd, level, name, optionValue, optionValue.length) < 0) {
    throw callFailed("setsockopt", `level ${level} option ${name} to ${value}`);
  }
}

function inOptionalNetns<T>(netnsFd: number | undefined, task: () => T): T {
  return netnsFd === undefined ? task() : inNetns(netnsFd, task);
}

function where({ ip, port }: ListenerOptions): string {
  return ip === undefined ? `port ${port}` : formatSocketAddress({ ip, port });
}
