import { create } from "@bufbuild/protobuf";
import { ipToBytes } from "../net/index.ts";
import * as proto from "../proto/index.ts";
import * as tables from "./enum-tables.ts";
import type { GatewayAddress, LoadBalancing, PortMapping, Service, Workload } from "./model.ts";

/** The resource `type.googleapis.com/istio.workload.Address` of a workload; its name is the uid. */
export function workloadToProto(workload: Workload): proto.Address {
  const { waypoint, networkGateway, applicationTunnel } = workload;
  const value = create(proto.WorkloadSchema, {
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    trustDomain: workload.trustDomain,
    addresses: workload.addresses.map(ipToBytes),
    hostname: workload.hostname,
    network: workload.network,
    networkMode: tables.numberOf(tables.NETWORK_MODES, workload.networkMode),
    tunnelProtocol: tables.numberOf(tables.PROTOCOLS, workload.protocol),
    nativeTunnel: workload.nativeTunnel,
    node: workload.node,
    clusterId: workload.clusterId,
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    workloadName: workload.workloadName,
    workloadType: tables.numberOf(tables.WORKLOAD_TYPES, workload.workloadType),
    status: tables.numberOf(tables.STATUSES, workload.status),
    locality: create(proto.LocalitySchema, { ...workload.locality }),
    authorizationPolicies: [...workload.authorizationPolicies],
    services: Object.fromEntries(Object.entries(workload.services).map(([key, ports]) => [key, portList(ports)])),
    ...(workload.capacity !== 1 && { capacity: workload.capacity }),
    ...(waypoint && { waypoint: gateway(waypoint) }),
    ...(networkGateway && { networkGateway: gateway(networkGateway) }),
    ...(applicationTunnel && { applicationTunnel: tunnel(applicationTunnel) }),
  });
  return create(proto.AddressSchema, { type: { case: "workload", value } });
}

/** The resource `type.googleapis.com/istio.workload.Address` of a service; its name is `namespace/hostname`. */
export function serviceToProto(service: Service): proto.Address {
  const { waypoint, loadBalancing } = service;
  const value = create(proto.ServiceSchema, {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: addresses(service),
    ports: portList(service.ports).ports,
    subjectAltNames: [...service.subjectAltNames],
    ipFamilies: tables.numberOf(tables.FAMILIES, service.ipFamilies),
    canonical: service.canonical,
    visibility: tables.numberOf(tables.VISIBILITIES, service.visibility),
    weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) =>
      create(proto.WeightedWaypointSchema, { destination: gateway(destination), weight }),
    ),
    ...(waypoint && { waypoint: gateway(waypoint) }),
    ...(loadBalancing && { loadBalancing: balancing(loadBalancing) }),
  });
  return create(proto.AddressSchema, { type: { case: "service", value } });
}

function addresses(service: Service): proto.NetworkAddress[] {
  const exact = service.vips.map(({ network, address }) =>
    create(proto.NetworkAddressSchema, { network, address: ipToBytes(address) }),
  );
  const prefixes = service.cidrVips.map(({ network, address, prefixLength }) =>
    create(proto.NetworkAddressSchema, { network, address: ipToBytes(address), length: prefixLength }),
  );
  return [...exact, ...prefixes];
}

function portList(ports: readonly PortMapping[]) {
  return create(proto.PortListSchema, { ports: ports.map((port) => create(proto.PortSchema, { ...port })) });
}

function tunnel({ protocol, port = 0 }: NonNullable<Workload["applicationTunnel"]>) {
  return create(proto.ApplicationTunnelSchema, { protocol: tables.numberOf(tables.TUNNEL_PROTOCOLS, protocol), port });
}

function balancing(value: LoadBalancing): proto.LoadBalancing {
  return create(proto.LoadBalancingSchema, {
    mode: tables.numberOf(tables.MODES, value.mode),
    routingPreference: value.routingPreferences.map((scope) => tables.numberOf(tables.SCOPES, scope)),
    healthPolicy: tables.numberOf(tables.HEALTH_POLICIES, value.healthPolicy),
  });
}

function gateway({ destination, hboneMtlsPort }: GatewayAddress): proto.GatewayAddress {
  if (destination.kind === "hostname") {
    const { namespace, hostname } = destination;
    const value = create(proto.NamespacedHostnameSchema, { namespace, hostname });
    return create(proto.GatewayAddressSchema, { destination: { case: "hostname", value }, hboneMtlsPort });
  }
  const { network, address } = destination;
  const value = create(proto.NetworkAddressSchema, { network, address: ipToBytes(address) });
  return create(proto.GatewayAddressSchema, { destination: { case: "address", value }, hboneMtlsPort });
}
