/** Clusters without endpoints of their own: they send to where the tunnel pointed. Pure. */
import { formatSocketAddress } from "@ambit/shared/net";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { TunnelDestination } from "../model/route-model.ts";

/** Undefined for other clusters, and where the tunnel named a host. Parity: istiod\'s listener `encap` */
export function originalEndpoint(
  { original, originalReach }: Pick<Cluster, "original" | "originalReach">,
  destination: TunnelDestination,
): Endpoint | undefined {
  if (!original || destination.kind !== "address") return undefined;
  const address = { ip: destination.ip, port: destination.port };
  const reach = { kind: originalReach ?? "plain" } as const;
  return { key: formatSocketAddress(address), address, weight: 1, health: "healthy", reach, workload: "" };
}
