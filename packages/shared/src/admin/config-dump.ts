import type { AuthorizationPolicy, PolicyMatch, StringMatch } from "../policy/index.ts";
import type { GatewayAddress, PortMapping, Service, Workload } from "../workload/index.ts";
import { formatDump } from "./dump-values.ts";

/** JSON objects in the shape `istioctl ztunnel-config` reads. Parity: ztunnel config_dump. */
export type DumpObject = Readonly<Record<string, unknown>>;

export function dumpWorkload(workload: Workload): DumpObject {
  const { waypoint, networkGateway, applicationTunnel, services, addresses, ...plain } = workload;
  return formatDump({
    workloadIps: addresses,
    waypoint: waypoint && dumpGateway(waypoint),
    networkGateway: networkGateway && dumpGateway(networkGateway),
    protocol: plain.protocol,
    networkMode: plain.networkMode,
    uid: plain.uid,
    name: plain.name,
    namespace: plain.namespace,
    trustDomain: plain.trustDomain,
    serviceAccount: plain.serviceAccount,
    network: plain.network,
    workloadName: plain.workloadName,
    workloadType: plain.workloadType,
    canonicalName: plain.canonicalName,
    canonicalRevision: plain.canonicalRevision,
    hostname: plain.hostname,
    node: plain.node,
    nativeTunnel: plain.nativeTunnel,
    applicationTunnel,
    authorizationPolicies: plain.authorizationPolicies,
    status: plain.status,
    clusterId: plain.clusterId,
    locality: formatDump({ ...plain.locality }),
    services: Object.keys(services),
    capacity: plain.capacity,
  });
}

/** @param members  the workloads that list the service, with that service's ports on each */
export function dumpService(
  service: Service,
  members: readonly { readonly workload: Workload; readonly ports: readonly PortMapping[] }[],
): DumpObject {
  const endpoints = members.map(({ workload, ports }) => [
    workload.uid,
    { workloadUid: workload.uid, port: dumpPorts(ports), status: workload.status },
  ]);
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map(({ network, address }) => `${network}/${address}`),
    ...formatDump({
      cidrVips: service.cidrVips.map((vip) => ({ network: vip.network, cidr: `${vip.address}/${vip.prefixLength}` })),
    }),
    ports: dumpPorts(service.ports),
    endpoints: Object.fromEntries(endpoints) as Record<string, unknown>,
    ...formatDump({
      subjectAltNames: service.subjectAltNames,
      waypoint: service.waypoint && dumpGateway(service.waypoint),
      weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
        destination: dumpGateway(destination),
        weight,
      })),
      loadBalancer: service.loadBalancing,
      ipFamilies: service.ipFamilies === "Automatic" ? undefined : service.ipFamilies,
    }),
    canonical: service.canonical,
    visibility: service.visibility,
  };
}

export function dumpPolicy(policy: AuthorizationPolicy): DumpObject {
  return {
    name: policy.name,
    namespace: policy.namespace,
    scope: policy.scope,
    action: policy.action,
    rules: policy.rules.map((rule) => rule.map((clause) => clause.map(dumpMatch))),
    dryRun: policy.dryRun,
  };
}

function dumpGateway({ destination, hboneMtlsPort }: GatewayAddress): DumpObject {
  const target =
    destination.kind === "address"
      ? `${destination.network}/${destination.address}`
      : `${destination.namespace}/${destination.hostname}`;
  return { destination: target, hboneMtlsPort };
}

const dumpPorts = (ports: readonly PortMapping[]): Record<string, number> =>
  Object.fromEntries(ports.map(({ servicePort, targetPort }) => [String(servicePort), targetPort]));

function dumpMatch(match: PolicyMatch): DumpObject {
  const strings = (values: readonly StringMatch[] | undefined) => values?.map(dumpStringMatch);
  return formatDump({
    ...match,
    namespaces: strings(match.namespaces),
    notNamespaces: strings(match.notNamespaces),
    principals: strings(match.principals),
    notPrincipals: strings(match.notPrincipals),
  });
}

const MATCH_KEYS = { exact: "Exact", prefix: "Prefix", suffix: "Suffix" } as const;

const dumpStringMatch = (match: StringMatch): DumpObject =>
  match.kind === "presence" ? { Presence: [] } : { [MATCH_KEYS[match.kind]]: match.value };
