import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { recordAt } from "@ambit/shared/kube";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { attachedRoutes, routesAt, virtualServicesFor } from "./attached-routes.ts";
import { type ConsumerGroup, consumerRoutes, skippedPolicy } from "./consumer-routes.ts";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { policyOf, ruleFor } from "./destination-rule.ts";
import { hostDomains } from "./dynamic-dns.ts";
import { holdingHttpRoutes } from "./holding-routes.ts";
import { vipName } from "./names.ts";
import { trustDomainsOf } from "./policies/guards-of.ts";
import { envoyResource } from "./proto.ts";
import type { BackendContext } from "./routes/backends.ts";
import { routesByClient } from "./routes/by-client.ts";
import { defaultRoute } from "./routes/default-route.ts";
import { hashPolicies } from "./routes/hash-policies.ts";
import { type CompiledRoutes, compileHttpRoutes } from "./routes/http-route.ts";
import { MAX_BODY_LENGTH } from "./routes/virtual-actions.ts";
import { compileVirtualServices } from "./routes/virtual-service.ts";
import { speaksHttp } from "./service-front.ts";

/** The route tables of a service at one waypoint, one a port. @param args  gateway, service */
export function compileRoutes(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const context: BackendContext = { reader, mesh, gateway, protocol: "http" };
  const { groups } = consumerRoutes(reader, front, gateway);
  const trustDomains = trustDomainsOf(reader, mesh);
  const { domains, ignorePortInHostMatching } = hostDomains(front);
  const tables = front.ports
    .filter(({ protocol }) => speaksHttp(protocol))
    .map((port) => ({
      port,
      producer: routesOfPort(context, front, port),
      consumers: consumersOfPort(context, front, port, groups),
    }));
  return {
    resources: tables.map(({ port, producer, consumers }) => {
      const name = vipName(port.port, "http", front.hostname);
      return envoyResource(gateway, RouteConfigurationSchema, name, {
        name,
        validateClusters: false,
        ignorePortInHostMatching,
        maxDirectResponseBodySizeBytes: 4 * MAX_BODY_LENGTH,
        virtualHosts: [
          {
            name: `inbound|http|${port.port}`,
            domains,
            ...routesByClient(producer.routes, consumers, trustDomains),
          },
        ],
      });
    }),
    status: NO_STATUS,
    subUnits: [
      ...new Set(
        tables.flatMap(({ producer, consumers }) => [
          ...producer.subUnits,
          ...consumers.flatMap(({ compiled }) => compiled.subUnits),
        ]),
      ),
    ].sort(),
  };
}

/** Routes replace what would happen without them: with any, a request that none of them matches is answered 404. */
function routesOfPort(context: BackendContext, front: ServiceFront, port: FrontPort): CompiledRoutes {
  const { reader, gateway } = context;
  const attached = holdingHttpRoutes(attachedRoutes(reader, front, port, gateway), front, port);
  const virtual = virtualServicesFor(reader, front, gateway);
  const parts = [
    ...(attached.length > 0 ? [compileHttpRoutes({ backends: context, front, port }, attached)] : []),
    ...(virtual.some(({ spec }) => Array.isArray(spec?.["http"]))
      ? [compileVirtualServices(context, front, port.port, virtual)]
      : []),
  ];
  if (parts.length === 0) return { routes: [ownRoute(context, front, port)], subUnits: [] };
  return { routes: parts.flatMap(({ routes }) => routes), subUnits: parts.flatMap(({ subUnits }) => subUnits) };
}

/** For each namespace with HTTP routes on the port, what holds for its clients. */
function consumersOfPort(
  context: BackendContext,
  front: ServiceFront,
  port: FrontPort,
  groups: readonly ConsumerGroup[],
): readonly { readonly namespace: string; readonly compiled: CompiledRoutes }[] {
  const held = groups
    .map(({ namespace, routes }) => ({
      namespace,
      routes: holdingHttpRoutes(routesAt(routes, front, port), front, port),
    }))
    .filter(({ routes }) => routes.length > 0);
  if (held.length === 0) return [];
  const consumer = { skippedPolicy: skippedPolicy(context, front, port) };
  return held.map(({ namespace, routes }) => ({
    namespace,
    compiled: compileHttpRoutes({ backends: context, front, port, consumer }, routes),
  }));
}

function ownRoute(context: BackendContext, front: ServiceFront, { port }: FrontPort) {
  const policy = policyOf(ruleFor(context, front), port);
  const hashes = hashPolicies(recordAt(policy, "loadBalancer"));
  return defaultRoute(vipName(port, "http", front.hostname), `${front.hostname}:${port}/*`, hashes);
}
