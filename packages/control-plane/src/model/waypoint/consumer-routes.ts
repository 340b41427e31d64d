/**
 * Routes of clients' namespaces: each group holds for clients of its own namespace, instead of the producer's routes.
 * Spec: GEP-1294, "Namespace boundaries", "Multiple routes for a Service".
 */
import { byAge, type KubeObject, namespaceOf, recordsAt } from "@ambit/shared/kube";
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
  readonly beyond: ReadonlyMap<KubeObject, "namespace" | "service">;
}

export const isConsumer = (route: KubeObject, front: ServiceFront, gateway: string): boolean =>
  !producersOf(front, gateway).has(namespaceOf(route));

/** All consumer routes of a service at a waypoint, whatever port they mean. */
export function consumerRoutes(reader: FactReader, front: ServiceFront, gateway: string): ConsumerRoutes {
  const routes = reader
    .read(fact.routesOf(front.kind, front.namespace, front.name))
    .filter((route) => isConsumer(route, front, gateway));
  return admitted(routes);
}

/** Older routes first, so that nobody's later ones can push them out. Pure. */
export function admitted(routes: readonly KubeObject[]): ConsumerRoutes {
  const groups = new Map<string, { bytes: number; readonly routes: KubeObject[] }>();
  const beyond = new Map<KubeObject, "namespace" | "service">();
  let total = 0;
  for (const route of routes.toSorted(byAge)) {
    const group = groups.get(namespaceOf(route)) ?? { bytes: 0, routes: [] };
    const bytes = sizeOf(route);
    if (group.bytes + bytes > MAX_NAMESPACE_BYTES) beyond.set(route, "namespace");
    else if (total + bytes > MAX_SERVICE_BYTES) beyond.set(route, "service");
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

/** Each match of a rule becomes a route with all the rest of the rule. */
function sizeOf(route: KubeObject): number {
  const rules = recordsAt(route.spec, "rules").map(({ matches, ...rest }) => {
    const count = Array.isArray(matches) ? Math.max(matches.length, 1) : 1;
    return JSON.stringify(matches ?? "").length + count * JSON.stringify(rest).length;
  });
  return rules.reduce((sum, bytes) => sum + bytes, BYTES_A_ROUTE);
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
