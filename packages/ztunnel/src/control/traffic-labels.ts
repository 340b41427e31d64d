import type { TrafficLabels } from "@ambit/shared/metrics";
import type { ConnectionRecord } from "../observe/records.ts";

/** Istio's labels of one connection. Principals are what TLS proved for the source; for the destination, what xDS names. */
export function trafficLabels(record: ConnectionRecord): TrafficLabels {
  const { source, destination, destinationService } = record;
  return {
    reporter: record.direction === "outbound" ? "source" : "destination",
    source_workload: source.workload,
    source_canonical_service: source.canonicalService,
    source_canonical_revision: source.canonicalRevision,
    source_workload_namespace: source.namespace,
    source_principal: record.mutualTls ? source.identity : "",
    source_app: source.app,
    source_version: source.version,
    source_cluster: source.cluster,
    destination_service: destinationService.hostname,
    destination_service_namespace: destinationService.namespace,
    destination_service_name: destinationService.name,
    destination_workload: destination.workload,
    destination_canonical_service: destination.canonicalService,
    destination_canonical_revision: destination.canonicalRevision,
    destination_workload_namespace: destination.namespace,
    destination_principal: destination.identity,
    destination_app: destination.app,
    destination_version: destination.version,
    destination_cluster: destination.cluster,
    request_protocol: "tcp",
    response_flags: record.flag,
    connection_security_policy: record.mutualTls ? "mutual_tls" : "unknown",
    source_region: source.region,
    source_zone: source.zone,
    destination_region: destination.region,
    destination_zone: destination.zone,
  };
}
