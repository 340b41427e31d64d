/**
 * Routes of clients' namespaces: each group holds for clients of its own namespace, instead of the producer's routes.
 * Spec: GEP-1294, "Namespace boundaries", "Multiple routes for a Service".
 */
import { byAge, type KubeObject, namespaceOf, type ObjectKey, objectKey, recordsAt } from "@ambit/shared/kube";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import { attachedRoutes, producersOf } from "./attached-routes.ts";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { holdingHttpRoutes } from "./holding-routes.ts";
import { enforcedRoutePolicies } from "./policies/route-rules.ts";
import type { BackendContext } from "./routes/backends.ts";

/**
 * How much one namespace, and all together, may add to the configuration of somebody else's service: bytes, about as
 * many as the proxy is sent.
 */
export const MAX_NAMESPACE_BYTES = 256 * 1024;
export const MAX_SERVICE_BYTES = 4 * 1024 * 1024;
const BYTES_A_ROUTE = 1024;

export interface ConsumerGroup {
  /** Whose clients it is for. */
  readonly namespace: string;
  readonly routes: readonly KubeObject[];
}

export interface ConsumerRoutes {
  /** Sorted by namespace. */
  readonly groups: readonly ConsumerGroup[];
  /** Those left out, because older ones use up what there is. */
  readonly beyond: ReadonlyMap<ObjectKey, Bound>;
}

/** Whose share is used up: that of the route's namespace, or that of all of them. */
export type Bound = "namespace" | "service";

export const isConsumer = (route: KubeObject, front: ServiceFront, gateway: string): boolean =>
  !producersOf(front, gateway).has(namespaceOf(route));

/** All consumer routes of a service at a waypoint, whatever port they mean. */
export function consumerRoutes(reader: FactReader, front: ServiceFront, gateway: string): ConsumerRoutes {
  const routes = reader
    .read(fact.routesOf(front.kind, front.namespace, front.name))
    .filter((route) => isConsumer(route, front, gateway));
  if (routes.length === 0) return NONE;
  // Each of many routes asks for its status: the same question as long as none of them changes.
  const key = `${gateway} ${front.key}`;
  const before = recent.get(key);
  if (before?.routes.length === routes.length && routes.every((route, at) => route === before.routes[at])) {
    return before.admitted;
  }
  const answer = { routes, admitted: admitted(routes) };
  recent.delete(key);
  recent.set(key, answer);
  for (const [oldest] of recent) if (recent.size > MAX_RECENT) recent.delete(oldest);
  return answer.admitted;
}

const NONE: ConsumerRoutes = { groups: [], beyond: new Map() };
const MAX_RECENT = 64;
const recent = new Map<string, { readonly routes: readonly KubeObject[]; readonly admitted: ConsumerRoutes }>();

/** Older routes first, so that nobody's later ones can push them out. */
export function admitted(routes: readonly KubeObject[]): ConsumerRoutes {
  const groups = new Map<string, { bytes: number; readonly routes: KubeObject[] }>();
  const beyond = new Map<ObjectKey, Bound>();
  let total = 0;
  for (const route of routes.toSorted(byAge)) {
    const group = groups.get(namespaceOf(route)) ?? { bytes: 0, routes: [] };
    const bytes = sizeOf(route);
    if (group.bytes + bytes > MAX_NAMESPACE_BYTES) beyond.set(objectKey(route), "namespace");
    else if (total + bytes > MAX_SERVICE_BYTES) beyond.set(objectKey(route), "service");
    else {
      group.bytes += bytes;
      total += bytes;
      group.routes.push(route);
      groups.set(namespaceOf(route), group);
    }
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return { groups: sorted.map(([namespace, group]) => ({ namespace, routes: group.routes })), beyond };
}

const sizes = new WeakMap<KubeObject, number>();

/** Each match of a rule becomes a route with all the rest of the rule. */
function sizeOf(route: KubeObject): number {
  const known = sizes.get(route);
  if (known !== undefined) return known;
  const rules = recordsAt(route.spec, "rules").map(({ matches, ...rest }) => {
    const count = Array.isArray(matches) ? Math.max(matches.length, 1) : 1;
    return JSON.stringify(matches ?? "").length + count * JSON.stringify(rest).length;
  });
  const size = rules.reduce((sum, bytes) => sum + bytes, BYTES_A_ROUTE);
  sizes.set(route, size);
  return size;
}

/**
 * What of the producer's would not be asked if a consumer's route led to the service: policies attached to routes that
 * the consumer's stand in for. Those of the service and the waypoint are asked in any case.
 */
export function skippedPolicy(
  { reader, gateway }: BackendContext,
  front: ServiceFront,
  port: FrontPort,
): string | undefined {
  const routes = holdingHttpRoutes(attachedRoutes(reader, front, port, gateway), front, port);
  const [policy] = enforcedRoutePolicies(reader, routes);
  return policy && `AuthorizationPolicy ${namespaceOf(policy)}/${policy.metadata.name} guards routes of the service`;
}
