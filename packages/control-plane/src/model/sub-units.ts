/** Units that belong to no single object: parts of a waypoint's configuration. */
import type { CompiledObject } from "./compile-object.ts";
import type { FactReader } from "./fact-store.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { compileChains } from "./waypoint/chains-unit.ts";
import { compileClusters } from "./waypoint/clusters-unit.ts";
import { compileEndpoints } from "./waypoint/endpoints-unit.ts";
import { compileGatewayListeners } from "./waypoint/listeners-unit.ts";
import { compileOutbound } from "./waypoint/outbound-unit.ts";
import { compileRequired } from "./waypoint/required-unit.ts";
import { compileRoutes } from "./waypoint/routes-unit.ts";
import { readSubUnit } from "./waypoint/sub-unit-names.ts";

type SubUnitCompiler = (reader: FactReader, mesh: MeshSettings, args: readonly string[]) => CompiledObject;

/** Levels: 0 services and other objects, 1 workloads, routes and policies (which read what services derive), 2 and 3 sub-units. */
export const LEVELS = 4;
/** Workloads, and objects of which only the status is compiled. */
const READERS_OF_SERVICES =
  /^(?:Pod|WorkloadEntry|EndpointSlice|AuthorizationPolicy|RequestAuthentication|Telemetry|HTTPRoute|GRPCRoute|TCPRoute|TLSRoute|VirtualService|DestinationRule)\//;

const COMPILERS: Readonly<Record<string, { readonly level: number; readonly compile: SubUnitCompiler }>> = {
  required: { level: 2, compile: compileRequired },
  chains: { level: 2, compile: compileChains },
  routes: { level: 2, compile: compileRoutes },
  clusters: { level: 2, compile: compileClusters },
  endpoints: { level: 2, compile: compileEndpoints },
  outbound: { level: 3, compile: compileOutbound },
  listeners: { level: 3, compile: compileGatewayListeners },
};

export function levelOf(unit: string): number {
  const { kind } = readSubUnit(unit) ?? {};
  if (kind !== undefined) return COMPILERS[kind]?.level ?? LEVELS - 1;
  return READERS_OF_SERVICES.test(unit) ? 1 : 0;
}

export function compileSubUnit(reader: FactReader, unit: string, mesh: MeshSettings): CompiledObject {
  const { kind = "", args = [] } = readSubUnit(unit) ?? {};
  const compiler = COMPILERS[kind];
  if (!compiler) throw new TypeError(`unknown sub-unit ${unit}`);
  return compiler.compile(reader, mesh, args);
}
