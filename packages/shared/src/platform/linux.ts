import type { Platform } from "./api.ts";
import { raiseFileLimit } from "./file-limit.ts";
import { interfaceAddresses } from "./interfaces.ts";
import { closeDescriptor, libc } from "./libc.ts";
import { netlinkExchange } from "./netlink.ts";
import { createNetns, currentNetns, inNetns, openNetns } from "./netns.ts";
import { originalDestination } from "./original-destination.ts";
import { openPacketSocket, receivePackets } from "./packet-capture.ts";
import { bindUdp, boundPort, dialTcp, duplicate, ipv6Usable, listenTcp } from "./sockets.ts";

/** Everything, by calls to the C library. Namespaces, marks and transparent sockets need privileges. */
export const linuxPlatform: Platform = {
  openNetns,
  currentNetns,
  createNetns,
  inNetns,
  listenTcp,
  bindUdp,
  dialTcp,
  originalDestination,
  interfaceAddresses,
  ipv6Usable,
  boundPort,
  duplicate,
  close: closeDescriptor,
  raiseFileLimit,
  returnFreeMemory: () => void libc().malloc_trim?.(0),
  netlinkExchange,
  openPacketSocket,
  receivePackets,
};
