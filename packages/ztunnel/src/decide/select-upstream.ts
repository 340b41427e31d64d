/**
 * Which workloads of a service a connection may go to, best first. Pure.
 *
 * Parity: ztunnel src/state.rs, load_balance (filters, modes, ranks).
 * Differs: of the best candidates two are drawn by capacity and the one with fewer live connections per capacity
 * wins, where ztunnel draws one; and alternates follow, for a connect that fails before any byte was sent.
 */
import { ErrorCode } from "@ambit/shared/errors";
import type { Random } from "@ambit/shared/time";
import { type Endpoint, type RoutingScope, type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import type { MeshView } from "./mesh-view.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** One workload and the port to reach it on. */
export interface Upstream {
  readonly workload: Workload;
  readonly port: number;
  readonly service?: Service;
}

/** "waypoint": the port need not be declared when the workload has an application tunnel. */
export type Resolution = "standard" | "waypoint";

export interface Balancing {
  /** Our end: its network and place are compared with the candidates'. */
  readonly source: Workload;
  readonly random: Random;
  /** Live connections this worker has towards a workload uid. */
  loadOf(workloadUid: string): number;
}

export type Selection =
  /** At least one; the first is the pick. */
  { readonly kind: "upstreams"; readonly upstreams: readonly Upstream[] } | { readonly kind: "passthrough" } | Refusal;

/** One pick and as many others to try when it cannot be reached. */
const MAX_UPSTREAMS = 3;

export function selectUpstreams(
  view: MeshView,
  target: { readonly service: Service; readonly port: number; readonly resolution: Resolution },
  balancing: Balancing,
): Selection {
  const { service, port, resolution } = target;
  if (service.loadBalancing?.mode === "Passthrough") return { kind: "passthrough" };
  const declared = service.ports.find((mapping) => mapping.servicePort === port);
  if (declared === undefined && resolution === "standard") {
    return refuse(ErrorCode.SERVICE_PORT_UNDECLARED, `service ${serviceKey(service)} declares no port ${port}`);
  }
  const candidates: Upstream[] = [];
  for (const endpoint of view.endpointsOf(serviceKey(service))) {
    const targetPort = targetPortOf(endpoint, port, declared?.targetPort);
    if (targetPort === 0 || !reachable(endpoint.workload, balancing.source)) continue;
    candidates.push({ workload: endpoint.workload, port: targetPort, service });
  }
  const ranked = rank(ownNetworkFirst(candidates, balancing.source), service, balancing.source);
  const upstreams = drawAll(ranked, balancing);
  if (upstreams.length > 0) return { kind: "upstreams", upstreams };
  const why = candidates.length === 0 ? "has no usable endpoint" : "has no endpoint that its load balancing admits";
  return refuse(ErrorCode.NO_HEALTHY_UPSTREAM, `service ${serviceKey(service)} ${why} for port ${port}`);
}

/** The endpoint's own mapping, else the service's, else the port itself where an application tunnel takes any; 0 = unusable. */
function targetPortOf(endpoint: Endpoint, port: number, declaredTarget: number | undefined): number {
  const own = endpoint.ports.find((mapping) => mapping.servicePort === port)?.targetPort ?? 0;
  if (own !== 0) return own;
  if (declaredTarget !== undefined && declaredTarget !== 0) return declaredTarget;
  return endpoint.workload.applicationTunnel?.port === undefined ? 0 : port;
}

function reachable(workload: Workload, source: Workload): boolean {
  if (workload.capacity <= 0) return false;
  if (workload.addresses.length > 0 || workload.hostname !== "") return true;
  return workload.network !== source.network && workload.networkGateway !== undefined;
}

/** Endpoints behind a network gateway only count when there are no others: we cannot tunnel through gateways. */
function ownNetworkFirst(candidates: readonly Upstream[], source: Workload): readonly Upstream[] {
  const near = candidates.filter(({ workload }) => workload.network === source.network);
  return near.length > 0 ? near : candidates;
}

/** Groups of equal rank, best first. Strict keeps only full matches, failover all, standard makes one group. */
function rank(candidates: readonly Upstream[], service: Service, source: Workload): readonly (readonly Upstream[])[] {
  const balancing = service.loadBalancing;
  if (balancing === undefined || balancing.mode === "Standard") return [candidates];
  const groups = new Map<number, Upstream[]>();
  const preferences = balancing.routingPreferences;
  for (const candidate of candidates) {
    if (balancing.mode === "Strict" && !preferences.every((scope) => sameScope(scope, candidate.workload, source)))
      continue;
    const score = scoreOf(preferences, candidate.workload, source);
    const group = groups.get(score);
    if (group === undefined) groups.set(score, [candidate]);
    else group.push(candidate);
  }
  return [...groups.entries()].sort(([a], [b]) => b - a).map(([, group]) => group);
}

/**
 * One point for every preference matched in order, up to the first mismatch. A leading Network preference never stops
 * the walk and a match of it outweighs all others together, so that the own network always comes first.
 */
export function scoreOf(preferences: readonly RoutingScope[], workload: Workload, source: Workload): number {
  const networkFirst = preferences[0] === "Network";
  let score = 0;
  for (const [index, scope] of preferences.entries()) {
    if (sameScope(scope, workload, source)) score += networkFirst && index === 0 ? preferences.length : 1;
    else if (!(networkFirst && index === 0)) break;
  }
  return score;
}

function sameScope(scope: RoutingScope, a: Workload, b: Workload): boolean {
  switch (scope) {
    case "Region":
      return a.locality.region === b.locality.region;
    case "Zone":
      return a.locality.zone === b.locality.zone;
    case "Subzone":
      return a.locality.subzone === b.locality.subzone;
    case "Node":
      return a.node === b.node;
    case "Cluster":
      return a.clusterId === b.clusterId;
    case "Network":
      return a.network === b.network;
  }
}

function drawAll(groups: readonly (readonly Upstream[])[], balancing: Balancing): readonly Upstream[] {
  const drawn: Upstream[] = [];
  for (const group of groups) {
    const left = [...group];
    while (left.length > 0 && drawn.length < MAX_UPSTREAMS) drawn.push(drawOne(left, balancing));
  }
  return drawn;
}

/** Power of two choices; takes the winner out of `left`, which is not empty. */
function drawOne(left: Upstream[], balancing: Balancing): Upstream {
  const first = drawByCapacity(left, balancing.random);
  const second = drawByCapacity(left, balancing.random);
  const pressure = (index: number): number => {
    const workload = left[index]!.workload;
    return (balancing.loadOf(workload.uid) + 1) / workload.capacity;
  };
  const winner = pressure(second) < pressure(first) ? second : first;
  const [picked] = left.splice(winner, 1);
  return picked!;
}

function drawByCapacity(candidates: readonly Upstream[], random: Random): number {
  let total = 0;
  for (const candidate of candidates) total += candidate.workload.capacity;
  let point = random() * total;
  for (const [index, candidate] of candidates.entries()) {
    point -= candidate.workload.capacity;
    if (point < 0) return index;
  }
  return candidates.length - 1;
}
