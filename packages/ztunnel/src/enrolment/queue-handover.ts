import { readFileSync, writeFileSync } from "node:fs";
import type { Platform } from "@ambit/shared/platform";

const MIGRATE_REQUESTS = "/proc/sys/net/ipv4/tcp_migrate_req";

/**
 * Whether connections that wait in a listening socket when it closes move to another one of the same port (SO_REUSEPORT)
 * in that namespace. Without it the kernel resets them: a few at every rolling upgrade, when the old ztunnel gives way to
 * the new one beside it. Best effort: needs Linux 5.14 and a writable /proc/sys.
 *
 * Spec: Linux ip-sysctl, tcp_migrate_req
 * @returns whether the namespace is set as wanted
 */
export function setQueueHandover(platform: Pick<Platform, "inNetns">, netnsFd: number, wanted: boolean): boolean {
  const value = wanted ? "1" : "0";
  try {
    return platform.inNetns(netnsFd, () => {
      if (readFileSync(MIGRATE_REQUESTS, "latin1").trim() !== value) writeFileSync(MIGRATE_REQUESTS, value);
      return true;
    });
  } catch {
    return false;
  }
}
