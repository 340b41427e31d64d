import { FilterChainSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { create } from "@bufbuild/protobuf";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactKey, FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { ChainFact, FrontPort, ServiceFront } from "./derived-facts.ts";
import { httpChain, tcpChain } from "./filter-chain.ts";
import type { Guards } from "./guards.ts";
import { vipName } from "./names.ts";
import { guardsOf } from "./policies/guards-of.ts";
import { speaksHttp, speaksOnlyHttp } from "./service-front.ts";
import { ADS } from "./sources.ts";

/** The chains of one service at one waypoint, for `main_internal`. @param args  gateway, service */
export function compileChains(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const guards = guardsOf(reader, { gateway, front }, mesh);
  const facts = new Map<FactKey<unknown>, unknown>();
  const chains = front.ports.map((port) => chainOf(front, port, guards));
  if (chains.length > 0) facts.set(fact.chains(gateway), chains);
  return { resources: [], status: NO_STATUS, facts };
}

function chainOf(front: ServiceFront, port: FrontPort, guards: Guards): ChainFact {
  const { hostname } = front;
  const http = speaksHttp(port.protocol)
    ? httpChain({
        name: vipName(port.port, "http", hostname),
        port: port.port,
        protocol: port.protocol,
        guards,
        routes: { case: "rds", value: { configSource: ADS, routeConfigName: vipName(port.port, "http", hostname) } },
      })
    : undefined;
  const tcp = speaksOnlyHttp(port.protocol)
    ? undefined
    : tcpChain({
        name: vipName(port.port, "tcp", hostname),
        clusters: [{ name: vipName(port.port, "tcp", hostname), weight: 1 }],
        guards,
      });
  return {
    service: front.key,
    port: port.port,
    vips: front.vips,
    ...(http && { http: create(FilterChainSchema, http) }),
    ...(tcp && { tcp: create(FilterChainSchema, tcp) }),
    inspectsTls: port.protocol === "tls",
  };
}
