/**
 * L7 authorization as the waypoint enforces it: AuthorizationPolicy, by way of Envoy's RBAC filters. `evaluate.ts`
 * answers; this file is the question's shape. Pure.
 */

import type { ErrorCode } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { IpAddress } from "@ambit/shared/net";
import type { StringMatcher } from "../route/matcher.ts";

/** In the order they are asked: CUSTOM, then (after the token was verified) AUDIT, DENY, ALLOW. */
export interface HttpAuthorization {
  readonly custom: readonly CustomAuthorization[];
  readonly rules: readonly RuleSet[];
}

/** What one route says to the RBAC filters of its chain, by their names. Parity: Envoy RBACPerRoute. */
export interface RouteRules {
  /** Filters whose rules do not hold on this route. */
  readonly replaced: ReadonlySet<string>;
  /** Hold on this route, beside what is left of the chain's. */
  readonly rules: readonly RuleSet[];
}

/** Same without HTTP. CUSTOM by gRPC only. */
export interface TcpAuthorization {
  readonly custom: readonly CustomAuthorization[];
  readonly rules: readonly RuleSet[];
}

export interface RuleSet {
  /** Name of the filter it came by: what a route may replace. */
  readonly filter?: string;
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
  /** It asks for the TLS server name: what carries none yet is looked at before it is judged. Absent = no. */
  readonly readsServerName?: boolean;
  /** Each is a condition of its own that a request must meet for the policy to match; for the index only. */
  readonly necessary?: readonly IndexKeys[];
}

/** At least one key must fit. None: never matches. */
export type IndexKeys = readonly IndexKey[];

/** A cheap necessary condition on one property of a request. `text` is ASCII in lower case. */
export interface IndexKey {
  readonly dimension: "principal" | "account" | "namespace" | "path" | "authority" | "method" | "port";
  readonly kind: "exact" | "prefix" | "suffix";
  readonly text: string;
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
        readonly headersToAdd: HeaderList;
        /** Headers of its answer that replace the request's, or are added to them. */
        readonly upstreamHeaders: readonly StringMatcher[];
        readonly upstreamHeadersToAppend: readonly StringMatcher[];
        /** Headers of its refusal that the client sees; empty = all. */
        readonly clientHeaders: readonly StringMatcher[];
        readonly clientHeadersOnSuccess: readonly StringMatcher[];
      };
  /** Names of request headers sent along, lower case; undefined = all (gRPC), or a short list (HTTP). */
  readonly allowedHeaders: readonly StringMatcher[] | undefined;
  readonly disallowedHeaders: readonly StringMatcher[];
  readonly timeoutMs: number;
  readonly failsOpen: boolean;
  readonly statusOnError: number;
  /** 0 = the body is not sent. */
  readonly maximumBodyBytes: number;
  readonly allowsPartialBody: boolean;
  /** As bytes instead of as text. */
  readonly packsBodyAsBytes: boolean;
  readonly includesPeerCertificate: boolean;
}

/** The answer: a permit or a refusal with its reason and the policy's name. */
export type HttpVerdict = Verdict<RequestPermit>;
export type TcpVerdict = Verdict<ConnectionPermit>;

type Verdict<Permit> =
  | (VerdictNotes & {
      readonly kind: "permit";
      readonly permit: Permit;
      /** The ALLOW policy that said yes; undefined when there is none to ask. `NS/NAME`. */
      readonly policy: string | undefined;
    })
  | (VerdictNotes & {
      readonly kind: "refuse";
      readonly code: typeof ErrorCode.POLICY_DENIED | typeof ErrorCode.POLICY_NOT_ALLOWED;
      /** The policy that said no; undefined when none of the ALLOW policies said yes. `NS/NAME`. */
      readonly policy: string | undefined;
      readonly message: string;
    });

interface VerdictNotes {
  /** What policies in dry run would have done, a sentence each. */
  readonly dryRun: readonly string[];
  /** AUDIT policies that matched, `NS/NAME`. */
  readonly audited: readonly string[];
}

declare const permitBrand: unique symbol;

/** Proof that a request was authorised; only `policy/` makes one, `forward/` asks for it. */
export interface RequestPermit {
  readonly [permitBrand]: "request";
}

/** The same for the connection of a TCP chain. */
export interface ConnectionPermit {
  readonly [permitBrand]: "connection";
}

/** Proof that the external authorizers of a chain were asked, or had nothing to say, and none refused. */
export interface ExternalPermit {
  readonly [permitBrand]: "external";
}
