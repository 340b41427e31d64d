/**
 * L7 authorization as the waypoint enforces it: AuthorizationPolicy, by way of Envoy's RBAC filters. `evaluate.ts`
 * answers; this file is the question's shape. Pure.
 */

import type { ErrorCode } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { IpAddress } from "@ambit/shared/net";

/** In the order they are asked: CUSTOM, then (after the token was verified) AUDIT, DENY, ALLOW. */
export interface HttpAuthorization {
  readonly custom: readonly CustomAuthorization[];
  readonly rules: readonly RuleSet[];
}

/** Same without HTTP. CUSTOM by gRPC only. */
export interface TcpAuthorization {
  readonly custom: readonly CustomAuthorization[];
  readonly rules: readonly RuleSet[];
}

export interface RuleSet {
  readonly action: "allow" | "deny" | "audit";
  /** Present but empty denies (allow) or permits (deny); undefined: only `dryRun` is there, nothing is enforced. */
  readonly enforced: readonly RbacPolicy[] | undefined;
  readonly dryRun: readonly RbacPolicy[];
}

export interface RbacPolicy {
  /** `ns[shop]-policy[only-get]-rule[0]`. */
  readonly name: string;
  /** Whether operation and source match. `attributes` that a matcher needs and the request lacks do not match. */
  matches(attributes: PolicyAttributes): boolean;
}

/** What policies look at: the same normal form the router saw. HTTP fields are absent on TCP. */
export interface PolicyAttributes {
  /** `spiffe://...` of the tunnel's peer; undefined when it proved none. */
  readonly peerPrincipal: string | undefined;
  /** The client's address, carried through the tunnel. */
  readonly sourceIp: IpAddress;
  /** By X-Forwarded-For; the same as `sourceIp` unless trusted hops are configured. */
  readonly remoteIp: IpAddress;
  /** The service's address and port that the tunnel named. */
  readonly destinationIp: IpAddress | undefined;
  readonly destinationPort: number;
  readonly sni: string | undefined;
  readonly http: HttpAttributes | undefined;
}

export interface HttpAttributes {
  readonly method: string;
  readonly authority: string;
  /** Normalised, without query. */
  readonly path: string;
  /** With pseudo-headers first. */
  readonly headers: HeaderList;
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}

export interface CustomAuthorization {
  /** Called only when one of these matches. */
  readonly when: readonly RbacPolicy[];
  readonly dryRun: boolean;
  readonly provider: ExternalAuthorizer;
}

/** Parity: Envoy ExtAuthz. */
export interface ExternalAuthorizer {
  readonly name: string;
  readonly transport:
    | { readonly kind: "grpc"; readonly cluster: string; readonly authority: string }
    | {
        readonly kind: "http";
        readonly cluster: string;
        readonly pathPrefix: string;
        /** Request headers sent along, lower case; undefined = Envoy's default list. */
        readonly allowedHeaders: readonly string[] | undefined;
        readonly headersToAdd: HeaderList;
        readonly upstreamHeaders: readonly string[];
        readonly clientHeaders: readonly string[];
        readonly clientHeadersOnSuccess: readonly string[];
      };
  readonly timeoutMs: number;
  readonly failsOpen: boolean;
  readonly statusOnError: number;
  /** 0 = the body is not sent. */
  readonly maximumBodyBytes: number;
  readonly allowsPartialBody: boolean;
}

/** The answer: a permit or a refusal with its reason and the policy's name. */
export type HttpVerdict =
  | {
      readonly kind: "permit";
      readonly permit: RequestPermit;
      readonly policy: string | undefined;
      readonly dryRun: readonly string[];
    }
  | {
      readonly kind: "refuse";
      readonly code: typeof ErrorCode.POLICY_DENIED | typeof ErrorCode.POLICY_NOT_ALLOWED;
      /** The policy that said no; undefined when none of the ALLOW policies said yes. */
      readonly policy: string | undefined;
      readonly message: string;
      readonly dryRun: readonly string[];
    };

declare const permitBrand: unique symbol;

/** Proof that a request was authorised; only `policy/` makes one, `forward/` asks for it. */
export interface RequestPermit {
  readonly [permitBrand]: true;
}
