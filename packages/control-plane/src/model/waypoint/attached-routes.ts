/** Which routes are attached to a service port, and for whose requests. Spec: GEP-1294, "Namespace boundaries". */
import { byAge, type KubeObject, namespaceOf, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { hostPatterns, parentKind } from "./object-facts.ts";

/**
 * Namespaces whose routes hold for every client: the service's, and the waypoint's. Routes of any other namespace are
 * consumer routes, for clients of that namespace alone.
 */
export const producersOf = (front: Pick<ServiceFront, "namespace">, gateway: string): ReadonlySet<string> =>
  new Set([front.namespace, gateway.split("/")[0] ?? ""]);

/** Producer routes whose parentRef means this port. */
export const attachedRoutes = (
  reader: FactReader,
  front: ServiceFront,
  port: FrontPort,
  gateway: string,
): readonly KubeObject[] => {
  const producers = producersOf(front, gateway);
  return routesAt(
    reader
      .read(fact.routesOf(front.kind, front.namespace, front.name))
      .filter((route) => producers.has(namespaceOf(route))),
    front,
    port,
  );
};

/** Those of the routes that mean this port. */
export const routesAt = (routes: readonly KubeObject[], front: ServiceFront, port: FrontPort): readonly KubeObject[] =>
  routes.filter((route) => parentRefFor(route, front, port) !== undefined);

/** The first parentRef of a route that means this port of the service. */
export function parentRefFor(route: KubeObject, front: ServiceFront, port: FrontPort) {
  return recordsAt(route.spec, "parentRefs").find((ref) => {
    const isParent =
      parentKind(ref) === front.kind &&
      textAt(ref, "name") === front.name &&
      (textAt(ref, "namespace") || namespaceOf(route)) === front.namespace;
    const section = textAt(ref, "sectionName");
    const byPort = ref["port"] === undefined || ref["port"] === null || ref["port"] === port.port;
    return isParent && byPort && (section === "" || section === port.name);
  });
}

/** VirtualServices for the host, those for its own name before those for wildcards, older before younger. */
export function virtualServicesFor(reader: FactReader, front: ServiceFront, gateway: string): readonly KubeObject[] {
  const producers = producersOf(front, gateway);
  const found = new Map<string, KubeObject>();
  for (const pattern of hostPatterns(front.hostname)) {
    const all = [...reader.read(fact.routesOf("Host", "", pattern))].sort(byAge);
    for (const object of all) {
      const gateways = textsAt(object.spec, "gateways");
      const isMesh = gateways.length === 0 || gateways.includes("mesh");
      const key = `${namespaceOf(object)}/${object.metadata.name}`;
      if (isMesh && producers.has(namespaceOf(object)) && !found.has(key)) found.set(key, object);
    }
  }
  return [...found.values()];
}
