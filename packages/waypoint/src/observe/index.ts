export { type AccessLog, createAccessLog, type LineOutput } from "./access-log.ts";

export { compileAccessLog, DEFAULT_JSON_FORMAT, DEFAULT_TEXT_FORMAT, type FormatLine } from "./access-log-format.ts";
export { createSpanExporter, type SpanExporter, type SpanExporterInit } from "./batch-exporter.ts";
export {
  type ClientCertMode,
  formatClientCert,
  isReservedHeader,
  type ProvenPeers,
  ROUTER_HEADERS,
  sanitizeCaller,
  tunnelForwarded,
} from "./forwarded-identity.ts";
export { GrpcMessageCounter } from "./grpc-messages.ts";
export { createLogExport, type LogExport, type LogExportInit } from "./log-export.ts";
export type { TcpFacts } from "./metric-labels.ts";
export { REQUEST_LABELS, TCP_LABELS } from "./metric-labels.ts";
export type { MetricOverride, MetricOverrides } from "./metric-overrides.ts";
export type {
  AccessLogging,
  AccessLogSink,
  AttemptRecord,
  LoggedRecord,
  PeerInfo,
  RequestRecord,
  ResponseFlag,
  TcpRecord,
  TelemetryConfig,
  Tracing,
} from "./model.ts";
export type { Resource } from "./otlp-encode.ts";
export {
  createOtlpGrpcTransport,
  createOtlpHttpTransport,
  dialUrl,
  type OtlpTransport,
  type OtlpTransportInit,
  type SendOutcome,
} from "./otlp-transport.ts";
export { answerHeaders, DEFAULT_PROXY_HEADERS, identified, type ProxyHeaders, withPort } from "./proxy-headers.ts";
export { randomSpanId } from "./random-ids.ts";
export { REQUEST_ID_HEADER, requestIdOf, withRequestId } from "./request-id.ts";
export { createRequestMetrics, ISTIO_BUCKETS, type RequestMetrics, type TcpMeter } from "./request-metrics.ts";
export {
  type AttemptEnd,
  type AttemptInit,
  type OpenAttempt,
  type RecorderInit,
  RequestRecorder,
  UNKNOWN_PEER,
} from "./request-recorder.ts";
export { flagBits, LONG_FLAGS } from "./response-flags.ts";
export { type Span, spansOf } from "./spans.ts";
export { type RequestTrace, readTrace, startTrace, TRACE_HEADERS, withTrace } from "./trace-context.ts";
export { createTraceExport, type TraceExport, type TraceExportInit } from "./trace-export.ts";
export { formatTraceparent, parseTraceparent, type TraceParent } from "./traceparent.ts";
export { createWaypointMetrics, type WaypointMetrics } from "./waypoint-metrics.ts";
