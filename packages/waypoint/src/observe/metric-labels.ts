/** The labels of Istio's standard metrics, read off a record. Pure. */
import type { PeerInfo, RequestRecord, TcpRecord } from "./model.ts";

const COMMON_LABELS = [
  "reporter",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_principal",
  "source_app",
  "source_version",
  "source_cluster",
  "destination_workload",
  "destination_workload_namespace",
  "destination_principal",
  "destination_app",
  "destination_version",
  "destination_service",
  "destination_canonical_service",
  "destination_canonical_revision",
  "destination_service_name",
  "destination_service_namespace",
  "destination_cluster",
  "request_protocol",
] as const;

/** In Istio's order. */
export const REQUEST_LABELS = [
  ...COMMON_LABELS,
  "response_code",
  "grpc_response_status",
  "response_flags",
  "connection_security_policy",
] as const;
export const TCP_LABELS = [...COMMON_LABELS, "response_flags", "connection_security_policy"] as const;

/** The three parties of a record. The same objects for the same workloads make counting cheap. */
export type Parties = Pick<RequestRecord, "source" | "destination" | "destinationService">;

const UNKNOWN = "unknown";
const REPORTER = "waypoint";

/** gRPC knows 0..16; what else an upstream sends is UNKNOWN to every library, and to the label. */
const HIGHEST_GRPC_STATUS = 16;
const GRPC_UNKNOWN = 2;

export function boundedGrpcStatus(status: number | undefined): number | undefined {
  return status === undefined || status <= HIGHEST_GRPC_STATUS ? status : GRPC_UNKNOWN;
}

export function requestLabels(record: RequestRecord): string[] {
  const grpcStatus = record.isGrpc ? boundedGrpcStatus(record.grpcStatus) : undefined;
  return [
    ...commonLabels(record, record.isGrpc ? "grpc" : "http"),
    String(record.status),
    grpcStatus === undefined ? "" : String(grpcStatus),
    flagsLabel(record.flags),
    securityLabel(record.source),
  ];
}

/** @param isOpen  series that count what is under way carry the flag `-` */
export function tcpLabels(record: TcpFacts, isOpen: boolean): string[] {
  return [...commonLabels(record, "tcp"), isOpen ? "-" : flagsLabel(record.flags), securityLabel(record.source)];
}

/** What TCP metrics need of a connection, while it lives and at its end. */
export type TcpFacts = Parties & Pick<TcpRecord, "flags">;

function commonLabels({ source, destination, destinationService }: Parties, protocol: string): string[] {
  const or = (text: string | undefined, fallback: string): string => text || fallback;
  return [
    REPORTER,
    or(source.workload, UNKNOWN),
    or(source.canonicalService, UNKNOWN),
    or(source.canonicalRevision, "latest"),
    or(source.namespace, UNKNOWN),
    or(source.principal, UNKNOWN),
    or(source.canonicalService, UNKNOWN),
    or(source.canonicalRevision, UNKNOWN),
    or(source.cluster, UNKNOWN),
    or(destination.workload, UNKNOWN),
    or(destination.namespace, UNKNOWN),
    or(destination.principal, UNKNOWN),
    or(destination.canonicalService, UNKNOWN),
    or(destination.canonicalRevision, UNKNOWN),
    or(destinationService?.hostname, UNKNOWN),
    or(destination.canonicalService, UNKNOWN),
    or(destination.canonicalRevision, UNKNOWN),
    or(destinationService?.name, UNKNOWN),
    or(destinationService?.namespace, UNKNOWN),
    or(destination.cluster, UNKNOWN),
    protocol,
  ];
}

/** In one order, so that the same flags are the same series. */
const flagsLabel = (flags: readonly string[]): string => (flags.length === 0 ? "-" : flags.toSorted().join(","));
const securityLabel = (source: PeerInfo): string => (source.principal === "" ? "none" : "mutual_tls");

/** Kept apart in the overflow series; everything else in it reads `unknown`. */
const KEPT = new Set(["reporter", "request_protocol", "connection_security_policy", "grpc_response_status"]);

/** Labels of the series that label sets beyond the bound share: class of the status, first flag. */
export function overflowLabels(names: readonly string[], values: readonly string[]): string[] {
  return values.map((value, index) => {
    const name = names[index] ?? "";
    if (name === "response_code") return `${value.charAt(0)}00`.slice(0, value.length);
    if (name === "response_flags") return value.split(",", 1)[0] ?? "-";
    return KEPT.has(name) ? value : UNKNOWN;
  });
}
