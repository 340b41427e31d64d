/**
 * Stage 3: may this connection be carried? The answer is a permit or a refusal with its reason, never a boolean, and
 * whatever is not known yet counts as no.
 *
 * Parity: ztunnel src/state.rs, assert_rbac. Differs: no policy snapshot refuses; a proven identity that is not the
 * one xDS gives the source address refuses.
 */
import { ErrorCode } from "@ambit/shared/errors";
import type { IpAddress, SocketAddress } from "@ambit/shared/net";
import type { PeerIdentity } from "@ambit/shared/tls";
import type { Workload } from "@ambit/shared/workload";
import { identityOf } from "../decide/index.ts";
import { grantPermit, type Permit } from "./permit.ts";

/** What is judged: who came from where, and what was meant. */
export interface InboundSubject {
  readonly source: SocketAddress;
  /** Proven by mutual TLS; absent for plaintext. */
  readonly peer?: PeerIdentity;
  /** The pod's own address and the application's port. */
  readonly destination: SocketAddress;
}

export interface AuthorizationRefusal {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly message: string;
  /** `namespace/name` of the policy that decided. */
  readonly policy?: string;
}

export type Verdict =
  | { readonly kind: "permitted"; readonly permit: Permit; readonly dryRunPolicies: readonly string[] }
  | AuthorizationRefusal;

/** The state that verdicts depend on; the worker's mesh state answers. */
export interface AuthorizationState {
  /** Addresses and policies have both been received once. */
  readonly snapshotComplete: boolean;
  /** The workload xDS says owns this address on our network. */
  findWorkloadByIp(ip: IpAddress): Workload | undefined;
  evaluatePolicies(subject: InboundSubject, destination: Workload): PolicyAnswer;
}

/** What the policy store says, without the words. */
export type PolicyAnswer =
  | { readonly kind: "allowed"; readonly dryRunPolicies: readonly string[] }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly message: string; readonly policy?: string };

export class ConnectionAuthorizer {
  private readonly state: AuthorizationState;

  constructor(state: AuthorizationState) {
    this.state = state;
  }

  /** A connection towards the pod of `destination`, at its start and again whenever something it depends on changes. */
  authorizeInbound(subject: InboundSubject, destination: Workload): Verdict {
    const stop = this.snapshotMissing() ?? this.identityMismatch(subject);
    if (stop !== undefined) return stop;
    const answer = this.state.evaluatePolicies(subject, destination);
    if (answer.kind === "refused") return answer;
    return { kind: "permitted", permit: grantPermit(), dryRunPolicies: answer.dryRunPolicies };
  }

  /** A connection of our own pod. Policy is enforced where it arrives; here only an empty mesh refuses. */
  authorizeOutbound(): Verdict {
    return this.snapshotMissing() ?? { kind: "permitted", permit: grantPermit(), dryRunPolicies: [] };
  }

  private snapshotMissing(): AuthorizationRefusal | undefined {
    if (this.state.snapshotComplete) return undefined;
    const message = "no policy snapshot was received yet; is the control plane reachable?";
    return { kind: "refused", code: ErrorCode.POLICY_SNAPSHOT_MISSING, message };
  }

  /**
   * A workload has one identity, enrolled or not; another one from its address is stolen or misrouted. Addresses xDS does
   * not know (gateways of other networks, nodes) are judged by the proven identity alone.
   */
  private identityMismatch({ peer, source }: InboundSubject): AuthorizationRefusal | undefined {
    if (peer === undefined) return undefined;
    const owner = this.state.findWorkloadByIp(source.ip);
    if (owner === undefined || identityOf(owner) === peer.uri) return undefined;
    const message = `${source.ip} belongs to ${identityOf(owner)}, but the peer proved to be ${peer.uri}`;
    return { kind: "refused", code: ErrorCode.SOURCE_IDENTITY_MISMATCH, message };
  }
}
