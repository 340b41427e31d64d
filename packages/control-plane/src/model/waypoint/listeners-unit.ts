import { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import type { CompiledObject, EnvoyResource } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { connectOriginateListener, connectTerminate } from "./connect-listeners.ts";
import { NO_GUARDS } from "./guards.ts";
import { type MainInternalInit, mainInternal } from "./main-internal.ts";
import { CONNECT_ORIGINATE, CONNECT_TERMINATE, MAIN_INTERNAL } from "./names.ts";
import { guardsOf, meshConfigOf, trustDomainsOf } from "./policies/guards-of.ts";
import { envoyResource } from "./proto.ts";
import { settingsOf } from "./settings.ts";
import { staticClusters } from "./static-clusters.ts";
import { milliseconds } from "./time.ts";

const DEFAULT_CONNECT_MS = 10_000;

/** The listeners of one waypoint, and the clusters between them. @param args  gateway */
export function compileGatewayListeners(
  reader: FactReader,
  mesh: MeshSettings,
  args: readonly string[],
): CompiledObject {
  const [gateway = ""] = args;
  const needs = guardsOf(reader, { gateway }, mesh);
  const settings = settingsOf(reader, { gateway }, mesh);
  const resources = alwaysPresent(gateway, {
    trustDomains: trustDomainsOf(reader, mesh),
    connectTimeoutMs: milliseconds(meshConfigOf(reader).connectTimeout) || DEFAULT_CONNECT_MS,
    chains: reader.read(fact.chains(gateway)).flat(),
    workloads: [...new Set(reader.read(fact.attachedWorkloads(gateway)).flat())].sort(),
    guards: needs.guards,
    settings,
  });
  return {
    resources: [...resources, ...needs.resources],
    status: NO_STATUS,
    subUnits: [...new Set([...needs.subUnits, ...settings.subUnits])].sort(),
  };
}

interface AlwaysPresent extends MainInternalInit {
  readonly trustDomains: readonly string[];
  readonly connectTimeoutMs: number;
}

const alwaysPresent = (scope: string, init: AlwaysPresent): readonly EnvoyResource[] => [
  ...staticClusters(scope, init.trustDomains, init.connectTimeoutMs),
  envoyResource(scope, ListenerSchema, CONNECT_TERMINATE, connectTerminate(init.trustDomains)),
  envoyResource(scope, ListenerSchema, MAIN_INTERNAL, mainInternal(init)),
  envoyResource(scope, ListenerSchema, CONNECT_ORIGINATE, connectOriginateListener()),
];

/** What a waypoint is told before its Gateway exists: how to end tunnels, and that it serves nobody. */
export const emptyWaypoint = (scope: string, mesh: MeshSettings): readonly EnvoyResource[] =>
  alwaysPresent(scope, {
    trustDomains: [mesh.trustDomain],
    connectTimeoutMs: DEFAULT_CONNECT_MS,
    chains: [],
    workloads: [],
    guards: NO_GUARDS,
    settings: { http: {}, tcp: {}, subUnits: [] },
  });
