import { ErrorCode, MeshError } from "../errors/index.ts";
import type { Platform } from "./api.ts";
import { linuxPlatform } from "./linux.ts";

/**
 * For explicit capture without privileges: plain sockets in our own namespace. Asking it for a namespace, a mark or a
 * foreign source address is a mistake of the caller, and fails instead of being ignored.
 */
export const portablePlatform: Platform = {
  ...linuxPlatform,
  openNetns: () => refuse("openNetns"),
  createNetns: () => refuse("createNetns"),
  inNetns: () => refuse("inNetns"),
  listenTcp: (options) => linuxPlatform.listenTcp(unprivileged("listenTcp", options)),
  bindUdp: (options) => linuxPlatform.bindUdp(unprivileged("bindUdp", options)),
  dialTcp: (options) => linuxPlatform.dialTcp(unprivileged("dialTcp", options)),
  originalDestination: () => undefined,
  interfaceAddresses: () => refuse("interfaceAddresses"),
  netlinkExchange: () => refuse("netlinkExchange"),
  openPacketSocket: () => refuse("openPacketSocket"),
};

interface Privileges {
  readonly netnsFd?: number;
  readonly mark?: number;
  readonly transparent?: boolean;
}

function unprivileged<T extends Privileges>(call: string, options: T): T {
  if (options.netnsFd !== undefined) refuse(`${call} in a namespace`);
  if (options.mark !== undefined) refuse(`${call} with a mark`);
  if (options.transparent === true) refuse(`${call} with a transparent socket`);
  return options;
}

function refuse(what: string): never {
  throw new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `${what} is not available in explicit capture (AMBIT_CAPTURE)`);
}
