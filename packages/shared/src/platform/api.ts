/** What Node cannot do by itself, as one seam. `linux.ts` does it by FFI; every call is synchronous. Descriptors are CLOEXEC and non-blocking. */
import type { IpAddress, SocketAddress } from "../net/index.ts";
import type { Clock } from "../time/index.ts";

/** An open network namespace. Keeping it open keeps the namespace alive: close it when the pod is gone. */
export interface Netns {
  readonly fd: number;
  /** `dev:inode`: equal exactly when it is the same namespace. */
  readonly id: string;
  close(): void;
}

export interface ListenerOptions {
  /** Where to make the socket; absent = our own namespace. */
  readonly netnsFd?: number;
  /** Absent = wildcard, dual stack where IPv6 is usable there. */
  readonly ip?: IpAddress;
  /** 0 = any free port. */
  readonly port: number;
  readonly reusePort: boolean;
  /** SO_MARK, inherited by accepted sockets. */
  readonly mark?: number;
  /** IP_TRANSPARENT; needs CAP_NET_ADMIN or CAP_NET_RAW. */
  readonly transparent?: boolean;
  readonly backlog?: number;
}

export interface DialOptions {
  readonly netnsFd?: number;
  readonly family: 4 | 6;
  readonly mark?: number;
  /** Bind to this source address (port 0). With `transparent` it may be a foreign one (IP_TRANSPARENT + IP_FREEBIND). */
  readonly bindTo?: IpAddress;
  readonly transparent?: boolean;
  /**
   * SO_BINDTODEVICE to `lo`, for a destination in the same namespace. Ports in TIME_WAIT are then taken again after a
   * second (tcp_tw_reuse = 2, the default): else one client could make 470 connections a second to one port, no more.
   */
  readonly overLoopback?: boolean;
}

export interface Platform {
  /** Throws MeshError NETNS_NOT_FOUND. */
  openNetns(path: string): Netns;
  currentNetns(): Netns;
  /** A new, empty namespace (only `lo`, which is down) that lives as long as it is open. */
  createNetns(): Netns;
  /** Runs `task` with this thread inside the namespace and switches back before returning, whatever happens. Never async. */
  inNetns<T>(netnsFd: number, task: () => T): T;
  /** A bound, listening TCP descriptor for `server.listen({ fd })`. Throws MeshError PLATFORM_CALL_FAILED naming the call and errno. */
  listenTcp(options: ListenerOptions): number;
  /** A bound UDP descriptor for `dgram.Socket.bind({ fd })`. */
  bindUdp(options: ListenerOptions): number;
  /** An unconnected TCP descriptor for `new net.Socket({ fd, manualStart: true }).connect(...)`. */
  dialTcp(options: DialOptions): number;
  /** Where the application meant to go (SO_ORIGINAL_DST, v4 then v6); undefined when the connection was not redirected. */
  originalDestination(fd: number): SocketAddress | undefined;
  /** Addresses of all interfaces in the namespace, loopback left out. */
  interfaceAddresses(netnsFd: number): IpAddress[];
  /** False when IPv6 is off on `lo` there (`disable_ipv6` or no IPv6 at all). */
  ipv6Usable(netnsFd?: number): boolean;
  boundPort(fd: number): number;
  duplicate(fd: number): number;
  close(fd: number): void;
  /** Free heap memory of the C library (TLS records, buffers) goes back to the system; takes milliseconds. */
  returnFreeMemory(): void;
  /** Soft RLIMIT_NOFILE raised to the hard limit; returns the new limit. */
  raiseFileLimit(): number;
  /** Sends netlink requests in the namespace; the kernel's first answer to each, in order. Not for dumps. */
  netlinkExchange(netnsFd: number, protocol: number, requests: readonly Uint8Array[]): Buffer[];
  /** A raw packet socket on an interface there, for `receivePackets`. Throws when there is no such interface. */
  openPacketSocket(netnsFd: number, interfaceName: string): number;
  /** Reads frames until the returned function is called, which reads what is queued and closes the descriptor. */
  receivePackets(fd: number, onPacket: PacketHandler, clock: Clock): () => void;
}

/** `frame` is only valid during the call; `wireLength` is larger when the frame was cut. */
export type PacketHandler = (frame: Buffer, receivedAtMicros: number, wireLength: number) => void;
