/** Endpoints, from EDS or inside a cluster. Spec: envoy.config.endpoint.v3.ClusterLoadAssignment */

import type { Metadata } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { HealthStatus } from "@ambit/envoy-api/envoy/config/core/v3/health_check";
import type { ClusterLoadAssignment } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import type {
  Endpoint as EndpointMessage,
  LbEndpoint,
  LocalityLbEndpoints,
} from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint_components";
import { formatSocketAddress, parseAuthority, parseIp, type SocketAddress } from "@ambit/shared/net";
import type { Endpoint, LocalityEndpoints } from "../balance/model.ts";
import { at, each, InvalidField, must } from "./invalid-field.ts";
import { structAt, textAt } from "./values.ts";

export interface CompiledEndpoints {
  /** By priority, highest first. */
  readonly priorities: readonly (readonly LocalityEndpoints[])[];
  readonly overprovisioningPercent: number;
  /** Names to look up, with their ports; only where the cluster allows them. */
  readonly hostnames: readonly { readonly hostname: string; readonly port: number }[];
  /** All endpoints mean "where the tunnel pointed": `encap`. */
  readonly isOriginal: boolean;
  readonly notes: readonly string[];
}

export const NO_ENDPOINTS: CompiledEndpoints = {
  priorities: [],
  overprovisioningPercent: 140,
  hostnames: [],
  isOriginal: false,
  notes: [],
};

/** Envoy's limit of LocalityLbEndpoints.priority. */
const MAX_PRIORITY = 128;

/** @param allowsNames  whether addresses may be names (STRICT_DNS, LOGICAL_DNS) */
export function compileEndpoints(message: ClusterLoadAssignment, allowsNames: boolean): CompiledEndpoints {
  const priorities: LocalityEndpoints[][] = [];
  const found: Found = { hostnames: [], originals: 0, notes: new Set(), keys: new Set() };
  each("endpoints", message.endpoints, (locality) => {
    const { priority } = locality;
    if (priority > MAX_PRIORITY) throw new InvalidField(`priority: expected at most ${MAX_PRIORITY}, got ${priority}`);
    while (priorities.length <= priority) priorities.push([]);
    priorities[priority]?.push(compileLocality(locality, allowsNames, found));
  });
  return {
    priorities,
    overprovisioningPercent: message.policy?.overprovisioningFactor ?? 140,
    hostnames: found.hostnames,
    isOriginal: found.originals > 0 && found.keys.size === 0,
    notes: [...found.notes],
  };
}

/** What comes up on the way and is not in the localities. */
interface Found {
  readonly hostnames: { readonly hostname: string; readonly port: number }[];
  originals: number;
  readonly notes: Set<string>;
  /** Of the endpoints so far: one that comes again is left out, as Envoy does. */
  readonly keys: Set<string>;
}

function compileLocality(message: LocalityLbEndpoints, allowsNames: boolean, found: Found): LocalityEndpoints {
  const { locality, lbConfig } = message;
  if (lbConfig.case === "ledsClusterLocalityConfig") throw new InvalidField("expected endpoints, got LEDS");
  const listed = lbConfig.case === "loadBalancerEndpoints" ? lbConfig.value.lbEndpoints : message.lbEndpoints;
  return {
    region: locality?.region ?? "",
    zone: locality?.zone ?? "",
    subzone: locality?.subZone ?? "",
    weight: message.loadBalancingWeight ?? 0,
    endpoints: each("lb_endpoints", listed, (endpoint) => compileEndpoint(endpoint, allowsNames, found)).flat(),
  };
}

function compileEndpoint(message: LbEndpoint, allowsNames: boolean, found: Found): readonly Endpoint[] {
  if (message.hostIdentifier.case !== "endpoint") throw new InvalidField("expected an endpoint");
  const target = targetOf(message.hostIdentifier.value, message.metadata, found);
  if (target === undefined) return [];
  if (target.kind === "hostname") {
    if (!allowsNames) throw new InvalidField(`address: expected an IP address, got "${target.hostname.slice(0, 100)}"`);
    found.hostnames.push({ hostname: target.hostname, port: target.port });
    return [];
  }
  const key = formatSocketAddress(target.address);
  if (found.keys.has(key)) return [];
  found.keys.add(key);
  return [
    {
      key,
      address: target.address,
      weight: message.loadBalancingWeight ?? 1,
      health: healthOf(message.healthStatus),
      reach: target.reach,
      workload: textAt(structAt(message.metadata?.filterMetadata["istio"]), "workload") ?? "",
    },
  ];
}

type Target =
  | { readonly kind: "address"; readonly address: SocketAddress; readonly reach: Endpoint["reach"] }
  | { readonly kind: "hostname"; readonly hostname: string; readonly port: number };

function targetOf({ address }: EndpointMessage, metadata: Metadata | undefined, found: Found): Target | undefined {
  const specifier = address?.address;
  switch (specifier?.case) {
    case "envoyInternalAddress": {
      const listener = specifier.value.addressNameSpecifier.value;
      if (listener !== "connect_originate") {
        found.notes.add(`endpoints behind listener "${listener ?? ""}" are left out: other networks are not supported`);
        return undefined;
      }
      return at("metadata", () => tunnelTarget(specifier.value.endpointId, metadata, found));
    }
    case "socketAddress":
      return at("address", () => socketTarget(specifier.value.address, specifier.value.portSpecifier.value));
    default:
      throw new InvalidField(`address: expected a socket or an internal address, got ${specifier?.case ?? "none"}`);
  }
}

/** The target of the tunnel is the endpoint's metadata; its id says the same. Without either it is the original one. */
function tunnelTarget(id: string, metadata: Metadata | undefined, found: Found): Target | undefined {
  const original = structAt(metadata?.filterMetadata["envoy.filters.listener.original_dst"]);
  const local = textAt(original, "local") ?? id;
  if (local === "") {
    found.originals++;
    return undefined;
  }
  const waypoint = textAt(original, "waypoint");
  const reach: Endpoint["reach"] = waypoint ? { kind: "hbone", via: ipAndPort(waypoint) } : { kind: "hbone" };
  return { kind: "address", address: ipAndPort(local), reach };
}

function ipAndPort(text: string): SocketAddress {
  const authority = must(parseAuthority(text));
  if (authority.kind !== "address") throw new InvalidField(`expected ip:port, got "${text.slice(0, 100)}"`);
  return authority.address;
}

function socketTarget(text: string, port: number | string | undefined): Target {
  if (typeof port !== "number" || port < 1 || port > 65535)
    throw new InvalidField(`expected a port of 1 to 65535, got ${port}`);
  const ip = parseIp(text);
  if (ip.ok) return { kind: "address", address: { ip: ip.value, port }, reach: { kind: "plain" } };
  const name = must(parseAuthority(`${text}:${port}`));
  if (name.kind !== "hostname") throw new InvalidField(`expected an address or a name, got "${text.slice(0, 100)}"`);
  return { kind: "hostname", hostname: name.hostname, port };
}

/** Unknown counts as healthy: nobody checks actively, and istiod leaves out what is not ready. */
function healthOf(status: HealthStatus): Endpoint["health"] {
  if (status === HealthStatus.UNKNOWN || status === HealthStatus.HEALTHY) return "healthy";
  return status === HealthStatus.DEGRADED ? "degraded" : "unhealthy";
}
