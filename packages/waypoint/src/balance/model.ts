/** What the balancer knows of a cluster. Immutable; live state (load, ejections, age) is beside it, by endpoint key. */
import type { SocketAddress } from "@ambit/shared/net";

export interface Cluster {
  /** e.g. `inbound-vip|80|http|cart.shop.svc.cluster.local`. */
  readonly name: string;
  /** From cluster metadata; what telemetry calls the destination service. */
  readonly service: { readonly name: string; readonly namespace: string; readonly hostname: string } | undefined;
  readonly algorithm: Algorithm;
  /** By priority, highest first; each a list of localities. */
  readonly priorities: readonly (readonly LocalityEndpoints[])[];
  /** Percent, Envoy's default 140. */
  readonly overprovisioningPercent: number;
  /** Percent of healthy endpoints of a priority under which all of them are used; 0 = never. */
  readonly panicThresholdPercent: number;
  /** Whether localities are weighted, or just groups. */
  readonly localityWeighted: boolean;
  readonly slowStart: SlowStart | undefined;
  readonly outlierDetection: OutlierDetection | undefined;
  readonly circuitBreakers: CircuitBreakers;
  readonly connectTimeoutMs: number;
  readonly http: UpstreamHttp;
  /** How endpoints without their own say are reached. */
  readonly transport: UpstreamTransport;
  /** Set for clusters that send to exactly what the tunnel named. */
  readonly original: boolean;
  /** How such a cluster reaches it: through the endpoint's own proxy (`encap`), or straight. Undefined = straight. */
  readonly originalReach?: "hbone" | "plain";
  /** Requests name their host themselves, one that the service's wildcard covers. */
  readonly dynamic?: boolean;
  /** Endpoints come from DNS: names to look up again and again. */
  readonly dns:
    | { readonly hostnames: readonly { readonly hostname: string; readonly port: number }[]; readonly logical: boolean }
    | undefined;
}

export interface LocalityEndpoints {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
  /** 0 = never, with `localityWeighted`. */
  readonly weight: number;
  readonly endpoints: readonly Endpoint[];
}

export interface Endpoint {
  /** Stable identity of the endpoint within all clusters: `ip:port`. */
  readonly key: string;
  /** The application's address. */
  readonly address: SocketAddress;
  /** Of whom the address is, where requests choose: connections to one are not of another, and TLS asks for it. */
  readonly hostname?: string;
  readonly weight: number;
  readonly health: "healthy" | "degraded" | "unhealthy";
  /** HBONE: through the endpoint's own proxy on 15008. `via`: through another waypoint. Plain: straight to it. */
  readonly reach: { readonly kind: "hbone"; readonly via?: SocketAddress } | { readonly kind: "plain" };
  /** `name;namespace;canonical name;canonical revision;cluster`, as istiod writes it; empty when unknown. */
  readonly workload: string;
}

export type Algorithm =
  | { readonly kind: "least-request"; readonly choices: number; readonly activeRequestBias: number }
  | { readonly kind: "peak-ewma"; readonly decayMs: number; readonly failurePenaltyMs: number }
  | { readonly kind: "round-robin" }
  | { readonly kind: "random" }
  | { readonly kind: "ring-hash"; readonly minimumRing: number; readonly maximumRing: number }
  | { readonly kind: "maglev"; readonly tableSize: number };

/** Parity: Envoy SlowStartConfig. */
export interface SlowStart {
  readonly windowMs: number;
  readonly aggression: number;
  readonly minimumWeightPercent: number;
}

/** Parity: Envoy OutlierDetection; 0 turns a detector off. */
export interface OutlierDetection {
  readonly consecutive5xx: number;
  readonly consecutiveGatewayErrors: number;
  readonly consecutiveLocalFailures: number;
  readonly splitsLocalErrors: boolean;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maximumEjectionMs: number;
  readonly maximumEjectionPercent: number;
  /** Judged over all endpoints together at the end of each interval. */
  readonly statistics: readonly StatisticalDetector[];
}

/** Needs so many endpoints with so many requests each in the interval; else it says nothing. */
export interface StatisticalDetector {
  /** "local": connections that came about, "answers": what was said on them (and all, unless local errors are split). */
  readonly of: "answers" | "local";
  readonly minimumEndpoints: number;
  readonly minimumRequests: number;
  readonly rule: /** Less than the mean success rate by more than so many standard deviations. */
    | { readonly kind: "success-rate"; readonly deviations: number }
    /** At least so many percent failed. */
    | { readonly kind: "failure-percentage"; readonly thresholdPercent: number };
}

/** Undefined = without limit. */
export interface CircuitBreakers {
  readonly maximumConnections: number | undefined;
  readonly maximumPendingRequests: number | undefined;
  readonly maximumRequests: number | undefined;
  readonly maximumRetries: number | undefined;
  readonly retryBudget: RetryBudgetConfig | undefined;
}

/** Retries over all requests in a window. */
export interface RetryBudgetConfig {
  readonly percent: number;
  /** Window in milliseconds. */
  readonly intervalMs: number;
  /** So many retries a second are always allowed. */
  readonly minimumPerSecond: number;
}

export interface UpstreamHttp {
  readonly protocol: "http1" | "http2" | "as-downstream";
  /** 0 = none. */
  readonly idleTimeoutMs: number;
  /** 0 = without limit. */
  readonly maximumRequestsPerConnection: number;
}

export type UpstreamTransport =
  | { readonly kind: "raw" }
  | {
      readonly kind: "tls";
      readonly sni: string;
      /** Exact names, or with a leading "*."; empty = the SNI. */
      readonly subjectAltNames: readonly string[];
      /** PEM; undefined = the system's roots. */
      readonly trustedRoots: string | undefined;
      /** PEM: what has been revoked of the roots' certificates. With a list, each certificate's issuer must have one. */
      readonly revocationList?: string | undefined;
      /** What we prove ourselves with, PEM; undefined = nothing. */
      readonly clientCertificate?: { readonly chain: string; readonly privateKey: string } | undefined;
      /** A secret that has not come: nothing can be reached without it. */
      readonly missingSecret?: string | undefined;
      readonly insecureSkipVerify: boolean;
      readonly alpn: readonly string[];
    };
