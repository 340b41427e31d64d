/** A DestinationRule's traffic policy as fields of a cluster. Spec: Istio TrafficPolicy. */
import type { CircuitBreakersSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/circuit_breaker";
import { Cluster_LbPolicy, type ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import type { OutlierDetectionSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/outlier_detection";
import { HttpProtocolOptionsSchema } from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { isRecord, recordAt, textAt } from "@ambit/shared/kube";
import type { PortProtocol } from "./derived-facts.ts";
import { hasOutlierDetection, type TrafficPolicy } from "./destination-rule.ts";
import { percentOf, whole } from "./numbers.ts";
import { duration, type Init, pack } from "./proto.ts";
import { HTTP_OPTIONS } from "./static-clusters.ts";
import { milliseconds } from "./time.ts";

type ClusterInit = Init<typeof ClusterSchema>;
type Fields = Readonly<Record<string, unknown>>;

/** Envoy's own limits are low; Istio has none unless somebody asks. */
const NO_LIMIT = 0xffff_ffff;
const MINIMUM_RING = 1_024n;
const DEFAULT_CONNECT_MS = 10_000;
/** A service port by name: a header value counts as an HTTP protocol of its own. */
const HTTP2: ReadonlySet<PortProtocol> = new Set(["http2", "grpc", "grpc-web"]);

const MAX_TABLE = 5_000_011;

/** Maglev needs a prime table; another size would be refused, so it counts as not given. */
function primeOf(value: unknown): number | undefined {
  const size = count(value);
  if (size === undefined || size < 2 || size > MAX_TABLE) return undefined;
  for (let factor = 2; factor * factor <= size; factor += 1) if (size % factor === 0) return undefined;
  return size;
}

const count = (value: unknown): number | undefined => whole(value, 1, NO_LIMIT);

/** The server must be whom the request names. */
const FOLLOW_HOST = { autoSni: true, autoSanValidation: true };

/** @param followsHost  TLS to whatever host requests name */
export function clusterOptions(
  policy: TrafficPolicy,
  protocol: PortProtocol,
  connectMs = DEFAULT_CONNECT_MS,
  followsHost = false,
): ClusterInit {
  const pool = recordAt(policy, "connectionPool");
  const tcp = recordAt(pool, "tcp");
  const outlier = hasOutlierDetection(policy) ? recordAt(policy, "outlierDetection") : undefined;
  const minHealth = outlier?.["minHealthPercent"];
  const locality = recordAt(recordAt(policy, "loadBalancer"), "localityLbSetting");
  const isWeighted = Array.isArray(locality["distribute"]) && locality["enabled"] !== false;
  const options = { ...httpOptions(pool, protocol), ...(followsHost && { upstreamHttpProtocolOptions: FOLLOW_HOST }) };
  return {
    connectTimeout: duration(milliseconds(tcp["connectTimeout"]) || connectMs),
    ...algorithm(recordAt(policy, "loadBalancer")),
    commonLbConfig: {
      // 0: no panic. To send to endpoints that are known to be down helps nobody.
      healthyPanicThreshold: { value: percentOf(minHealth) ?? 0 },
      ...(isWeighted && { localityConfigSpecifier: { case: "localityWeightedLbConfig", value: {} } }),
    },
    circuitBreakers: circuitBreakers(pool, policy),
    ...(outlier && { outlierDetection: outlierDetection(outlier) }),
    typedExtensionProtocolOptions: { [HTTP_OPTIONS]: pack(HttpProtocolOptionsSchema, options) },
  };
}

function algorithm(loadBalancer: Fields): Pick<ClusterInit, "lbPolicy" | "lbConfig"> {
  const hash = recordAt(loadBalancer, "consistentHash");
  if (Object.keys(hash).length > 0) return hashing(hash);
  const slowStartConfig = slowStart(loadBalancer);
  switch (textAt(loadBalancer, "simple")) {
    case "ROUND_ROBIN":
      return {
        lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
        ...(slowStartConfig && { lbConfig: { case: "roundRobinLbConfig", value: { slowStartConfig } } }),
      };
    case "RANDOM":
      return { lbPolicy: Cluster_LbPolicy.RANDOM };
    default:
      return {
        lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
        ...(slowStartConfig && { lbConfig: { case: "leastRequestLbConfig", value: { slowStartConfig } } }),
      };
  }
}

function hashing(hash: Fields): Pick<ClusterInit, "lbPolicy" | "lbConfig"> {
  if (isRecord(hash["maglev"])) {
    const tableSize = primeOf(hash["maglev"]["tableSize"]);
    return {
      lbPolicy: Cluster_LbPolicy.MAGLEV,
      ...(tableSize !== undefined && { lbConfig: { case: "maglevLbConfig", value: { tableSize: BigInt(tableSize) } } }),
    };
  }
  const asked = count(recordAt(hash, "ringHash")["minimumRingSize"]) ?? count(hash["minimumRingSize"]);
  const minimumRingSize = asked === undefined ? MINIMUM_RING : BigInt(Math.min(asked, 8_388_608));
  return { lbPolicy: Cluster_LbPolicy.RING_HASH, lbConfig: { case: "ringHashLbConfig", value: { minimumRingSize } } };
}

/** New endpoints get their full share only after a while. */
function slowStart(loadBalancer: Fields) {
  const warmup = recordAt(loadBalancer, "warmup");
  const windowMs = milliseconds(warmup["duration"]) ?? milliseconds(loadBalancer["warmupDurationSecs"]);
  if (windowMs === undefined || windowMs === 0) return undefined;
  const { aggression, minimumPercent } = warmup;
  return {
    slowStartWindow: duration(windowMs),
    aggression: {
      defaultValue: typeof aggression === "number" && aggression > 0 ? aggression : 1,
      runtimeKey: "upstream.slow_start.aggression",
    },
    minWeightPercent: { value: percentOf(minimumPercent) ?? 10 },
  };
}

function circuitBreakers(pool: Fields, policy: TrafficPolicy): Init<typeof CircuitBreakersSchema> {
  const [tcp, http] = [recordAt(pool, "tcp"), recordAt(pool, "http")];
  const budget = isRecord(policy["retryBudget"]) ? policy["retryBudget"] : undefined;
  const { percent, minRetryConcurrency } = budget ?? {};
  return {
    thresholds: [
      {
        maxConnections: count(tcp["maxConnections"]) ?? NO_LIMIT,
        maxPendingRequests: count(http["http1MaxPendingRequests"]) ?? NO_LIMIT,
        maxRequests: count(http["http2MaxRequests"]) ?? NO_LIMIT,
        maxRetries: count(http["maxRetries"]) ?? NO_LIMIT,
        ...(budget && {
          retryBudget: {
            budgetPercent: { value: percentOf(percent) ?? 20 },
            minRetryConcurrency: count(minRetryConcurrency) ?? 3,
          },
        }),
      },
    ],
  };
}

/** By failures in a row only, as Istio has it; ejection by statistics is off. */
function outlierDetection(outlier: Fields): Init<typeof OutlierDetectionSchema> {
  const number = (name: string): number | undefined => whole(outlier[name], 0, NO_LIMIT);
  const errors = number("consecutive5xxErrors") ?? number("consecutiveErrors");
  const gateway = number("consecutiveGatewayErrors");
  const local = number("consecutiveLocalOriginFailures");
  const [interval, base] = [milliseconds(outlier["interval"]), milliseconds(outlier["baseEjectionTime"])];
  return {
    enforcingSuccessRate: 0,
    enforcingLocalOriginSuccessRate: 0,
    ...(errors !== undefined && { consecutive5xx: errors, enforcingConsecutive5xx: errors > 0 ? 100 : 0 }),
    ...(gateway !== undefined && {
      consecutiveGatewayFailure: gateway,
      enforcingConsecutiveGatewayFailure: gateway > 0 ? 100 : 0,
    }),
    splitExternalLocalOriginErrors: outlier["splitExternalLocalOriginErrors"] === true,
    ...(local !== undefined && {
      consecutiveLocalOriginFailure: local,
      enforcingConsecutiveLocalOriginFailure: local > 0 ? 100 : 0,
    }),
    ...(interval && { interval: duration(interval) }),
    ...(base && { baseEjectionTime: duration(base) }),
    maxEjectionPercent: whole(outlier["maxEjectionPercent"], 0, 100) ?? 10,
  };
}

/** What is spoken to endpoints: what the port says it is, or what the client speaks when it says nothing. */
function httpOptions(pool: Fields, protocol: PortProtocol): Init<typeof HttpProtocolOptionsSchema> {
  const [tcp, http] = [recordAt(pool, "tcp"), recordAt(pool, "http")];
  const idle = milliseconds(http["idleTimeout"]);
  const lifetime = milliseconds(tcp["maxConnectionDuration"]);
  const requests = count(http["maxRequestsPerConnection"]);
  const streams = count(http["maxConcurrentStreams"]);
  const http2 = streams === undefined ? {} : { maxConcurrentStreams: streams };
  const isHttp2 = HTTP2.has(protocol) || (protocol === "http" && textAt(http, "h2UpgradePolicy") === "UPGRADE");
  const asClient = protocol === "undeclared" || http["useClientProtocol"] === true;
  return {
    commonHttpProtocolOptions: {
      ...(idle !== undefined && { idleTimeout: duration(idle) }),
      ...(lifetime !== undefined && lifetime > 0 && { maxConnectionDuration: duration(lifetime) }),
      ...(requests !== undefined && { maxRequestsPerConnection: requests }),
    },
    upstreamProtocolOptions: asClient
      ? { case: "useDownstreamProtocolConfig", value: { httpProtocolOptions: {}, http2ProtocolOptions: http2 } }
      : {
          case: "explicitHttpConfig",
          value: {
            protocolConfig: isHttp2
              ? { case: "http2ProtocolOptions", value: http2 }
              : { case: "httpProtocolOptions", value: {} },
          },
        },
  };
}
