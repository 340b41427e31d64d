/** Resolves waypoint and gateway references. Pure. A reference that does not resolve is a refusal, never a detour. */
import { ErrorCode } from "@ambit/shared/errors";
import { formatSocketAddress, type IpAddress } from "@ambit/shared/net";
import type { GatewayAddress, Service, Workload } from "@ambit/shared/workload";
import { chooseAddress, type ResolvedHostnames } from "./choose-address.ts";
import type { MeshView } from "./mesh-view.ts";
import { type Refusal, refuse } from "./refusal.ts";
import { type Balancing, selectUpstreams, type Upstream } from "./select-upstream.ts";

/** A waypoint that can be dialled. */
export interface WaypointHop {
  readonly kind: "waypoint";
  readonly workload: Workload;
  readonly service?: Service;
  readonly ip: IpAddress;
  readonly port: number;
}

export interface WaypointQuery {
  readonly reference: GatewayAddress;
  /** Whose waypoint it is, for the message: `service shop/cart...`. */
  readonly of: string;
  /** Decides the address family when the reference is a hostname. */
  readonly dialled: IpAddress;
  readonly resolved: ResolvedHostnames;
  readonly balancing: Balancing;
}

/** The single waypoint, or one of the weighted ones drawn by weight. */
export function waypointReference(service: Service, random: () => number): GatewayAddress | undefined {
  const weighted = service.weightedWaypoints.filter((entry) => entry.weight > 0);
  let point = random() * weighted.reduce((sum, entry) => sum + entry.weight, 0);
  for (const entry of weighted) {
    point -= entry.weight;
    if (point < 0) return entry.destination;
  }
  return service.waypoint;
}

/** Spec: Istio waypoint attachment. Parity: ztunnel src/state.rs, fetch_waypoint (address or hostname form). */
export function findWaypoint(view: MeshView, query: WaypointQuery): WaypointHop | Refusal {
  const found = resolveReference(view, query);
  if (found.kind === "refuse") return unavailable(query, found.message);
  const { workload, port, service } = found.upstream;
  const preferred =
    query.reference.destination.kind === "address" ? query.reference.destination.address : query.dialled;
  const choice = chooseAddress(workload, preferred, service?.ipFamilies ?? "Automatic", query.resolved);
  if (choice.kind !== "address") return unavailable(query, `workload ${workload.uid} has no usable address`);
  const hop = { kind: "waypoint", workload, ip: choice.ip, port } as const;
  return service === undefined ? hop : { ...hop, service };
}

type Resolved = { readonly kind: "found"; readonly upstream: Upstream } | Refusal;

function resolveReference(view: MeshView, query: WaypointQuery): Resolved {
  const { destination, hboneMtlsPort: port } = query.reference;
  if (destination.kind === "address") {
    const { network, address } = destination;
    const found = view.findAddress(network, address, query.balancing.source.namespace);
    if (found?.kind === "workload") return { kind: "found", upstream: { workload: found.workload, port } };
    if (found?.kind === "service") return pickOne(view, found.service, query);
    return refuse(ErrorCode.WAYPOINT_UNAVAILABLE, "no workload or service has that address");
  }
  const service = view.findServiceByKey(`${destination.namespace}/${destination.hostname}`);
  if (service !== undefined) return pickOne(view, service, query);
  const workload = view.findWorkloadByHostname(destination.namespace, destination.hostname);
  if (workload !== undefined) return { kind: "found", upstream: { workload, port } };
  return refuse(ErrorCode.WAYPOINT_UNAVAILABLE, "no service or workload has that name");
}

function pickOne(view: MeshView, service: Service, query: WaypointQuery): Resolved {
  const target = { service, port: query.reference.hboneMtlsPort, resolution: "waypoint" } as const;
  const selection = selectUpstreams(view, target, query.balancing);
  if (selection.kind === "refuse") return selection;
  if (selection.kind === "passthrough") return refuse(ErrorCode.WAYPOINT_UNAVAILABLE, "it selects no endpoint itself");
  return { kind: "found", upstream: selection.upstreams[0]! };
}

function unavailable(query: WaypointQuery, why: string): Refusal {
  const message = `waypoint ${formatGateway(query.reference)} of ${query.of} is unavailable: ${why}`;
  return refuse(ErrorCode.WAYPOINT_UNAVAILABLE, message);
}

export function formatGateway(gateway: GatewayAddress): string {
  const { destination, hboneMtlsPort: port } = gateway;
  if (destination.kind === "hostname") return `${destination.namespace}/${destination.hostname}:${port}`;
  return formatSocketAddress({ ip: destination.address, port });
}
