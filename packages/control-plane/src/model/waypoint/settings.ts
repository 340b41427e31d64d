/** Access logs, tracing, metrics and path normalisation of a chain, from MeshConfig and Telemetry. */
import { HttpConnectionManager_PathWithEscapedSlashesAction as SlashesAction } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { KubeObject } from "@ambit/shared/kube";
import type { JsonObject } from "@bufbuild/protobuf";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { accessLogs, type FindTarget } from "./access-logs.ts";
import type { HttpSettings, TcpChainInit } from "./filter-chain.ts";
import type { MeshConfigFact } from "./mesh-config.ts";
import { statsConfig } from "./metric-overrides.ts";
import { type PolicySubject, policiesFor } from "./policies/attached.ts";
import { meshConfigOf, providerTarget } from "./policies/guards-of.ts";
import { hidesEnvoyHeaders, managerHeaders } from "./proxy-headers.ts";
import { tracingOf } from "./tracing.ts";

export interface ChainSettings {
  readonly http: HttpSettings;
  readonly tcp: NonNullable<TcpChainInit["settings"]>;
  /** Configuration of `istio.stats`, for TCP; undefined where nothing is overridden. */
  readonly stats?: JsonObject | undefined;
  /** Clusters that spans and logs are sent to. */
  readonly subUnits: readonly string[];
}

export function settingsOf(reader: FactReader, subject: PolicySubject, mesh: MeshSettings): ChainSettings {
  const config = meshConfigOf(reader);
  const telemetries = telemetriesFor(reader, subject, mesh);
  const findTarget = targetFinder(reader, subject.gateway, mesh);
  const logs = accessLogs(config, telemetries, findTarget);
  const stats = statsConfig(telemetries, config);
  const tracing = tracingOf(config, telemetries, serviceName(subject), findTarget);
  return {
    http: {
      manager: {
        ...normalization(config),
        ...managerHeaders(config.proxyHeaders),
        accessLog: [...logs.http],
        ...(tracing.config && { tracing: tracing.config }),
      },
      stats,
      tellsClientIdentity: gatewayOf(reader, subject)?.tellsClientIdentity ?? false,
      hidesEnvoyHeaders: hidesEnvoyHeaders(config.proxyHeaders),
    },
    tcp: { accessLog: [...logs.tcp] },
    stats,
    subUnits: [...new Set([...logs.subUnits, ...tracing.subUnits])].sort(),
  };
}

function gatewayOf(reader: FactReader, { gateway }: PolicySubject) {
  const [namespace = "", name = ""] = gateway.split("/");
  return reader.read(fact.gateway(namespace, name))[0];
}

/** Where a waypoint finds the services of providers. */
export const targetFinder = (reader: FactReader, gateway: string, mesh: MeshSettings): FindTarget => {
  const context = { reader, mesh, gateway, protocol: "http" as const };
  return (settings) => providerTarget(context, settings);
};

/** Most specific first: what is attached, then the waypoint's namespace, then the root namespace. */
function telemetriesFor(reader: FactReader, subject: PolicySubject, mesh: MeshSettings): readonly KubeObject[] {
  const namespace = subject.gateway.split("/")[0] ?? "";
  return [
    ...policiesFor(reader, "Telemetry", subject, mesh),
    ...reader.read(fact.telemetryOf(namespace)),
    ...(namespace === mesh.rootNamespace ? [] : reader.read(fact.telemetryOf(mesh.rootNamespace))),
  ];
}

/** As istio-agent calls a proxy: by its workload and namespace. */
function serviceName({ gateway }: PolicySubject): string {
  const [namespace = "", name = ""] = gateway.split("/");
  return `${name}.${namespace}`;
}

function normalization({ pathNormalization }: MeshConfigFact): HttpSettings["manager"] {
  const decodes = pathNormalization === "DECODE_AND_MERGE_SLASHES";
  return {
    normalizePath: pathNormalization !== "NONE",
    ...((decodes || pathNormalization === "MERGE_SLASHES") && { mergeSlashes: true }),
    ...(decodes && { pathWithEscapedSlashesAction: SlashesAction.UNESCAPE_AND_FORWARD }),
  };
}
