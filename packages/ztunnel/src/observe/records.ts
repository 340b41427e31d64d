import type { ErrorCode } from "@ambit/shared/errors";

/** Istio's response flags plus our own; `-` is success. Source: ztunnel 11.3. */
export type ResponseFlag =
  | "-"
  | "DENY"
  | "CONNECT"
  | "TLS_FAILURE"
  | "H2_HANDSHAKE_FAILURE"
  | "NETWORK_POLICY"
  | "IDENTITY_ERROR"
  | "CERT_REVOKED";

/** What telemetry knows of one end. Empty text = unknown. */
export interface PeerFacts {
  readonly workload: string;
  readonly namespace: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly app: string;
  readonly version: string;
  readonly cluster: string;
  readonly region: string;
  readonly zone: string;
  /** SPIFFE URI; only set where mutual TLS proved it or (destination principal of the metric) xDS names it. */
  readonly identity: string;
}

/** One step in the life of a proxied connection, as the worker saw it. Becomes one log line and some counters. */
export interface ConnectionRecord {
  readonly phase: "opened" | "closed" | "refused";
  /** ms since the epoch, when the step happened. */
  readonly atMs: number;
  readonly id: string;
  readonly pod: string;
  readonly direction: "inbound" | "outbound";
  /** Which listener: `inbound` with "plaintext" is the passthrough listener. */
  readonly via: "hbone" | "plaintext" | "captured" | "socks5";
  readonly source: PeerFacts;
  readonly destination: PeerFacts;
  readonly destinationService: { readonly hostname: string; readonly namespace: string; readonly name: string };
  readonly mutualTls: boolean;
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  /** `:authority`, when HBONE was spoken. */
  readonly hboneAddress: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly durationMs: number;
  /** From accept to the moment bytes may flow; absent when it never came. On "closed" only. */
  readonly setupMs?: number;
  readonly flag: ResponseFlag;
  /** Reason of a refusal or failure; absent on success. */
  readonly code?: ErrorCode;
  readonly message?: string;
  /** `namespace/name` of the policy that decided, when one did. */
  readonly policy?: string;
  /** Dry-run policies that would have decided otherwise. */
  readonly dryRunPolicies?: readonly string[];
}

export interface DnsRecord {
  readonly atMs: number;
  readonly pod: string;
  readonly protocol: "udp" | "tcp";
  readonly queryType: string;
  readonly name: string;
  readonly answeredBy: "mesh" | "upstream" | "refused";
  readonly responseCode: string;
  readonly upstreamMs?: number;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
}
