export { type Cidr, cidrContains, cidrContainsBytes, makeCidr, parseCidr } from "./cidr.ts";
export { type IpAddress, ipFromBytes, ipOf, ipToBytes, isIpv4, isLoopback, parseIp } from "./ip.ts";
export { LOOP_PORTS, Port, PROXY_MARK } from "./ports.ts";
export { type Authority, formatSocketAddress, parseAuthority, type SocketAddress } from "./socket-address.ts";
