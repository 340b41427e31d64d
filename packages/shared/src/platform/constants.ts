/** Numbers of the Linux ABI that are the same on x86-64 and arm64. Source: the kernel's uapi headers. */
export const CLONE_NEWNET = 0x4000_0000;
/** `_IO(0xb7, 3)`: which kind of namespace a descriptor is. Source: linux/nsfs.h */
export const NS_GET_NSTYPE = 0xb703;

export const O_CLOEXEC = 0o2000000;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_IPV6 = 41;

export const SO_REUSEADDR = 2;
export const SO_REUSEPORT = 15;
export const SO_RCVBUFFORCE = 33;
export const SO_BINDTODEVICE = 25;
export const SO_MARK = 36;
export const IP_FREEBIND = 15;
export const IP_TRANSPARENT = 19;
export const IP_BIND_ADDRESS_NO_PORT = 24;
export const IPV6_V6ONLY = 26;
export const IPV6_TRANSPARENT = 75;
export const IPV6_FREEBIND = 78;
/** Both families use the same number, at their own level. Source: linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h */
export const SO_ORIGINAL_DST = 80;

export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const F_DUPFD_CLOEXEC = 1030;
export const RLIMIT_NOFILE = 7;
export const ETH_P_ALL = 3;
/** Time of the packet just received, seconds and nanoseconds as two longs. Source: asm-generic/sockios.h */
export const SIOCGSTAMPNS = 0x8907;
