import type { LoadBalancing, RoutingScope } from "@ambit/shared/workload";

const SAME_ZONE: readonly RoutingScope[] = ["Network", "Region", "Zone"];
const SAME_NODE: readonly RoutingScope[] = ["Network", "Region", "Zone", "Subzone", "Node"];

/** `networking.istio.io/traffic-distribution`, on a Service, ServiceEntry or Namespace. */
export const TRAFFIC_DISTRIBUTION = "networking.istio.io/traffic-distribution";

/**
 * @param wishes  traffic distributions by precedence; the first that is set counts, even one that means nothing
 * @returns a fresh object each time, never a shared preset: one service's settings must not leak into another's
 */
export function loadBalancingOf(
  wishes: readonly (string | undefined)[],
  options: { readonly localOnly: boolean; readonly allowUnhealthy: boolean },
): LoadBalancing | undefined {
  const healthPolicy = options.allowUnhealthy ? "AllowAll" : "OnlyHealthy";
  if (options.localOnly) return { mode: "Strict", routingPreferences: ["Node"], healthPolicy };
  const preferences = preferencesOf(wishes.find((wish) => wish !== undefined && wish !== ""));
  if (preferences) return { mode: "Failover", routingPreferences: [...preferences], healthPolicy };
  return options.allowUnhealthy ? { mode: "Standard", routingPreferences: [], healthPolicy } : undefined;
}

function preferencesOf(wish: string | undefined): readonly RoutingScope[] | undefined {
  switch (wish?.toLowerCase()) {
    case "prefersamezone":
    case "preferclose":
      return SAME_ZONE;
    case "prefersamenode":
      return SAME_NODE;
    default:
      return undefined;
  }
}
