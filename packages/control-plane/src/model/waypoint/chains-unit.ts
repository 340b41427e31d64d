import { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { recordAt } from "@ambit/shared/kube";
import { create } from "@bufbuild/protobuf";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { attachedRoutes, virtualServicesFor, winningRoutes } from "./attached-routes.ts";
import type { ChainFact, FrontPort, ServiceFront } from "./derived-facts.ts";
import { policyOf, ruleFor } from "./destination-rule.ts";
import { httpChain, type TcpChainInit, tcpChain } from "./filter-chain.ts";
import type { Guards } from "./guards.ts";
import { vipName } from "./names.ts";
import { guardsOf } from "./policies/guards-of.ts";
import { routeRuleFilters } from "./policies/route-rules.ts";
import { duration } from "./proto.ts";
import type { BackendContext } from "./routes/backends.ts";
import { streamTargets } from "./routes/stream-route.ts";
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
  };
  const subUnits = new Set([...needs.subUnits, ...settings.subUnits]);
  const chains = front.ports.map((port): ChainFact => {
    const http = speaksHttp(port.protocol) ? httpOf(context, port) : undefined;
    const tcp = speaksOnlyHttp(port.protocol) ? undefined : tcpOf(context, port, subUnits);
    const inspectsTls = port.protocol === "tls";
    return {
      service: front.key,
      port: port.port,
      vips: front.vips,
      inspectsTls,
      ...(http && { http }),
      ...(tcp && { tcp }),
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
}

function httpOf({ backends, front, guards, settings }: ChainContext, port: FrontPort) {
  const { reader, gateway } = backends;
  const ofRoutes = routeRuleFilters(reader, winningRoutes(attachedRoutes(reader, front, port, gateway)));
  const name = vipName(port.port, "http", front.hostname);
  const chain = httpChain({
    name,
    port: port.port,
    protocol: port.protocol,
    guards: { ...guards, http: { ...guards.http, rules: [...guards.http.rules, ...ofRoutes] } },
    routes: { case: "rds", value: { configSource: ADS, routeConfigName: name } },
    settings: settings.http,
  });
  return create(FilterChainSchema, chain);
}

function tcpOf({ backends, front, guards, settings }: ChainContext, port: FrontPort, subUnits: Set<string>) {
  const { reader, gateway, mesh } = backends;
    stats: settings.stats,
  const routes = attachedRoutes(reader, front, port, gateway);
  const targets = streamTargets(backends, front, port, routes, virtualServicesFor(reader, front, gateway));
  for (const unit of targets.subUnits) subUnits.add(unit);
  const policy = policyOf(ruleFor({ reader, mesh, gateway }, front), port.port);
  const chain = tcpChain({
    name: vipName(port.port, "tcp", front.hostname),
    clusters: targets.clusters,
    guards,
    settings: { ...settings.tcp, ...connectionSettings(policy) },
  });
  return create(FilterChainSchema, chain);
}

/** What a DestinationRule says of connections themselves. */
function connectionSettings(policy: Readonly<Record<string, unknown>>): NonNullable<TcpChainInit["settings"]> {
    stats: settings.stats,
  const tcp = recordAt(recordAt(policy, "connectionPool"), "tcp");
  const [idle, lifetime] = [milliseconds(tcp["idleTimeout"]), milliseconds(tcp["maxConnectionDuration"])];
  const bySource = recordAt(recordAt(policy, "loadBalancer"), "consistentHash")["useSourceIp"] === true;
  return {
    ...(idle !== undefined && { idleTimeout: duration(idle) }),
    ...(lifetime !== undefined && lifetime > 0 && { maxDownstreamConnectionDuration: duration(lifetime) }),
    ...(bySource && { hashPolicy: [{ policySpecifier: { case: "sourceIp", value: {} } }] }),
  };
}
