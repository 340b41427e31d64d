/** Where a pod's network namespace is, and whether what was found can be believed. */
import { join } from "node:path";
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import type { IpAddress } from "@ambit/shared/net";
import type { Netns, Platform } from "@ambit/shared/platform";
import { isPodUid } from "../state/pod-wish.ts";

/** A pod whose namespace is looked for. */
export interface SoughtPod {
  readonly uid: string;
  /** At least one must be on an interface there. */
  readonly ips: readonly IpAddress[];
}

/** What was found; the netns is the caller's to close. The error is NETNS_NOT_FOUND or NETNS_MISMATCH. */
export type LocatedNetns = ReadonlyMap<string, Result<Netns, MeshError>>;

export const netnsMissing = (message: string) => err(new MeshError(ErrorCode.NETNS_NOT_FOUND, message));
export const netnsMismatch = (message: string) => err(new MeshError(ErrorCode.NETNS_MISMATCH, message));

export interface NetnsLocator {
  /** An answer for every pod asked for. Never throws for a pod that cannot be found. */
  locate(pods: readonly SoughtPod[]): Promise<LocatedNetns>;
}

/** Namespaces that belong to no pod: our own and the node's. */
export function hostNetnsIds(platform: Platform, procDir: string): ReadonlySet<string> {
  const ids = new Set<string>();
  const remember = (open: () => Netns): void => {
    const netns = open();
    ids.add(netns.id);
    netns.close();
  };
  remember(() => platform.currentNetns());
  try {
    remember(() => platform.openNetns(join(procDir, "1", "ns", "net")));
  } catch {
    // Not allowed to look at process 1: then our own is all we can know.
  }
  return ids;
}

/**
 * Why this namespace is not the pod's, or undefined. A runtime's helper process runs in the node's namespace, and a
 * process may have entered another pod's: both would make us capture the wrong traffic.
 */
export function whyNotOfPod(
  platform: Platform,
  netns: Netns,
  pod: SoughtPod,
  hostIds: ReadonlySet<string>,
): string | undefined {
  if (hostIds.has(netns.id)) return "it is the node's own network namespace";
  const addresses = platform.interfaceAddresses(netns.fd);
  if (pod.ips.some((ip) => addresses.includes(ip))) return undefined;
  return `it has ${addresses.join(", ") || "no address"}, none of the pod's ${pod.ips.join(", ") || "(none known)"}`;
}

/** `DIR/<pod uid>` is the bind mount of that pod's namespace: what a lab or a CNI plugin writes. */
export function directoryLocator(platform: Platform, directory: string, procDir = "/proc"): NetnsLocator {
  const hostIds = hostNetnsIds(platform, procDir);
  const locateOne = (pod: SoughtPod): Result<Netns, MeshError> => {
    if (!isPodUid(pod.uid)) return netnsMissing("its uid cannot be a file name");
    const path = join(directory, pod.uid);
    let netns: Netns | undefined;
    try {
      netns = platform.openNetns(path);
      const reason = whyNotOfPod(platform, netns, pod, hostIds);
      if (reason === undefined) return ok(netns);
      netns.close();
      return netnsMismatch(`${path} is not this pod's namespace: ${reason}`);
    } catch (error) {
      netns?.close();
      return err(MeshError.from(error, ErrorCode.NETNS_NOT_FOUND));
    }
  };
  return { locate: async (pods) => new Map(pods.map((pod) => [pod.uid, locateOne(pod)])) };
}
