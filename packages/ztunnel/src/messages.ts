/**
 * Everything the control thread and a data worker say to each other. All values survive structured clone.
 * Down: the mesh as decoded deltas, pods with their listening descriptors, certificates. Up: what happened.
 */
import type { IpAddress } from "@ambit/shared/net";
import type { PolicyDelta } from "@ambit/shared/policy";
import type { AddressDelta } from "@ambit/shared/workload";
import type { DataPlaneConfig } from "./config/index.ts";
import type { ConnectionRecord, DnsRecord } from "./observe/records.ts";

/** How one enrolled pod reaches a data worker. The worker owns (and closes) every descriptor in it. */
export interface PodAttachment {
  /** Kubernetes pod UID; the key of everything held for the pod. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** A netns descriptor to dial from; absent in explicit (loopback) capture, where sockets are made in our own netns. */
  readonly netnsFd?: number;
  /** Address the pod's own listeners use in explicit capture; absent when in the pod's netns (wildcard). */
  readonly explicitAddress?: IpAddress;
  /** Listening sockets, already bound, one set per worker. */
  readonly listeners: PodListeners;
}

export interface PodListeners {
  readonly outbound?: number;
  readonly inboundPlaintext?: number;
  readonly hbone: number;
  readonly socks5?: number;
  readonly dnsUdp: readonly number[];
  readonly dnsTcp: readonly number[];
}

/** Key material of one identity; PEM texts. `chainPem` is leaf first, without roots. */
export interface CertificateUpdate {
  /** SPIFFE URI. */
  readonly identity: string;
  readonly keyPem: string;
  readonly chainPem: string;
  readonly rootsPem: string;
  /** ms since the epoch. */
  readonly notAfter: number;
}

export type ToWorker =
  | { readonly kind: "start"; readonly config: DataPlaneConfig; readonly workerId: number }
  | { readonly kind: "addresses"; readonly delta: AddressDelta }
  | { readonly kind: "policies"; readonly delta: PolicyDelta }
  /** Both types have been received once; before it every connection is refused (POLICY_SNAPSHOT_MISSING). */
  | { readonly kind: "snapshot-complete" }
  | { readonly kind: "certificate"; readonly update: CertificateUpdate }
  | { readonly kind: "certificate-unavailable"; readonly identity: string; readonly message: string }
  /** Hex serial numbers of revoked certificates by issuer (RFC 2253 text); replaces the earlier set. */
  | { readonly kind: "revocations"; readonly revoked: Readonly<Record<string, readonly string[]>> }
  | { readonly kind: "attach-pod"; readonly pod: PodAttachment }
  /** Listeners close at once; connections get `graceMs` to end, then are cut. */
  | { readonly kind: "detach-pod"; readonly uid: string; readonly graceMs: number }
  | { readonly kind: "drain"; readonly deadlineMs: number }
  | { readonly kind: "report"; readonly requestId: number };

export type FromWorker =
  | { readonly kind: "started" }
  | { readonly kind: "pod-attached"; readonly uid: string }
  | { readonly kind: "pod-failed"; readonly uid: string; readonly message: string }
  | { readonly kind: "pod-detached"; readonly uid: string }
  /** A connection needs this identity now. */
  | { readonly kind: "certificate-wanted"; readonly identity: string }
  /** Batched, bounded; `dropped` counts records lost to the bound since the last batch. */
  | {
      readonly kind: "records";
      readonly connections: readonly ConnectionRecord[];
      readonly dns: readonly DnsRecord[];
      readonly dropped: number;
    }
  | { readonly kind: "report"; readonly requestId: number; readonly report: WorkerReport }
  | { readonly kind: "drained" };

/** What a worker holds now, for `/config_dump` and the gauges. */
export interface WorkerReport {
  readonly pods: Readonly<
    Record<string, { readonly inbound: readonly LiveConnection[]; readonly outbound: readonly LiveConnection[] }>
  >;
  readonly socketsOpen: { readonly source: number; readonly destination: number };
  readonly poolSessions: number;
}

export interface LiveConnection {
  readonly src: string;
  readonly originalDst: string | null;
  readonly actualDst: string;
  readonly protocol: "HBONE" | "TCP" | "DOUBLEHBONE";
}
