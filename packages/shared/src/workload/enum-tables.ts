import {
  ApplicationTunnel_Protocol,
  IPFamilies,
  LoadBalancing_HealthPolicy,
  LoadBalancing_Mode,
  LoadBalancing_Scope,
  NetworkMode,
  Service_Visibility,
  TunnelProtocol,
  WorkloadStatus,
  WorkloadType,
} from "../proto/index.ts";
import type { LoadBalancing, RoutingScope, Service, Workload } from "./model.ts";

/** The model's name of each wire number. A number that is not here is one this build does not understand. */
type Table<Wire, Name> = ReadonlyMap<Wire, Name>;

/** LEGACY_ISTIO_MTLS is left out on purpose: no node proxy can speak it. */
export const PROTOCOLS: Table<TunnelProtocol, Workload["protocol"]> = new Map([
  [TunnelProtocol.NONE, "TCP"],
  [TunnelProtocol.HBONE, "HBONE"],
]);
export const WORKLOAD_TYPES: Table<WorkloadType, Workload["workloadType"]> = new Map([
  [WorkloadType.DEPLOYMENT, "deployment"],
  [WorkloadType.CRONJOB, "cronjob"],
  [WorkloadType.POD, "pod"],
  [WorkloadType.JOB, "job"],
]);
export const STATUSES: Table<WorkloadStatus, Workload["status"]> = new Map([
  [WorkloadStatus.HEALTHY, "Healthy"],
  [WorkloadStatus.UNHEALTHY, "Unhealthy"],
]);
export const NETWORK_MODES: Table<NetworkMode, Workload["networkMode"]> = new Map([
  [NetworkMode.STANDARD, "Standard"],
  [NetworkMode.HOST_NETWORK, "HostNetwork"],
]);
export const TUNNEL_PROTOCOLS: Table<ApplicationTunnel_Protocol, "NONE" | "PROXY"> = new Map([
  [ApplicationTunnel_Protocol.NONE, "NONE"],
  [ApplicationTunnel_Protocol.PROXY, "PROXY"],
]);
/** UNSPECIFIED_SCOPE is no scope. */
export const SCOPES: Table<LoadBalancing_Scope, RoutingScope> = new Map([
  [LoadBalancing_Scope.REGION, "Region"],
  [LoadBalancing_Scope.ZONE, "Zone"],
  [LoadBalancing_Scope.SUBZONE, "Subzone"],
  [LoadBalancing_Scope.NODE, "Node"],
  [LoadBalancing_Scope.CLUSTER, "Cluster"],
  [LoadBalancing_Scope.NETWORK, "Network"],
]);
export const MODES: Table<LoadBalancing_Mode, LoadBalancing["mode"]> = new Map([
  [LoadBalancing_Mode.UNSPECIFIED_MODE, "Standard"],
  [LoadBalancing_Mode.STRICT, "Strict"],
  [LoadBalancing_Mode.FAILOVER, "Failover"],
  [LoadBalancing_Mode.PASSTHROUGH, "Passthrough"],
]);
export const HEALTH_POLICIES: Table<LoadBalancing_HealthPolicy, LoadBalancing["healthPolicy"]> = new Map([
  [LoadBalancing_HealthPolicy.ONLY_HEALTHY, "OnlyHealthy"],
  [LoadBalancing_HealthPolicy.ALLOW_ALL, "AllowAll"],
]);
export const FAMILIES: Table<IPFamilies, Service["ipFamilies"]> = new Map([
  [IPFamilies.AUTOMATIC, "Automatic"],
  [IPFamilies.IPV4_ONLY, "IPv4"],
  [IPFamilies.IPV6_ONLY, "IPv6"],
  [IPFamilies.DUAL, "Dual"],
]);
export const VISIBILITIES: Table<Service_Visibility, Service["visibility"]> = new Map([
  [Service_Visibility.PUBLIC, "Public"],
  [Service_Visibility.NAMESPACE, "Namespace"],
]);

/** The wire number of a name; every name of the model is in its table. */
export function numberOf<Wire, Name extends string>(table: Table<Wire, Name>, name: Name): Wire {
  for (const [wire, candidate] of table) if (candidate === name) return wire;
  throw new TypeError(`no wire number for "${name}"`);
}
