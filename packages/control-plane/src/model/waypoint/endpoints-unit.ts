import type { AddressSchema } from "@ambit/envoy-api/envoy/config/core/v3/address";
import { HealthStatus } from "@ambit/envoy-api/envoy/config/core/v3/health_check";
import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import type {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint_components";
import { formatSocketAddress, type IpAddress } from "@ambit/shared/net";
import type { CompiledObject, EnvoyResource } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { vipClusterNames } from "./clusters-unit.ts";
import type { ServiceFront, ServiceMember } from "./derived-facts.ts";
import { membersOf } from "./members.ts";
import { CONNECT_ORIGINATE, ISTIO_METADATA, ORIGINAL_DST_METADATA, SOCKET_MATCH_METADATA } from "./names.ts";
import { envoyResource, type Init } from "./proto.ts";

type EndpointInit = Init<typeof LbEndpointSchema>;
type LocalityInit = Init<typeof LocalityLbEndpointsSchema>;

/** Endpoints as replicas on one node are told them. */
export const endpointScope = (gateway: string, node: string): string => `${gateway}@${node}`;

/** The endpoints of a service at a waypoint, once for each node its replicas run on. @param args  gateway, service */
export function compileEndpoints(reader: FactReader, _mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const resources = front.ports.flatMap((port) =>
    vipClusterNames(front, port).flatMap((cluster) =>
      endpointResources(reader, { gateway, front, port: port.port, cluster, outbound: false }),
    ),
  );
  return { resources, status: NO_STATUS };
}

export interface EndpointsInit {
  readonly gateway: string;
  readonly front: ServiceFront;
  readonly port: number;
  readonly cluster: string;
  /** Outbound clusters tell by the endpoint's metadata how it is reached. */
  readonly outbound: boolean;
}

/** One cluster's endpoints, for each node the waypoint's replicas run on. */
export function endpointResources(reader: FactReader, init: EndpointsInit): readonly EnvoyResource[] {
  const { gateway, front, cluster } = init;
  const members = membersOf(reader.read(fact.members(front.key)));
  const nodes = [...new Set(reader.read(fact.waypointNodes(gateway)))].sort();
  return nodes.map((node) =>
    envoyResource(endpointScope(gateway, node), ClusterLoadAssignmentSchema, cluster, {
      clusterName: cluster,
      endpoints: localities(init, members),
    }),
  );
}

function localities(init: EndpointsInit, members: readonly ServiceMember[]): LocalityInit[] {
  const found = new Map<string, LocalityInit & { lbEndpoints: EndpointInit[] }>();
  for (const member of members) {
    const target = member.ports.find(({ servicePort }) => servicePort === init.port)?.targetPort ?? 0;
    const endpoint = target > 0 ? endpointOf(init, member, target) : undefined;
    if (!endpoint) continue;
    const { region, zone, subzone } = member.locality;
    const key = `${region}/${zone}/${subzone}`;
    const locality = found.get(key) ?? { locality: { region, zone, subZone: subzone }, lbEndpoints: [] };
    locality.lbEndpoints.push(endpoint);
    found.set(key, locality);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, locality]) => locality);
}

function endpointOf({ front, outbound }: EndpointsInit, member: ServiceMember, port: number): EndpointInit | undefined {
  const [ip] = member.addresses;
  if (ip === undefined) return undefined;
  const identity = [member.name, member.namespace, member.canonicalName, member.canonicalRevision, member.clusterId];
  const health = member.healthy || front.includesUnready ? HealthStatus.UNKNOWN : HealthStatus.UNHEALTHY;
  const local = formatSocketAddress({ ip, port });
  return {
    healthStatus: health,
    loadBalancingWeight: member.weight,
    hostIdentifier: {
      case: "endpoint",
      value: { address: { address: member.hbone ? throughTunnel(local) : straight(ip, port) } },
    },
    metadata: {
      filterMetadata: {
        ...(member.hbone && { [ORIGINAL_DST_METADATA]: { local } }),
        ...(member.hbone && outbound && { [SOCKET_MATCH_METADATA]: { tunnel: "http" } }),
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

const straight = (address: IpAddress, port: number): AddressInit => ({
  case: "socketAddress",
  value: { address, portSpecifier: { case: "portValue", value: port } },
});
