import {
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_LbPolicy,
  ClusterSchema,
} from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import { SecretSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import type { KubeObject } from "@ambit/shared/kube";
import { namespaceOf } from "@ambit/shared/kube";
import type { CompiledObject, EnvoyResource } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { clusterOptions } from "./cluster-options.ts";
import type { FrontPort, PortProtocol, ServiceFront } from "./derived-facts.ts";
import { policyOf, type RuleLookup, ruleFor, subsetsOf } from "./destination-rule.ts";
import { dynamicDiscovery } from "./dynamic-dns.ts";
import { localities } from "./endpoints.ts";
import { membersOf } from "./members.ts";
import { ISTIO_METADATA, outboundName, POD_SUBSET, vipName } from "./names.ts";
import { meshConfigOf } from "./policies/guards-of.ts";
import { envoyResource, filter, type Init } from "./proto.ts";
import { speaksHttp, speaksOnlyHttp } from "./service-front.ts";
import { ADS } from "./sources.ts";
import { internalUpstream } from "./static-clusters.ts";
import { milliseconds } from "./time.ts";
import { credentialsFor, type NamedSecret, upstreamTls } from "./upstream-tls.ts";

type ClusterInit = Init<typeof ClusterSchema>;

/** The clusters of a service at a waypoint that serves it. @param args  gateway, service */
export function compileClusters(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const lookup: RuleLookup = { reader, mesh, gateway };
  const built = front.ports.flatMap((port) => clusterNames(lookup, front, port).flatMap(build(lookup, front, port)));
  return { resources: resourcesOf(gateway, built), status: NO_STATUS };
}

/** Clusters, and the secrets they name, each once. */
export function resourcesOf(gateway: string, built: readonly BuiltCluster[]): readonly EnvoyResource[] {
  const secrets = new Map(built.flatMap(({ secret }) => (secret ? [[secret.name, secret.init] as const] : [])));
  return [
    ...built.map(({ cluster }) => envoyResource(gateway, ClusterSchema, cluster.name as string, cluster)),
    ...[...secrets].map(([name, init]) => envoyResource(gateway, SecretSchema, name, init)),
  ];
}

export interface BuiltCluster {
  readonly cluster: ClusterInit;
  readonly secret: NamedSecret | undefined;
}

/** A cluster of a port, for the whole service or for a subset. */
export interface ClusterName {
  readonly name: string;
  readonly subset: string;
  /** `http/v2`, as the name has it; empty for outbound clusters of a whole service. */
  readonly shown: string;
  readonly protocol: PortProtocol;
  readonly outbound: boolean;
  readonly podsOnly?: boolean;
}

/** One for requests, one for connections; both when it is not known which come; and again for each subset. */
export function clusterNames(lookup: RuleLookup, front: ServiceFront, port: FrontPort): readonly ClusterName[] {
  const subsets = ["", ...subsetsOf(ruleFor(lookup, front)).map(({ name }) => name)];
  const kinds = [
    ...(speaksHttp(port.protocol) ? (["http"] as const) : []),
    ...(speaksOnlyHttp(port.protocol) ? [] : (["tcp"] as const)),
  ];
  return kinds.flatMap((kind) =>
    subsets.map((subset) => ({
      name: vipName(port.port, kind, front.hostname, subset),
      subset,
      shown: subset === "" ? kind : `${kind}/${subset}`,
      protocol: kind === "tcp" ? "tcp" : port.protocol,
      outbound: false,
    })),
  );
}

/** The one cluster of a service's pods. */
export const podClusterNames = (front: ServiceFront, port: FrontPort): readonly ClusterName[] => [
  {
    name: outboundName(port.port, front.hostname, POD_SUBSET),
    subset: "",
    shown: "",
    protocol: port.protocol,
    outbound: true,
    podsOnly: true,
  },
];

export function outboundClusterNames(lookup: RuleLookup, front: ServiceFront, port: FrontPort): readonly ClusterName[] {
  return ["", ...subsetsOf(ruleFor(lookup, front)).map(({ name }) => name)].map((subset) => ({
    name: outboundName(port.port, front.hostname, subset),
    subset,
    shown: subset,
    protocol: port.protocol,
    outbound: true,
  }));
}

/** Nothing for a cluster that could not be reached as its DestinationRule asks. */
export const build =
  (lookup: RuleLookup, front: ServiceFront, port: FrontPort) =>
  (cluster: ClusterName): readonly BuiltCluster[] => {
    const rule = ruleFor(lookup, front);
    const policy = policyOf(rule, port.port, cluster.subset);
    const credentials = credentialsFor(lookup.reader, lookup.gateway, rule && namespaceOf(rule));
    const tls = upstreamTls(policy, front.hostname, cluster.protocol, credentials);
    const isDynamic = front.discovery === "dynamic-dns";
    if (tls.kind === "impossible" || (isDynamic && !speaksHttp(cluster.protocol))) return [];
    const connectMs = milliseconds(meshConfigOf(lookup.reader).connectTimeout);
    const init: ClusterInit = {
      name: cluster.name,
      altStatName: `${cluster.name};`,
      ...clusterOptions(policy, cluster.protocol, connectMs, isDynamic && tls.kind === "tls"),
      ...discovery(lookup, front, port, cluster),
      ...sockets(cluster, tls.kind === "tls" ? tls.socket : undefined),
      metadata: { filterMetadata: { [ISTIO_METADATA]: clusterMetadata(front, cluster, rule) } },
    };
    return [{ cluster: init, secret: tls.kind === "tls" ? tls.secret : undefined }];
  };

function clusterMetadata(front: ServiceFront, { shown, subset }: ClusterName, rule: KubeObject | undefined) {
  const { hostname, name, namespace } = front;
  return {
    services: [{ host: hostname, name, namespace }],
    ...(subset !== "" && { subset: shown }),
    ...(rule && {
      config: `/apis/networking.istio.io/v1/namespaces/${namespaceOf(rule)}/destination-rule/${rule.metadata.name}`,
    }),
  };
}

type RawSocket = ReturnType<typeof filter>;

/** Served services go through the tunnel or in clear, by the endpoint's address; others say it in the endpoint's metadata. */
function sockets(
  { outbound }: ClusterName,
  tls: RawSocket | undefined,
): Pick<ClusterInit, "transportSocket" | "transportSocketMatches"> {
  if (!outbound || tls) return { transportSocket: internalUpstream(tls) };
  return {
    transportSocketMatches: [
      { name: "hbone", match: { tunnel: "http" }, transportSocket: internalUpstream() },
      { name: "tlsMode-disabled", match: {}, transportSocket: filter("raw_buffer", RawBufferSchema) },
    ],
  };
}

function discovery(
  { reader }: RuleLookup,
  front: ServiceFront,
  { port }: FrontPort,
  { name, outbound }: ClusterName,
): ClusterInit {
  switch (front.discovery) {
    case "eds":
      return {
        clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
        edsClusterConfig: { edsConfig: ADS, serviceName: name },
      };
    case "dynamic-dns":
      return dynamicDiscovery(front);
    case "original-destination":
      return {
        clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.ORIGINAL_DST },
        lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
        lbConfig: { case: undefined },
      };
    case "strict-dns":
    case "logical-dns": {
      const logical = front.discovery === "logical-dns";
      const members = membersOf(reader.read(fact.members(front.key)));
      const endpoints = localities({
        front,
        port,
        members: logical ? members.slice(0, 1) : members,
        outbound,
        named: true,
      });
      const type = logical ? Cluster_DiscoveryType.LOGICAL_DNS : Cluster_DiscoveryType.STRICT_DNS;
      return {
        clusterDiscoveryType: { case: "type", value: type },
        dnsLookupFamily: Cluster_DnsLookupFamily.ALL,
        respectDnsTtl: true,
        loadAssignment: { clusterName: name, endpoints },
      };
    }
    default:
      return front.discovery satisfies never;
  }
}
