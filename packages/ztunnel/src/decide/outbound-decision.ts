/**
 * Stage 2: where one captured outbound connection goes. Pure; safe to call on every accept.
 *
 * Spec: istio architecture/ambient/ztunnel.md, "Outbound".
 * Parity: ztunnel src/proxy/outbound.rs, build_request (the order of the lookups matters).
 * Differs: a tunnel through another network's gateway (double HBONE) is refused; loops to our own pod's listeners are
 * refused for every address of the pod, not only loopback.
 */
import { ErrorCode } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import {
  formatSocketAddress,
  type IpAddress,
  isLoopback,
  LOOP_PORTS,
  Port,
  type SocketAddress,
} from "@ambit/shared/net";
import type { Random } from "@ambit/shared/time";
import { type GatewayAddress, type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import { chooseAddress, type ResolvedHostnames } from "./choose-address.ts";
import { expectedIdentities, identityOf } from "./expected-identities.ts";
import { findWaypoint, type WaypointHop, waypointReference } from "./find-waypoint.ts";
import type { MeshView } from "./mesh-view.ts";
import { type Refusal, refuse } from "./refusal.ts";
import { type Balancing, selectUpstreams, type Upstream } from "./select-upstream.ts";

export interface OutboundInput {
  /** Our network, as configured. */
  readonly network: string;
  /** The pod's own workload. */
  readonly source: Workload;
  /** Address the application connected from. */
  readonly downstreamIp: IpAddress;
  /** Where the application wanted to go. */
  readonly destination: SocketAddress;
  /** Empty at first; holds the answers after a "needs-lookup". */
  readonly resolved: ResolvedHostnames;
  readonly random: Random;
  /** Live connections towards a workload uid. */
  loadOf(workloadUid: string): number;
}

export interface HboneHop {
  readonly kind: "hbone";
  /** The workload dialled: the destination, or its waypoint. */
  readonly workload: Workload;
  readonly nextHop: SocketAddress;
  /** `:authority` of the CONNECT. */
  readonly authority: string;
  readonly expected: readonly SpiffeUri[];
}

export interface PlaintextHop {
  readonly kind: "plaintext";
  readonly workload: Workload;
  readonly nextHop: SocketAddress;
}

export type Hop = HboneHop | PlaintextHop;

export type OutboundDecision =
  /** To a known workload, by tunnel or plainly; `hops` are tried in order and never empty. */
  | { readonly kind: "forward"; readonly hops: readonly Hop[]; readonly service?: Service }
  /** To an address the mesh does not know, or must not balance: exactly as dialled. */
  | { readonly kind: "passthrough"; readonly target: SocketAddress; readonly service?: Service }
  /** Resolve this hostname and ask again with the answer. */
  | { readonly kind: "needs-lookup"; readonly hostname: string }
  | Refusal;

export function decideOutbound(view: MeshView, input: OutboundInput): OutboundDecision {
  const { destination, source } = input;
  if (loops(input)) return refuse(ErrorCode.LOOP_REFUSED, `${formatSocketAddress(destination)} is our own listener`);
  const target = view.findAddress(input.network, destination.ip, source.namespace);
  if (target?.kind === "service") return decideForService(view, input, target.service);
  if (target === undefined) return { kind: "passthrough", target: destination };
  const shadowed = view.findService(input.network, destination.ip, source.namespace);
  if (shadowed !== undefined) return balance(view, input, shadowed);
  const hop = hopTo(view, input, { workload: target.workload, port: destination.port });
  if (hop.kind === "refuse" || hop.kind === "needs-lookup") return hop;
  return { kind: "forward", hops: [hop] };
}

function loops({ destination, source }: OutboundInput): boolean {
  if (!LOOP_PORTS.has(destination.port)) return false;
  return isLoopback(destination.ip) || source.addresses.includes(destination.ip);
}

function balancingOf(input: OutboundInput): Balancing {
  return { source: input.source, random: input.random, loadOf: input.loadOf };
}

function decideForService(view: MeshView, input: OutboundInput, service: Service): OutboundDecision {
  const reference = waypointReference(service, input.random);
  if (reference !== undefined)
    return throughWaypoint(view, input, { reference, of: `service ${serviceKey(service)}`, service });
  return balance(view, input, service);
}

function balance(view: MeshView, input: OutboundInput, service: Service): OutboundDecision {
  const target = { service, port: input.destination.port, resolution: "standard" } as const;
  const selection = selectUpstreams(view, target, balancingOf(input));
  if (selection.kind === "refuse") return selection;
  if (selection.kind === "passthrough") return { kind: "passthrough", target: input.destination, service };
  const hops: Hop[] = [];
  let firstFailure: OutboundDecision | undefined;
  for (const upstream of selection.upstreams) {
    const hop = hopTo(view, input, upstream);
    if (hop.kind === "hbone" || hop.kind === "plaintext") hops.push(hop);
    else firstFailure ??= hop;
  }
  return hops.length > 0 ? { kind: "forward", hops, service } : firstFailure!;
}

function hopTo(view: MeshView, input: OutboundInput, upstream: Upstream): Hop | Refusal | NeedsLookup {
  const { workload, port, service } = upstream;
  if (workload.network !== input.source.network) return gatewayNeeded(workload, input.source);
  if (service === undefined && workload.waypoint !== undefined) {
    const hop = waypointOfWorkload(view, input, workload.waypoint, workload);
    if (hop !== undefined) return hop;
  }
  const choice = chooseAddress(workload, input.destination.ip, service?.ipFamilies ?? "Automatic", input.resolved);
  if (choice.kind === "needs-lookup") return choice;
  if (choice.kind === "none")
    return refuse(ErrorCode.NO_HEALTHY_UPSTREAM, `workload ${workload.uid} has no usable address`);
  const address = { ip: choice.ip, port };
  if (workload.protocol === "TCP") return { kind: "plaintext", workload, nextHop: address };
  return {
    kind: "hbone",
    workload,
    nextHop: { ip: choice.ip, port: Port.HBONE },
    authority: formatSocketAddress(address),
    expected: expectedIdentities(workload, service),
  };
}
type NeedsLookup = { readonly kind: "needs-lookup"; readonly hostname: string };

function gatewayNeeded(workload: Workload, source: Workload): Refusal {
  const message = `workload ${workload.uid} is on network "${workload.network}", we are on "${source.network}", and tunnels through network gateways are not supported`;
  return refuse(ErrorCode.NETWORK_GATEWAY_UNAVAILABLE, message);
}

/** Undefined when we are that waypoint ourselves: it reaches its own workloads directly. */
function waypointOfWorkload(
  view: MeshView,
  input: OutboundInput,
  reference: GatewayAddress,
  workload: Workload,
): Hop | Refusal | undefined {
  const found = findWaypoint(view, waypointQuery(input, reference, `workload ${workload.uid}`));
  if (found.kind === "refuse") return found;
  const self = identityOf(found.workload) === identityOf(input.source);
  if (self && (found.workload.addresses.includes(input.downstreamIp) || found.workload.uid === input.source.uid))
    return undefined;
  return waypointHop(input, found);
}

function throughWaypoint(
  view: MeshView,
  input: OutboundInput,
  { reference, of, service }: { readonly reference: GatewayAddress; readonly of: string; readonly service: Service },
): OutboundDecision {
  const found = findWaypoint(view, waypointQuery(input, reference, of));
  if (found.kind === "refuse") return found;
  const hop = waypointHop(input, found);
  return hop.kind === "refuse" ? hop : { kind: "forward", hops: [hop], service };
}

function waypointQuery(input: OutboundInput, reference: GatewayAddress, of: string) {
  return { reference, of, dialled: input.destination.ip, resolved: input.resolved, balancing: balancingOf(input) };
}

/** The waypoint gets the original destination as the application dialled it. */
function waypointHop(input: OutboundInput, found: WaypointHop): HboneHop | Refusal {
  if (found.workload.network !== input.source.network) return gatewayNeeded(found.workload, input.source);
  return {
    kind: "hbone",
    workload: found.workload,
    nextHop: { ip: found.ip, port: found.port },
    authority: formatSocketAddress(input.destination),
    expected: expectedIdentities(found.workload, found.service),
  };
}
