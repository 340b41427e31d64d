import { err, ok, type Result } from "../errors/result.ts";
import type { IpAddress } from "../net/index.ts";
import type * as proto from "../proto/index.ts";
import {
  cidrOfWire,
  FieldProblem,
  gatewayOfWire,
  inField,
  ipOfWire,
  nameOf,
  portOfWire,
  portsOfWire,
} from "./decode-fields.ts";
import * as tables from "./enum-tables.ts";
import type { LoadBalancing, NetworkAddress, PortMapping, Service, Workload } from "./model.ts";

/** A decoded `istio.workload.Address`. */
export type MeshAddress =
  | { readonly kind: "workload"; readonly workload: Workload }
  | { readonly kind: "service"; readonly service: Service };

/**
 * Reads one resource, applying the documented defaults. The whole resource is refused when any field is
 * malformed or has a value this build does not know: half a workload would be routed or judged wrongly.
 *
 * Parity: ztunnel src/xds.rs, src/state/workload.rs, src/state/service.rs.
 */
export function addressFromProto(address: proto.Address): Result<MeshAddress> {
  try {
    const { case: kind, value } = address.type;
    if (kind === "workload") return ok({ kind, workload: readWorkload(value) });
    if (kind === "service") return ok({ kind, service: readService(value) });
    return err("expected a workload or a service, got neither");
  } catch (error) {
    if (error instanceof FieldProblem) return err(error.message);
    throw error;
  }
}

function readWorkload(workload: proto.Workload): Workload {
  if (workload.uid === "") throw new FieldProblem("uid: expected a uid, got an empty text");
  return {
    ...readTelemetryNames(workload),
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount || "default",
    trustDomain: workload.trustDomain || "cluster.local",
    addresses: workload.addresses.map((bytes, index) => inField(`addresses[${index}]`, () => ipOfWire(bytes))),
    hostname: workload.hostname,
    network: workload.network,
    networkMode: nameOf(tables.NETWORK_MODES, workload.networkMode, "network_mode"),
    protocol: nameOf(tables.PROTOCOLS, workload.tunnelProtocol, "tunnel_protocol"),
    nativeTunnel: workload.nativeTunnel,
    node: workload.node,
    clusterId: workload.clusterId || "Kubernetes",
    status: nameOf(tables.STATUSES, workload.status, "status"),
    locality: {
      region: workload.locality?.region ?? "",
      zone: workload.locality?.zone ?? "",
      subzone: workload.locality?.subzone ?? "",
    },
    capacity: workload.capacity ?? 1,
    authorizationPolicies: workload.authorizationPolicies,
    services: readServicePorts(workload.services),
    ...readGateways(workload),
    ...readApplicationTunnel(workload),
  };
}

function readTelemetryNames(workload: proto.Workload) {
  return {
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    workloadName: workload.workloadName,
    workloadType: nameOf(tables.WORKLOAD_TYPES, workload.workloadType, "workload_type"),
  };
}

function readGateways(workload: proto.Workload): Pick<Workload, "waypoint" | "networkGateway"> {
  const { waypoint, networkGateway } = workload;
  return {
    ...(waypoint && { waypoint: inField("waypoint", () => gatewayOfWire(waypoint)) }),
    ...(networkGateway && { networkGateway: inField("network_gateway", () => gatewayOfWire(networkGateway)) }),
  };
}

function readApplicationTunnel(workload: proto.Workload): Pick<Workload, "applicationTunnel"> {
  const tunnel = workload.applicationTunnel;
  if (!tunnel) return {};
  const protocol = nameOf(tables.TUNNEL_PROTOCOLS, tunnel.protocol, "application_tunnel.protocol");
  const port = inField("application_tunnel.port", () => portOfWire(tunnel.port));
  return { applicationTunnel: port === 0 ? { protocol } : { protocol, port } };
}

function readServicePorts(services: proto.Workload["services"]): Record<string, readonly PortMapping[]> {
  const entries = Object.entries(services).map(([key, list]) => {
    if (!key.includes("/")) throw new FieldProblem(`services: expected a key namespace/hostname, got "${key}"`);
    return [key, inField(`services["${key}"]`, () => portsOfWire(list.ports))] as const;
  });
  return Object.fromEntries(entries);
}

function readService(service: proto.Service): Service {
  if (service.hostname === "") throw new FieldProblem("hostname: expected a hostname, got an empty text");
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    ...readVips(service.addresses),
    ports: inField("ports", () => portsOfWire(service.ports)),
    subjectAltNames: service.subjectAltNames,
    ...readWaypoints(service),
    ...(service.loadBalancing && { loadBalancing: readLoadBalancing(service.loadBalancing) }),
    ipFamilies: nameOf(tables.FAMILIES, service.ipFamilies, "ip_families"),
    canonical: service.canonical,
    // Parity: an unknown visibility is public; hiding a service would break clients that work today.
    visibility: tables.VISIBILITIES.get(service.visibility) ?? "Public",
  };
}

function readWaypoints(service: proto.Service): Pick<Service, "waypoint" | "weightedWaypoints"> {
  const { waypoint } = service;
  return {
    ...(waypoint && { waypoint: inField("waypoint", () => gatewayOfWire(waypoint)) }),
    weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }, index) =>
      inField(`weighted_waypoints[${index}]`, () => {
        if (!destination) throw new FieldProblem("expected a destination, got none");
        return { destination: gatewayOfWire(destination), weight };
      }),
    ),
  };
}

function readVips(addresses: readonly proto.NetworkAddress[]): Pick<Service, "vips" | "cidrVips"> {
  const vips: NetworkAddress[] = [];
  const cidrVips: (NetworkAddress & { prefixLength: number })[] = [];
  for (const [index, { network, address, length }] of addresses.entries()) {
    const vip = inField(`addresses[${index}]`, () => readVip(address, length));
    if (vip.prefixLength === undefined) vips.push({ network, address: vip.address });
    else cidrVips.push({ network, address: vip.address, prefixLength: vip.prefixLength });
  }
  return { vips, cidrVips };
}

/** A prefix of the full length is one address. */
function readVip(bytes: Uint8Array, length: number | undefined): { address: IpAddress; prefixLength?: number } {
  const address = ipOfWire(bytes);
  if (length === undefined) return { address };
  const cidr = cidrOfWire(bytes, length);
  return cidr.prefixLength === cidr.bytes.length * 8 ? { address } : { address, prefixLength: cidr.prefixLength };
}

function readLoadBalancing(balancing: proto.LoadBalancing): LoadBalancing {
  return {
    mode: nameOf(tables.MODES, balancing.mode, "load_balancing.mode"),
    routingPreferences: balancing.routingPreference.map((scope, index) =>
      nameOf(tables.SCOPES, scope, `load_balancing.routing_preference[${index}]`),
    ),
    healthPolicy: nameOf(tables.HEALTH_POLICIES, balancing.healthPolicy, "load_balancing.health_policy"),
  };
}
