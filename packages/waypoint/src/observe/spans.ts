/**
 * The spans of a finished request: one of kind server for the request, one of kind client for each attempt. Flat values, no
 * I/O; `otlp-encode.ts` puts them on the wire. Pure.
 *
 * Parity: tags of Envoy and Istio; Spec: OpenTelemetry's HTTP span conventions (kinds, status, names).
 */
import { headerOfRequest } from "./access-log-commands.ts";
import type { AttemptRecord, CustomTag, PeerInfo, RequestRecord, Tracing } from "./model.ts";

export type Attribute = readonly [name: string, value: string | number | boolean];

export interface Span {
  /** Hex, as on the wire of `traceparent`. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly tracestate: string | undefined;
  readonly name: string;
  readonly kind: "server" | "client";
  /** ms since the epoch, with fractions. */
  readonly startEpochMs: number;
  readonly endEpochMs: number;
  readonly attributes: readonly Attribute[];
  readonly isError: boolean;
}

/** Texts in attributes; paths, where the configuration has no max_path_tag_length. */
const MAX_TEXT_CHARS = 256;
const text = (value: string): string => (value.length > MAX_TEXT_CHARS ? value.slice(0, MAX_TEXT_CHARS) : value);

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Empty unless the trace is sampled.
 *
 * Name: the route's operation, else `METHOD host`: never the path, which has no bound.
 * Differs: `http.url` is without the query, where tokens travel.
 */
export function spansOf(
  record: RequestRecord,
  tracing: Pick<Tracing, "customTags" | "maxPathTagLength">,
  environment: Environment = {},
): readonly Span[] {
  const { trace } = record;
  if (!trace?.sampled) return [];
  const base = { traceId: trace.traceId, tracestate: trace.tracestate };
  const server: Span = {
    ...base,
    spanId: trace.spanId,
    parentSpanId: trace.parentSpanId,
    name: text(record.operation || `${record.method} ${record.destinationService?.hostname ?? record.chain}`),
    kind: "server",
    startEpochMs: record.startedAtEpochMs,
    endEpochMs: record.startedAtEpochMs + record.durationMs,
    attributes: [
      ...serverAttributes(record, tracing.maxPathTagLength ?? MAX_TEXT_CHARS),
      ...tracing.customTags.flatMap((tag) => tagOf(tag, record, environment)),
    ],
    isError: record.status >= 500 || record.status === 0 || isServerFault(record.grpcStatus),
  };
  return [
    server,
    ...record.attemptRecords.map((attempt, index) => ({ ...base, ...clientSpan(record, attempt, index) })),
  ];
}

/** What an operator may not read out of the waypoint's own environment. */
const SECRET_NAME = /token|secret|passw|key|credential/i;

function tagOf(tag: CustomTag, record: RequestRecord, environment: Environment): readonly Attribute[] {
  const value = sourceOf(tag, record, environment) || tag.value;
  return value === "" ? [] : [[tag.name, text(value)]];
}

function sourceOf({ from }: CustomTag, record: RequestRecord, environment: Environment): string | undefined {
  if (from?.kind === "header") return headerOfRequest(record, from.name);
  return from && !SECRET_NAME.test(from.name) ? environment[from.name] : undefined;
}

/** gRPC statuses that blame the server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const SERVER_FAULTS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);
const isServerFault = (status: number | undefined): boolean => status !== undefined && SERVER_FAULTS.has(status);

function serverAttributes(record: RequestRecord, maxPathChars: number): readonly Attribute[] {
  const { destinationService, grpcStatus } = record;
  const [whole = ""] = record.originalPath.split("?", 1);
  const path = whole.slice(0, maxPathChars);
  return present([
    ["component", "proxy"],
    ["guid:x-request-id", text(record.requestId)],
    ["http.url", `${record.scheme}://${record.authority}${path}`.slice(0, Math.max(MAX_TEXT_CHARS, maxPathChars))],
    ["http.method", text(record.method)],
    ["http.protocol", record.version],
    ["http.status_code", record.status],
    ["user_agent", text(record.userAgent ?? "")],
    ["request_size", record.requestBytes],
    ["response_size", record.responseBytes],
    ["response_flags", record.flags.join(",") || "-"],
    ["upstream_cluster", record.cluster],
    ["upstream_cluster.name", record.cluster],
    ["downstream_cluster", "-"],
    ["peer.address", record.downstreamRemote],
    ["http.request.method", text(record.method)],
    ["http.response.status_code", record.status],
    ["http.route", record.route],
    ["url.path", path],
    ["url.scheme", record.scheme],
    ...(record.isGrpc ? grpcAttributes(record, path) : []),
    ["grpc.status_code", grpcStatus === undefined ? undefined : String(grpcStatus)],
    ...peerAttributes("source", record.source),
    ...peerAttributes("destination", record.destination),
    ["istio.destination_service", destinationService?.hostname],
    ["ambit.reason", record.code],
    ["ambit.policy", record.policy],
    ["ambit.dry_run", record.dryRun.join(",")],
  ]);
}

type MaybeAttribute = readonly [name: string, value: string | number | boolean | undefined];

const grpcAttributes = (record: RequestRecord, path: string): readonly MaybeAttribute[] => [
  ["grpc.path", path],
  ["grpc.authority", text(record.authority)],
  ["rpc.system", "grpc"],
];

const peerAttributes = (end: "source" | "destination", peer: PeerInfo): readonly MaybeAttribute[] => [
  [`istio.${end}_workload`, peer.workload],
  [`istio.${end}_namespace`, peer.namespace],
  [`istio.${end}_canonical_service`, peer.canonicalService],
  [`istio.${end}_canonical_revision`, peer.canonicalRevision],
  [`istio.${end}_principal`, peer.principal],
];

/** Status ERROR from 400 on: to the client side of a call the server's refusal is one. */
function clientSpan(
  record: RequestRecord,
  attempt: AttemptRecord,
  index: number,
): Omit<Span, "traceId" | "tracestate"> {
  const startEpochMs = record.startedAtEpochMs + attempt.startedMs;
  return {
    spanId: attempt.spanId,
    parentSpanId: record.trace?.spanId,
    name: text(`router ${attempt.cluster} egress`),
    kind: "client",
    startEpochMs,
    endEpochMs: startEpochMs + attempt.durationMs,
    attributes: present([
      ["component", "proxy"],
      ["upstream_cluster", attempt.cluster],
      ["upstream_cluster.name", attempt.cluster],
      ["upstream_address", attempt.upstreamHost],
      ["http.status_code", attempt.status],
      ["http.protocol", record.upstreamVersion],
      ["http.request.method", text(record.method)],
      ["http.response.status_code", attempt.status],
      ["http.request.resend_count", index === 0 ? undefined : index],
      ["grpc.status_code", attempt.grpcStatus === undefined ? undefined : String(attempt.grpcStatus)],
      ["error.type", attempt.failure],
    ]),
    isError: attempt.failure !== undefined || attempt.status >= 400 || (attempt.grpcStatus ?? 0) !== 0,
  };
}

/** Without those that nothing is known of; Envoy marks errors with a tag as well, which OTLP's status replaces. */
function present(attributes: readonly MaybeAttribute[]): readonly Attribute[] {
  return attributes.filter((each): each is Attribute => each[1] !== undefined && each[1] !== "");
}
