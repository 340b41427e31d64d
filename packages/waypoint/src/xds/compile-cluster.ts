/** Clusters. Spec: envoy.config.cluster.v3.Cluster */
import {
  type Cluster as ClusterMessage,
  Cluster_DiscoveryType as Discovery,
} from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterConfigSchema as DynamicClusterSchema } from "@ambit/envoy-api/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster";
import type { Cluster } from "../balance/model.ts";
import { compileAlgorithm, compileSlowStart } from "./compile-algorithm.ts";
import { type CompiledEndpoints, compileEndpoints, NO_ENDPOINTS } from "./compile-endpoints.ts";
import { compileBreakers, compileOutlierDetection } from "./compile-limits.ts";
import { compileTransport, compileUpstreamHttp, type SecretNames } from "./compile-transport.ts";
import type { CompileContext } from "./context.ts";
import { at, InvalidField } from "./invalid-field.ts";
import { durationOr, structAt, textAt, typeNameOf } from "./values.ts";

/** Clusters that only join Envoy's listeners. `encap` does too, but says where direct chains send to. */
export const INTERNAL_CLUSTERS: ReadonlySet<string> = new Set([
  "main_internal",
  "connect_originate",
  "inner_connect_originate",
  "outer_connect_originate",
  "forward_inner_connect",
]);

export interface ClusterDraft {
  readonly cluster: Cluster;
  /** The EDS resource that has its endpoints; undefined: they are in the cluster. */
  readonly eds: string | undefined;
  readonly secrets: SecretNames;
}

const DEFAULT_CONNECT_MS = 5_000;
/** Envoy's healthy_panic_threshold. */
const DEFAULT_PANIC_PERCENT = 50;

export function compileCluster(message: ClusterMessage, context: CompileContext): ClusterDraft {
  const discovery = discoveryOf(message);
  const isDynamic = message.clusterDiscoveryType.case === "clusterType";
  const byName = discovery === Discovery.STRICT_DNS || discovery === Discovery.LOGICAL_DNS;
  const { loadAssignment } = message;
  const inline = loadAssignment && at("load_assignment", () => compileEndpoints(loadAssignment, byName));
  const endpoints = discovery === Discovery.EDS ? NO_ENDPOINTS : (inline ?? NO_ENDPOINTS);
  for (const note of endpoints.notes) context.note(`cluster "${message.name}": ${note}`);
  noteIgnored(message, context);
  const balancing = message.commonLbConfig;
  const outliers = message.outlierDetection;
  const { transport, secrets } = compileTransport(message);
  const cluster: Cluster = {
    name: message.name,
    service: serviceOf(message),
    algorithm: compileAlgorithm(message),
    priorities: endpoints.priorities,
    overprovisioningPercent: endpoints.overprovisioningPercent,
    panicThresholdPercent: balancing?.healthyPanicThreshold?.value ?? DEFAULT_PANIC_PERCENT,
    localityWeighted: balancing?.localityConfigSpecifier.case === "localityWeightedLbConfig",
    slowStart: compileSlowStart(message),
    outlierDetection: outliers && at("outlier_detection", () => compileOutlierDetection(outliers)),
    circuitBreakers: at("circuit_breakers", () => compileBreakers(message.circuitBreakers)),
    connectTimeoutMs: at("connect_timeout", () => durationOr(message.connectTimeout, DEFAULT_CONNECT_MS)),
    http: compileUpstreamHttp(message),
    transport,
    ...(isDynamic && { dynamic: true }),
    original: discovery === Discovery.ORIGINAL_DST || endpoints.isOriginal,
    ...(endpoints.isOriginal ? { originalReach: "hbone" as const } : {}),
    dns:
      byName && endpoints.hostnames.length > 0
        ? { hostnames: endpoints.hostnames, logical: discovery === Discovery.LOGICAL_DNS }
        : undefined,
  };
  const eds = discovery === Discovery.EDS ? message.edsClusterConfig?.serviceName || message.name : undefined;
  return { cluster, eds, secrets };
}

function discoveryOf({ clusterDiscoveryType: discovery }: ClusterMessage): Discovery {
  if (discovery.case === "clusterType") {
    const config = discovery.value.typedConfig;
    if (config && typeNameOf(config) === DynamicClusterSchema.typeName) return Discovery.STATIC;
    throw new InvalidField(`expected a discovery type, got "${discovery.value.name}"`, "cluster_type");
  }
  const type = discovery.value ?? Discovery.STATIC;
  if (!Object.values<number>(Discovery).includes(type))
    throw new InvalidField(`expected a known type, got ${type}`, "type");
  return type;
}

function serviceOf({ metadata }: ClusterMessage): Cluster["service"] {
  const services = structAt(metadata?.filterMetadata["istio"])?.["services"];
  const first: unknown = Array.isArray(services) ? services[0] : undefined;
  const hostname = textAt(first, "host");
  if (hostname === undefined) return undefined;
  return { hostname, name: textAt(first, "name") ?? hostname, namespace: textAt(first, "namespace") ?? "" };
}

function noteIgnored(message: ClusterMessage, context: CompileContext): void {
  const ignored = [
    message.healthChecks.length > 0 && "health_checks",
    message.lbSubsetConfig && "lb_subset_config",
    message.loadBalancingPolicy && "load_balancing_policy",
    message.filters.length > 0 && "filters",
    message.commonLbConfig?.localityConfigSpecifier.case === "zoneAwareLbConfig" && "zone_aware_lb_config",
  ].filter((field) => typeof field === "string");
  if (ignored.length > 0) context.note(`cluster "${message.name}": without effect: ${ignored.join(", ")}`);
}

/** The cluster with the endpoints that EDS sent for it. */
export const withEndpoints = (cluster: Cluster, endpoints: CompiledEndpoints): Cluster => ({
  ...cluster,
  priorities: endpoints.priorities,
  overprovisioningPercent: endpoints.overprovisioningPercent,
});
