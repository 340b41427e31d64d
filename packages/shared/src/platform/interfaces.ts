import { networkInterfaces } from "node:os";
import { type IpAddress, ipOf } from "../net/index.ts";
import { inNetns } from "./netns.ts";

/** Addresses of all interfaces that are up, loopback left out. Node asks the kernel on the calling thread, hence in the namespace. */
export function interfaceAddresses(netnsFd: number): IpAddress[] {
  const byInterface = inNetns(netnsFd, networkInterfaces);
  return Object.values(byInterface)
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => ipOf(address));
}
