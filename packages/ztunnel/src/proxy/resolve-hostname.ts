import { lookup } from "node:dns/promises";
import { type IpAddress, parseIp } from "@ambit/shared/net";

/**
 * Addresses of a workload that is known by hostname only (a ServiceEntry with DNS endpoints), by the node's resolver;
 * empty when it does not resolve. Parity: ztunnel resolves in its own namespace, not the pod's.
 */
export async function resolveHostname(hostname: string): Promise<readonly IpAddress[]> {
  try {
    const found = await lookup(hostname, { all: true });
    return found.flatMap(({ address }) => {
      const ip = parseIp(address);
      return ip.ok ? [ip.value] : [];
    });
  } catch {
    return [];
  }
}
