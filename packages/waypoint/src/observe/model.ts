/** What is told of requests and connections, and how. */
export interface AccessLogging {
  readonly enabled: boolean;
  readonly format: "text" | "json";
  /** Envoy format string; undefined = Istio's default. */
  readonly template: string | undefined;
}

export interface TelemetryConfig {
  readonly metricsDisabled: boolean;
}

export interface Tracing {
  /** Parts per million of new traces that are sampled. */
  readonly samplePerMillion: number;
  /** Cluster of the OTLP collector, `outbound|4317||otel...`; undefined: spans are propagated, not exported. */
  readonly collectorCluster: string | undefined;
  readonly serviceName: string;
  readonly customTags: readonly { readonly name: string; readonly value: string }[];
}

/** Envoy's short flags, as access logs and metrics have them. */
export type ResponseFlag =
  | "UF"
  | "UH"
  | "UT"
  | "UC"
  | "UO"
  | "UR"
  | "LR"
  | "URX"
  | "NR"
  | "NC"
  | "DC"
  | "DI"
  | "FI"
  | "RL"
  | "UAEX"
  | "UPE"
  | "DPE"
  | "SI"
  | "IH"
  | "DT"
  | "OM"
  | "UMSDR"
  | "RLSE"
  | "NFCF";

/** One finished HTTP exchange, as metrics, access log and spans see it. Times are monotonic milliseconds. */
export interface RequestRecord {
  readonly startedAtEpochMs: number;
  readonly durationMs: number;
  /** From the request's head to the first byte of the upstream's response head; undefined when none came. */
  readonly upstreamServiceMs: number | undefined;
  readonly chain: string;
  readonly route: string | undefined;
  readonly cluster: string | undefined;
  readonly method: string;
  readonly authority: string;
  /** As it came, and as it was routed. */
  readonly originalPath: string;
  readonly path: string;
  readonly version: string;
  readonly userAgent: string | undefined;
  readonly requestId: string;
  readonly isGrpc: boolean;
  /** 0 when no response began. */
  readonly status: number;
  /** Undefined unless gRPC. */
  readonly grpcStatus: number | undefined;
  readonly flags: readonly ResponseFlag[];
  /** What we decided ourselves and why: Envoy's RESPONSE_CODE_DETAILS style, e.g. `rbac_access_denied_matched_policy[...]`. */
  readonly details: string;
  /** Stable code of our own refusal or failure. */
  readonly code: string | undefined;
  /** Policy that refused, when one did. */
  readonly policy: string | undefined;
  readonly dryRun: readonly string[];
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly requestMessages: number;
  readonly responseMessages: number;
  /** 1 without a retry. */
  readonly attempts: number;
  readonly upstreamFailure: string | undefined;
  readonly source: PeerInfo;
  readonly destination: PeerInfo;
  readonly destinationService:
    | { readonly name: string; readonly namespace: string; readonly hostname: string }
    | undefined;
  /** `ip:port` of the endpoint. */
  readonly upstreamHost: string | undefined;
  readonly downstreamRemote: string;
  readonly downstreamLocal: string;
  readonly trace:
    | {
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId: string | undefined;
        readonly sampled: boolean;
      }
    | undefined;
  readonly operation: string | undefined;
}

/** What is known of one end. Unknown text is "". */
export interface PeerInfo {
  readonly principal: string;
  readonly workload: string;
  readonly namespace: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly cluster: string;
}

/** One finished TCP connection through a waypoint. */
export interface TcpRecord {
  readonly startedAtEpochMs: number;
  readonly durationMs: number;
  readonly chain: string;
  readonly cluster: string | undefined;
  readonly flags: readonly ResponseFlag[];
  readonly details: string;
  readonly code: string | undefined;
  readonly policy: string | undefined;
  readonly dryRun: readonly string[];
  readonly bytesFromDownstream: number;
  readonly bytesFromUpstream: number;
  readonly upstreamFailure: string | undefined;
  readonly source: PeerInfo;
  readonly destination: PeerInfo;
  readonly destinationService:
    | { readonly name: string; readonly namespace: string; readonly hostname: string }
    | undefined;
  readonly upstreamHost: string | undefined;
  readonly downstreamRemote: string;
  readonly downstreamLocal: string;
}
