export type { DialOptions, ListenerOptions, Netns, PacketHandler, Platform } from "./api.ts";
export { EEXIST, ENOENT, errnoName } from "./errno.ts";
export { linuxPlatform } from "./linux.ts";
export { portablePlatform } from "./portable.ts";
