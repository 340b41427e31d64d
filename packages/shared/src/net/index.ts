export { type Cidr, cidrContains, cidrContainsBytes, formatCidr, makeCidr, parseCidr } from "./cidr.ts";
export { CidrMap } from "./cidr-map.ts";
export { type IpAddress, ipFromBytes, ipOf, ipToBytes, isIpv4, isLoopback, parseIp } from "./ip.ts";
export { type IpBits, ipBits } from "./ip-bits.ts";
export { errnoOf, meshErrorOfNode, type SocketRole } from "./node-error.ts";
export { LOOP_PORTS, Port, PROXY_MARK } from "./ports.ts";
export { type Authority, formatSocketAddress, parseAuthority, type SocketAddress } from "./socket-address.ts";
