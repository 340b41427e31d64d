/** Endpoints of a cluster: how each is reached, and which are preferred. Spec: envoy.config.endpoint.v3. */
import type { AddressSchema } from "@ambit/envoy-api/envoy/config/core/v3/address";
import { HealthStatus } from "@ambit/envoy-api/envoy/config/core/v3/health_check";
import type {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint_components";
import { formatSocketAddress } from "@ambit/shared/net";
import type { ServiceFront, ServiceMember } from "./derived-facts.ts";
import { type LocalityPlan, NO_PLAN } from "./locality.ts";
import { CONNECT_ORIGINATE, ISTIO_METADATA, ORIGINAL_DST_METADATA, SOCKET_MATCH_METADATA } from "./names.ts";
import type { Init } from "./proto.ts";

type EndpointInit = Init<typeof LbEndpointSchema>;
type LocalityInit = Init<typeof LocalityLbEndpointsSchema>;

export interface EndpointsInit {
  readonly front: ServiceFront;
  readonly port: number;
  readonly members: readonly ServiceMember[];
  /** Outbound clusters tell by the endpoint's metadata how it is reached. */
  readonly outbound: boolean;
  /** Whether endpoints may be DNS names: only where the cluster itself looks them up. */
  readonly named?: boolean;
  readonly plan?: LocalityPlan;
}

/** Sums of weights must stay below 2^32. */
const MAX_WEIGHT = 1_000_000;

/** One group for each locality and priority, in a fixed order, without gaps between the priorities. */
export function localities(init: EndpointsInit): LocalityInit[] {
  const { plan = NO_PLAN } = init;
  const groups = new Map<string, Group>();
  for (const member of init.members) {
    const endpoint = endpointOf(init, member);
    const priority = plan.priorityOf(member);
    if (!endpoint || priority === undefined) continue;
    const { region, zone, subzone } = member.locality;
    const key = `${String(priority).padStart(4, "0")} ${region}/${zone}/${subzone}`;
    const group = groups.get(key) ?? { priority, member, endpoints: [] };
    group.endpoints.push(endpoint);
    groups.set(key, group);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  const ranks = [...new Set(sorted.map(({ priority }) => priority))];
  return sorted.map(({ priority, member, endpoints }) => {
    const weight = plan.weightOf(member);
    return {
      locality: { region: member.locality.region, zone: member.locality.zone, subZone: member.locality.subzone },
      lbEndpoints: endpoints,
      priority: ranks.indexOf(priority),
      ...(weight !== undefined && { loadBalancingWeight: weight }),
    };
  });
}

interface Group {
  readonly priority: number;
  readonly member: ServiceMember;
  readonly endpoints: EndpointInit[];
}

function endpointOf({ front, port, outbound, named }: EndpointsInit, member: ServiceMember): EndpointInit | undefined {
  const target = member.ports.find(({ servicePort }) => servicePort === port)?.targetPort ?? 0;
  const [ip] = member.addresses;
  const host = ip ?? (named ? member.hostname : "");
  if (target <= 0 || host === "" || member.weight <= 0) return undefined;
  const identity = [member.name, member.namespace, member.canonicalName, member.canonicalRevision, member.clusterId];
  const health = member.healthy || front.includesUnready ? HealthStatus.UNKNOWN : HealthStatus.UNHEALTHY;
  const tunnel = member.hbone && ip !== undefined ? formatSocketAddress({ ip, port: target }) : undefined;
  return {
    healthStatus: health,
    loadBalancingWeight: Math.min(member.weight, MAX_WEIGHT),
    hostIdentifier: {
      case: "endpoint",
      value: { address: { address: tunnel === undefined ? straight(host, target) : throughTunnel(tunnel) } },
    },
    metadata: {
      filterMetadata: {
        ...(tunnel !== undefined && { [ORIGINAL_DST_METADATA]: { local: tunnel } }),
        ...(tunnel !== undefined && outbound && { [SOCKET_MATCH_METADATA]: { tunnel: "http" } }),
        [ISTIO_METADATA]: { workload: identity.join(";") },
      },
    },
  };
}

type AddressInit = NonNullable<Init<typeof AddressSchema>["address"]>;

const throughTunnel = (endpointId: string): AddressInit => ({
  case: "envoyInternalAddress",
  value: { addressNameSpecifier: { case: "serverListenerName", value: CONNECT_ORIGINATE }, endpointId },
});

const straight = (address: string, port: number): AddressInit => ({
  case: "socketAddress",
  value: { address, portSpecifier: { case: "portValue", value: port } },
});
