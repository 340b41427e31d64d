import { bare, type LogFields, type LogLevel } from "@ambit/shared/log";
import type { ConnectionRecord, DnsRecord, PeerFacts } from "../observe/records.ts";

/** One line of the access log, not yet formatted. */
export interface AccessLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/**
 * The access-log line of one step of a connection: ztunnel's fields in ztunnel's order, then ours: `reason` (a code of
 * docs/errors.md), `policy`, `dry_run_policies`, `via`, `id`.
 *
 * Parity: ztunnel access log. Differs: an early refusal is `connection failed` with all its fields, not only addresses.
 */
export function accessLine(record: ConnectionRecord): AccessLine {
  const failed = record.flag !== "-" || record.code !== undefined;
  const fields: LogFields = {
    ...peerFields("src", record.source, bare(record.sourceAddress), record.mutualTls),
    ...destinationFields(record),
    direction: record.direction,
    bytes_sent: record.bytesSent,
    bytes_recv: record.bytesReceived,
    duration: bare(`${Math.round(record.durationMs)}ms`),
    error: failed ? (record.message ?? record.code ?? record.flag) : undefined,
    reason: record.code,
    policy: record.policy,
    dry_run_policies: record.dryRunPolicies?.length ? record.dryRunPolicies : undefined,
    via: record.via,
    id: record.id,
  };
  switch (record.phase) {
    case "opened":
      return { level: "debug", message: "connection opened", fields };
    case "refused":
      return { level: "warn", message: "connection failed", fields };
    case "closed":
      return { level: failed ? "error" : "info", message: "connection complete", fields };
    default:
      return record.phase satisfies never;
  }
}

function peerFields(end: "src" | "dst", facts: PeerFacts, addr: LogFields[string], proved: boolean): LogFields {
  return {
    [`${end}.addr`]: addr,
    [`${end}.workload`]: facts.workload || facts.canonicalService || undefined,
    [`${end}.namespace`]: facts.namespace || undefined,
    [`${end}.identity`]: (proved && facts.identity) || undefined,
    [`${end}.cluster`]: facts.cluster || undefined,
  };
}

function destinationFields(record: ConnectionRecord): LogFields {
  const facts = peerFields("dst", record.destination, bare(record.destinationAddress), record.mutualTls);
  const { "dst.addr": addr, ...rest } = facts;
  return {
    "dst.addr": addr,
    "dst.hbone_addr": record.hboneAddress ? bare(record.hboneAddress) : undefined,
    "dst.service": record.destinationService.hostname || undefined,
    ...rest,
  };
}

/** The line of one DNS question, scope `dns`. */
export function dnsLine(record: DnsRecord): AccessLine {
  return {
    level: "debug",
    message: "dns request complete",
    fields: {
      pod: record.pod,
      query_type: record.queryType,
      name: record.name,
      protocol: record.protocol,
      answered_by: record.answeredBy,
      response_code: record.responseCode,
      duration: record.upstreamMs === undefined ? undefined : bare(`${Math.round(record.upstreamMs)}ms`),
    },
  };
}
