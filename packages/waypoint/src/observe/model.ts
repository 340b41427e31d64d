import type { HeaderList } from "@ambit/shared/http2";
import type { MetricOverrides } from "./metric-overrides.ts";

/** What is told of requests and connections, and how. */
export type LoggedRecord = RequestRecord | TcpRecord;

/** Each sink that a chain's records go to. */
export type AccessLogging = readonly AccessLogSink[];

/** `filter`: which records; all of them where there is none. */
export type AccessLogSink = (FileSink | OtlpSink | AlsSink) & {
  readonly filter?: ((record: LoggedRecord) => boolean) | undefined;
};

/** Standard output, whatever the path says. */
export interface FileSink {
  readonly kind: "file";
  readonly format: "text" | "json";
  /** Envoy format string; for "json" the text of a JSON object of them. Undefined = Istio's default. */
  readonly template: string | undefined;
}

interface CollectorSink {
  readonly cluster: string;
  readonly logName: string;
  readonly collectorHeaders: HeaderList;
}

/** OTLP/gRPC. */
export interface OtlpSink extends CollectorSink {
  readonly kind: "otlp";
  /** Format string; undefined = Istio's default. */
  readonly body: string | undefined;
  /** Name and format string. */
  readonly attributes: readonly (readonly [name: string, format: string])[];
  readonly resource: readonly (readonly [name: string, value: string])[];
}

/** Envoy's access log service. */
export interface AlsSink extends CollectorSink {
  readonly kind: "als";
  /** Lower case. */
  readonly requestHeaders: readonly string[];
  readonly responseHeaders: readonly string[];
  readonly responseTrailers: readonly string[];
}

export interface TelemetryConfig {
  readonly metricsDisabled: boolean;
  /** By metric; those that are not here are counted as ever. */
  readonly overrides?: MetricOverrides;
}

export interface Tracing {
  /** Parts per million of new traces that are sampled. */
  readonly samplePerMillion: number;
  /** Cluster of the OTLP collector, `outbound|4317||otel...`; undefined: spans are propagated, not exported. */
  readonly collectorCluster: string | undefined;
  /** Path of OTLP/HTTP, `/v1/traces`; undefined = OTLP/gRPC. */
  readonly collectorHttpPath?: string | undefined;
  /** Of each batch, by either way. */
  readonly collectorHeaders?: HeaderList | undefined;
  readonly serviceName: string;
  readonly customTags: readonly CustomTag[];
  /** Characters of paths in tags; default 256. */
  readonly maxPathTagLength?: number | undefined;
}

/** `value`: said outright, or what holds where the source has none; "" leaves the tag out then. */
export interface CustomTag {
  readonly name: string;
  readonly value: string;
  readonly from?: { readonly kind: "header" | "environment"; readonly name: string };
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
  /** Body bytes. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Names and values of the heads, in bytes; sizes in metrics are head and body together. */
  readonly requestHeadBytes: number;
  readonly responseHeadBytes: number;
  readonly requestMessages: number;
  readonly responseMessages: number;
  /** Those of them that `RequestMetrics.progress` counted while the exchange ran. */
  readonly messagesCounted?: { readonly request: number; readonly response: number } | undefined;
  /** 1 without a retry; 0 when nothing was tried. */
  readonly attempts: number;
  /** The attempts themselves, in order; kept for sampled traces only. */
  readonly attemptRecords: readonly AttemptRecord[];
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
        readonly tracestate?: string | undefined;
      }
    | undefined;
  readonly operation: string | undefined;
  readonly scheme: string;
  /** As routed and as answered, for access log formats; by reference. */
  readonly requestHeaders: HeaderList;
  readonly responseHeaders: HeaderList;
  readonly responseTrailers: HeaderList;
  /** Of the tunnel's inside, when TLS passes through; usually undefined. */
  readonly requestedServerName: string | undefined;
  /** `ip:port` that the connection to the endpoint came from. */
  readonly upstreamLocal: string | undefined;
  readonly upstreamVersion: string | undefined;
}

/** One try of a request at one endpoint. */
export interface AttemptRecord {
  readonly spanId: string;
  /** After the request's start, ms. */
  readonly startedMs: number;
  readonly durationMs: number;
  readonly cluster: string;
  readonly upstreamHost: string | undefined;
  /** 0 when no response came. */
  readonly status: number;
  readonly grpcStatus: number | undefined;
  /** Stable code of what went wrong. */
  readonly failure: string | undefined;
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
  readonly requestedServerName?: string | undefined;
  readonly upstreamLocal?: string | undefined;
}
