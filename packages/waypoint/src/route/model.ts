/** Routes as `match-route.ts` reads them. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import type { RouteRules } from "../policy/model.ts";
import type { RetryPolicy } from "../retry/model.ts";
import type { HeaderMatcher, StringMatcher } from "./matcher.ts";
import type { RouteTree } from "./routes-by-tunnel.ts";
import type { SessionPersistence } from "./session.ts";

/** Domains most specific first; a waypoint's tables have the one domain "*". */
export interface RouteTable {
  /** Envoy's name; also the RDS resource name. */
  readonly name: string;
  readonly virtualHosts: readonly VirtualHost[];
}

export interface VirtualHost {
  readonly name: string;
  /** Lower case: exact, `*.suffix`, `prefix.*` or `*`. */
  readonly domains: readonly string[];
  /** The first that matches wins. Empty where `tree` says which there are. */
  readonly routes: readonly Route[];
  readonly tree?: RouteTree;
  readonly headers: HeaderMutations;
}

export interface Route {
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  readonly headers: HeaderMutations;
  readonly cors: CorsPolicy | undefined;
  readonly fault: FaultPolicy | undefined;
  /** Requests of one client stay at one endpoint. */
  readonly session?: SessionPersistence | undefined;
  /** Policies of this route beside, or instead of, those of the chain, by `targetRefs` to a route rule. */
  readonly authorization: RouteRules | undefined;
  /** Span name. */
  readonly operation: string;
}

export interface RouteMatch {
  readonly path: PathMatch;
  readonly headers: readonly HeaderMatcher[];
  readonly query: readonly { readonly name: string; readonly value: StringMatcher | undefined }[];
  /** Claims of the verified token; path into the claims, e.g. ["groups"]. */
  readonly claims: readonly {
    readonly path: readonly string[];
    readonly value: StringMatcher;
    readonly invert: boolean;
  }[];
  /** Parts per million of requests that match at all; 1 000 000 = all. */
  readonly fractionPerMillion: number;
}

export type PathMatch =
  | { readonly kind: "prefix"; readonly prefix: string; readonly ignoreCase: boolean }
  /** Matches `/a`, `/a/b`, not `/ab`. */
  | { readonly kind: "segments"; readonly prefix: string; readonly ignoreCase: boolean }
  | { readonly kind: "exact"; readonly path: string; readonly ignoreCase: boolean }
  /** The whole path without its query. */
  | { readonly kind: "pattern"; readonly matcher: StringMatcher };

export type RouteAction = ForwardAction | RedirectAction | DirectAction;

export interface ForwardAction {
  readonly kind: "forward";
  /** At least one; the weights add up to more than 0. */
  readonly clusters: readonly WeightedCluster[];
  /** Answer when the cluster does not exist. */
  readonly missingClusterStatus: number;
  /** 0 = none. */
  readonly timeoutMs: number;
  /** `grpc-timeout` is honoured up to this; 0 = without cap. undefined = not honoured. */
  readonly maximumGrpcTimeoutMs: number | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly rewrite: Rewrite;
  readonly mirrors: readonly { readonly cluster: string; readonly fractionPerMillion: number }[];
  readonly hashPolicies: readonly HashPolicy[];
}

export interface WeightedCluster {
  readonly name: string;
  readonly weight: number;
  readonly headers: HeaderMutations;
  readonly hostRewrite: string | undefined;
}

export interface Rewrite {
  /** Replaces what the path match matched. */
  readonly prefix: string | undefined;
  /** Applied to the path without query. */
  readonly pattern: { readonly replace: (path: string) => string } | undefined;
  readonly host: string | undefined;
  readonly appendsForwardedHost: boolean;
}

export type HashPolicy = { readonly terminal: boolean } & (
  | { readonly kind: "header"; readonly name: string }
  | {
      readonly kind: "cookie";
      readonly name: string /** undefined: none is set. */;
      readonly ttlSeconds: number | undefined;
      readonly path: string;
      /** Further attributes of a cookie that is set; a value of "" means that the name stands alone. */
      readonly attributes?: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: "source-ip" }
  | { readonly kind: "query"; readonly name: string }
);

export interface RedirectAction {
  readonly kind: "redirect";
  readonly status: 301 | 302 | 303 | 307 | 308;
  readonly scheme: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly path:
    | { readonly kind: "full"; readonly path: string }
    | { readonly kind: "prefix"; readonly prefix: string }
    | { readonly kind: "pattern"; readonly replace: (path: string) => string }
    | undefined;
  readonly stripsQuery: boolean;
}

export interface DirectAction {
  readonly kind: "direct";
  readonly status: number;
  readonly body: Buffer;
}

/** Values may contain `%COMMAND%` substitutions, already split by `header-format.ts`. */
export interface HeaderMutations {
  readonly request: HeaderOperations;
  readonly response: HeaderOperations;
}

export interface HeaderOperations {
  /** Lower case; applied first. */
  readonly remove: readonly string[];
  readonly set: readonly { readonly name: string; readonly value: HeaderFormat }[];
  readonly append: readonly { readonly name: string; readonly value: HeaderFormat }[];
}

/** Literal text and commands in turn. */
export type HeaderFormat = readonly (string | HeaderCommand)[];

export interface HeaderCommand {
  readonly command: string;
  readonly argument: string | undefined;
  /** So many characters of the result at most. */
  readonly limit?: number;
}

/** Spec: Fetch standard, CORS protocol. */
export interface CorsPolicy {
  readonly allowOrigins: readonly StringMatcher[];
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  readonly forwardsUnmatchedPreflights: boolean;
}

export interface FaultPolicy {
  readonly delay: { readonly ms: number; readonly perMillion: number } | undefined;
  readonly abort:
    | {
        readonly status:
          | { readonly kind: "http"; readonly code: number }
          | { readonly kind: "grpc"; readonly code: number };
        readonly perMillion: number;
      }
    | undefined;
}

export const NO_OPERATIONS: HeaderOperations = { remove: [], set: [], append: [] };
export const NO_MUTATIONS: HeaderMutations = { request: NO_OPERATIONS, response: NO_OPERATIONS };

/** What the router looks at: the request after normalisation, and what is known of its sender. */
export interface RoutedRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** Normalised, without query. */
  readonly path: string;
  /** Without "?"; empty when there is none. */
  readonly query: string;
  readonly headers: HeaderList;
  /** Verified claims; undefined without a token. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  readonly tunnel: RoutedTunnel;
}

/** What mutual TLS proved and the CONNECT asked for. */
export interface RoutedTunnel {
  readonly peerPrincipal: string;
  readonly authorityText: string;
}
