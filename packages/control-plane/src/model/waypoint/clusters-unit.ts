import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { ISTIO_METADATA, vipName } from "./names.ts";
import { duration, envoyResource, type Init } from "./proto.ts";
import { speaksHttp, speaksOnlyHttp } from "./service-front.ts";
import { ADS } from "./sources.ts";
import { internalUpstream } from "./static-clusters.ts";

type ClusterInit = Init<typeof ClusterSchema>;

/** The clusters of a service at a waypoint that serves it. @param args  gateway, service */
export function compileClusters(reader: FactReader, _mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const clusters = front.ports.flatMap((port) => vipClusterNames(front, port).map((name) => vipCluster(front, name)));
  return {
    resources: clusters.map((cluster) => envoyResource(gateway, ClusterSchema, cluster.name as string, cluster)),
    status: NO_STATUS,
  };
}

/** One for requests, one for connections; both when it is not known which come. */
export const vipClusterNames = ({ hostname }: ServiceFront, { port, protocol }: FrontPort): readonly string[] => [
  ...(speaksHttp(protocol) ? [vipName(port, "http", hostname)] : []),
  ...(speaksOnlyHttp(protocol) ? [] : [vipName(port, "tcp", hostname)]),
];

const vipCluster = (front: ServiceFront, name: string): ClusterInit => ({
  ...serviceCluster(front, name),
  transportSocket: internalUpstream(),
});

/** What all clusters of a service port have in common. */
export const serviceCluster = (front: ServiceFront, name: string): ClusterInit => ({
  name,
  altStatName: `${name};`,
  clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
  edsClusterConfig: { edsConfig: ADS, serviceName: name },
  connectTimeout: duration(10_000),
  lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
  commonLbConfig: { healthyPanicThreshold: { value: 0 } },
  metadata: {
    filterMetadata: {
      [ISTIO_METADATA]: { services: [{ host: front.hostname, name: front.name, namespace: front.namespace }] },
    },
  },
});
