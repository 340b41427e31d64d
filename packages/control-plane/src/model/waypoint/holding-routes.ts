/** Of the kinds of route that are attached to one port, the most specific alone holds. Spec: GEP-1294, "Route types". Pure. */
import { byAge, type KubeObject, textsAt } from "@ambit/shared/kube";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { speaksHttp, speaksOnlyHttp } from "./service-front.ts";

/** First wins. */
const PRECEDENCE = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"] as const;
const HTTP_KINDS: ReadonlySet<string> = new Set(["GRPCRoute", "HTTPRoute"]);

export const isHttpKind = ({ kind }: KubeObject): boolean => HTTP_KINDS.has(kind);

/** Why a route cannot hold on a port even if it is the only one; undefined when it can. */
export function misfit(route: KubeObject, front: ServiceFront, port: FrontPort): string | undefined {
  const { port: number, protocol } = port;
  if (isHttpKind(route)) {
    return speaksHttp(protocol) ? undefined : `port ${number} is of protocol ${protocol}, where no requests are seen`;
  }
  if (speaksOnlyHttp(protocol)) return `port ${number} is of protocol ${protocol}, which ${route.kind}s do not route`;
  // A chain knows no server names: a route for this very host means every connection, one for another host none.
  const hostnames = route.kind === "TLSRoute" ? textsAt(route.spec, "hostnames") : [];
  if (hostnames.length === 0 || hostnames.includes(front.hostname)) return undefined;
  return `spec.hostnames do not have ${front.hostname}`;
}

/**
 * The routes that hold on a port: all HTTP routes of the winning kind, but one route of connections, the oldest.
 *
 * @param routes  of one side, producer or consumer, and attached to the port
 */
export function holdingRoutes(
  routes: readonly KubeObject[],
  front: ServiceFront,
  port: FrontPort,
): readonly KubeObject[] {
  for (const kind of PRECEDENCE) {
    const ofKind = routes.filter((route) => route.kind === kind && misfit(route, front, port) === undefined);
    if (ofKind.length > 0) return HTTP_KINDS.has(kind) ? ofKind : ofKind.toSorted(byAge).slice(0, 1);
  }
  return [];
}

export const holdingHttpRoutes = (
  routes: readonly KubeObject[],
  front: ServiceFront,
  port: FrontPort,
): readonly KubeObject[] => holdingRoutes(routes, front, port).filter(isHttpKind);

/** The one that says where connections go. */
export const holdingStreamRoute = (
  routes: readonly KubeObject[],
  front: ServiceFront,
  port: FrontPort,
): KubeObject | undefined => holdingRoutes(routes, front, port).find((route) => !isHttpKind(route));
