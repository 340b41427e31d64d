import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { type KubeObject, namespaceOf, recordsAt, textAt } from "@ambit/shared/kube";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { vipName } from "./names.ts";
import { parentKind } from "./object-facts.ts";
import { envoyResource } from "./proto.ts";
import type { BackendContext } from "./routes/backends.ts";
import { defaultRoute } from "./routes/default-route.ts";
import { type CompiledRoutes, compileHttpRoutes } from "./routes/http-route.ts";
import { speaksHttp } from "./service-front.ts";

/** The route tables of a service at one waypoint, one a port. @param args  gateway, service */
export function compileRoutes(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const context: BackendContext = { reader, mesh, gateway, protocol: "http" };
  const tables = front.ports
    .filter(({ protocol }) => speaksHttp(protocol))
    .map((port) => ({ port, compiled: routesOfPort(context, front, port) }));
  return {
    resources: tables.map(({ port, compiled }) => {
      const name = vipName(port.port, "http", front.hostname);
      return envoyResource(gateway, RouteConfigurationSchema, name, {
        name,
        validateClusters: false,
        virtualHosts: [{ name: `inbound|http|${port.port}`, domains: ["*"], routes: [...compiled.routes] }],
      });
    }),
    status: NO_STATUS,
    subUnits: [...new Set(tables.flatMap(({ compiled }) => compiled.subUnits))].sort(),
  };
}

/** Routes replace what would happen without them: with any, a request none of them matches is answered 404. */
function routesOfPort(context: BackendContext, front: ServiceFront, port: FrontPort): CompiledRoutes {
  const attached = attachedRoutes(context.reader, front, port, context.gateway);
  // Of the kinds that may be attached to one port, the most specific alone counts.
  const grpc = attached.filter(({ kind }) => kind === "GRPCRoute");
  const http = grpc.length > 0 ? grpc : attached.filter(({ kind }) => kind === "HTTPRoute");
  if (http.length > 0) return compileHttpRoutes(context, front, port.port, http);
  const own = vipName(port.port, "http", front.hostname);
  return { routes: [defaultRoute(own, `${front.hostname}:${port.port}/*`)], subUnits: [] };
}

/** Routes of the service's own namespace or the waypoint's, whose parentRef means this port. */
export function attachedRoutes(
  reader: FactReader,
  front: ServiceFront,
  port: FrontPort,
  gateway: string,
): readonly KubeObject[] {
  const producers = new Set([front.namespace, gateway.split("/")[0]]);
  return reader
    .read(fact.routesOf(front.kind, front.namespace, front.name))
    .filter((route) => producers.has(namespaceOf(route)) && namesPort(route, front, port));
}

function namesPort(route: KubeObject, front: ServiceFront, port: FrontPort): boolean {
  return recordsAt(route.spec, "parentRefs").some((ref) => {
    const isParent =
      parentKind(ref) === front.kind &&
      textAt(ref, "name") === front.name &&
      (textAt(ref, "namespace") || namespaceOf(route)) === front.namespace;
    const section = textAt(ref, "sectionName");
    const byPort = ref["port"] === undefined || ref["port"] === null || ref["port"] === port.port;
    return isParent && byPort && (section === "" || section === port.name);
  });
}
