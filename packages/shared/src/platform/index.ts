export type { DialOptions, ListenerOptions, Netns, PacketHandler, Platform } from "./api.ts";
export { linuxPlatform } from "./linux.ts";
export {
  findNetlinkAttribute,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  netlinkAttribute,
  netlinkErrno,
  netlinkErrorName,
  netlinkMessage,
  netlinkNumber,
} from "./netlink-codec.ts";
export { portablePlatform } from "./portable.ts";
