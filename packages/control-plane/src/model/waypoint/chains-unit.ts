import { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { recordAt } from "@ambit/shared/kube";
import { create } from "@bufbuild/protobuf";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { attachedRoutes, routesAt, virtualServicesFor } from "./attached-routes.ts";
import { type ConsumerGroup, consumerRoutes } from "./consumer-routes.ts";
import type { ChainFact, FrontPort, ServiceFront } from "./derived-facts.ts";
import { policyOf, ruleFor } from "./destination-rule.ts";
import { dynamicFilter } from "./dynamic-dns.ts";
import { httpChain, type TcpChainInit, tcpChain } from "./filter-chain.ts";
import type { Guards } from "./guards.ts";
import { holdingHttpRoutes, holdingStreamRoute } from "./holding-routes.ts";
import { vipName } from "./names.ts";
import { guardsOf, trustDomainsOf } from "./policies/guards-of.ts";
import { routeRuleFilters } from "./policies/route-rules.ts";
import { duration } from "./proto.ts";
import type { BackendContext } from "./routes/backends.ts";
import { principalPrefixes } from "./routes/by-client.ts";
import { sessionFilters } from "./routes/session-persistence.ts";
import { type StreamTargets, streamTargets } from "./routes/stream-route.ts";
import { speaksHttp, speaksOnlyHttp } from "./service-front.ts";
import { type ChainSettings, settingsOf } from "./settings.ts";
import { ADS } from "./sources.ts";
import { milliseconds } from "./time.ts";

/** The chains of one service at one waypoint, for `main_internal`. @param args  gateway, service */
export function compileChains(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front || front.ports.length === 0) return { resources: [], status: NO_STATUS };
  const needs = guardsOf(reader, { gateway, front }, mesh);
  const settings = settingsOf(reader, { gateway, front }, mesh);
  const context: ChainContext = {
    backends: { reader, mesh, gateway, protocol: "http" },
    front,
    guards: needs.guards,
    settings,
    consumers: consumerRoutes(reader, front, gateway).groups,
  };
  const subUnits = new Set([...needs.subUnits, ...settings.subUnits]);
  const chains = front.ports.map((port): ChainFact => {
    const http = speaksHttp(port.protocol) ? httpOf(context, port) : undefined;
    const tcp = speaksOnlyHttp(port.protocol) ? undefined : tcpOf(context, port, subUnits);
    const inspectsTls = port.protocol === "tls";
    const forConsumers = tcp ? consumersOf(context, port, subUnits) : [];
    return {
      service: front.key,
      port: port.port,
      vips: front.vips,
      inspectsTls,
      ...(http && { http }),
      ...(tcp && { tcp }),
      ...(forConsumers.length > 0 && { consumers: forConsumers }),
    };
  });
  return {
    resources: needs.resources,
    status: NO_STATUS,
    facts: new Map([[fact.chains(gateway), chains]]),
    subUnits: [...subUnits].sort(),
  };
}

interface ChainContext {
  readonly backends: BackendContext;
  readonly front: ServiceFront;
  readonly guards: Guards;
  readonly settings: ChainSettings;
  readonly consumers: readonly ConsumerGroup[];
}

function httpOf({ backends, front, guards, settings, consumers }: ChainContext, port: FrontPort) {
  const { reader, gateway } = backends;
  const sides = [attachedRoutes(reader, front, port, gateway), ...consumers.map(({ routes }) => routes)];
  const held = sides.flatMap((routes) => holdingHttpRoutes(routesAt(routes, front, port), front, port));
  const ofRoutes = routeRuleFilters(reader, held);
  const name = vipName(port.port, "http", front.hostname);
  const chain = httpChain({
    name,
    port: port.port,
    protocol: port.protocol,
    guards: { ...guards, http: { ...guards.http, rules: [...guards.http.rules, ...ofRoutes] } },
    routes: { case: "rds", value: { configSource: ADS, routeConfigName: name } },
    settings: { ...settings.http, dynamicHosts: dynamicFilter(front), sessions: sessionFilters(sides.flat()) },
  });
  return create(FilterChainSchema, chain);
}

function tcpOf(context: ChainContext, port: FrontPort, subUnits: Set<string>) {
  const { backends, front } = context;
  const { reader, gateway } = backends;
  const route = holdingStreamRoute(attachedRoutes(reader, front, port, gateway), front, port);
  const targets = streamTargets({ backends, front, port }, route, virtualServicesFor(reader, front, gateway));
  return streamChain(context, port, targets, subUnits);
}

/** For connections from namespaces that have routes of their own. */
function consumersOf(context: ChainContext, port: FrontPort, subUnits: Set<string>) {
  const { backends, front, consumers } = context;
  const trustDomains = trustDomainsOf(backends.reader, backends.mesh);
  return consumers.flatMap(({ namespace, routes }) => {
    const route = holdingStreamRoute(routesAt(routes, front, port), front, port);
    if (!route) return [];
    const on = { backends, front, port, consumer: { skippedPolicy: undefined } };
    const tcp = streamChain(context, port, streamTargets(on, route, []), subUnits, `~${namespace}`);
    return [{ prefixes: principalPrefixes(namespace, trustDomains), tcp }];
  });
}

function streamChain(
  { backends, front, guards, settings }: ChainContext,
  port: FrontPort,
  targets: StreamTargets,
  subUnits: Set<string>,
  subset = "",
) {
  for (const unit of targets.subUnits) subUnits.add(unit);
  const policy = policyOf(ruleFor(backends, front), port.port);
  const chain = tcpChain({
    name: vipName(port.port, "tcp", front.hostname, subset),
    clusters: targets.clusters,
    guards,
    settings: { ...settings.tcp, ...connectionSettings(policy) },
    stats: settings.stats,
  });
  return create(FilterChainSchema, chain);
}

/** What a DestinationRule says of connections themselves. */
function connectionSettings(policy: Readonly<Record<string, unknown>>): NonNullable<TcpChainInit["settings"]> {
  const tcp = recordAt(recordAt(policy, "connectionPool"), "tcp");
  const [idle, lifetime] = [milliseconds(tcp["idleTimeout"]), milliseconds(tcp["maxConnectionDuration"])];
  const bySource = recordAt(recordAt(policy, "loadBalancer"), "consistentHash")["useSourceIp"] === true;
  return {
    ...(idle !== undefined && { idleTimeout: duration(idle) }),
    ...(lifetime !== undefined && lifetime > 0 && { maxDownstreamConnectionDuration: duration(lifetime) }),
    ...(bySource && { hashPolicy: [{ policySpecifier: { case: "sourceIp", value: {} } }] }),
  };
}
