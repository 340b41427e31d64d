import type { ErrorCode } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";

/** Whose tokens are accepted. Parity: Envoy JwtAuthentication as istiod emits it from RequestAuthentication. */
export interface JwtAuthentication {
  readonly providers: ReadonlyMap<string, JwtProvider>;
  /** What a request needs; evaluated for every path. */
  readonly requirement: JwtRequirement;
  /** OPTIONS preflights pass unauthenticated. */
  readonly bypassesCorsPreflight: boolean;
}

export interface JwtProvider {
  readonly name: string;
  readonly issuer: string;
  /** Empty = any. */
  readonly audiences: readonly string[];
  readonly keys: /** JSON text of a JWKS; text that does not parse verifies nothing. */
    | { readonly kind: "inline"; readonly jwks: string }
    | { readonly kind: "remote"; readonly uri: string; readonly cacheMs: number; readonly timeoutMs: number };
  /** Where the token is; in order. */
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[];
  readonly fromQuery: readonly string[];
  readonly fromCookies: readonly string[];
  /** Otherwise the token is taken out of the request. */
  readonly forwardsToken: boolean;
  readonly payloadHeader: string | undefined;
  readonly claimHeaders: readonly { readonly header: string; readonly claim: string }[];
  /** Claims whose text is a list separated by blanks. */
  readonly spaceDelimitedClaims: readonly string[];
  readonly clockSkewSeconds: number;
}

export type JwtRequirement =
  | { readonly kind: "provider"; readonly name: string; readonly audiences?: readonly string[] }
  | { readonly kind: "any"; readonly of: readonly JwtRequirement[] }
  | { readonly kind: "all"; readonly of: readonly JwtRequirement[] }
  | { readonly kind: "allow-missing" }
  | { readonly kind: "allow-missing-or-failed" };

/** What a token proved. */
export interface VerifiedToken {
  readonly provider: string;
  /** `iss/sub`. */
  readonly principal: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What of a request is looked at, as it arrived. */
export interface AuthenticationRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** Without query. */
  readonly path: string;
  /** Without "?"; empty when there is none. */
  readonly query: string;
  /** With or without pseudo-headers. */
  readonly headers: HeaderList;
}

export type AuthenticationVerdict =
  | { readonly kind: "ok"; readonly token?: VerifiedToken; readonly changes: RequestChanges }
  | {
      readonly kind: "refuse";
      readonly code: typeof ErrorCode.TOKEN_MISSING | typeof ErrorCode.TOKEN_INVALID;
      /** 403: the token is good, but for another audience. */
      readonly status: 401 | 403;
      /** Istio's text, for the answer's body. Never holds a part of the token. */
      readonly message: string;
      /** Value of the header; undefined for 403. */
      readonly wwwAuthenticate: string | undefined;
    };

/** To be made before the request is routed and judged, whatever the token was. `applyRequestChanges` does it. */
export interface RequestChanges {
  /** Lower case. Includes what the claims will be put into, so that nobody but the token fills it. */
  readonly remove: readonly string[];
  /** Added after the removal. */
  readonly add: HeaderList;
  /** Replaces the query; undefined: as it is. */
  readonly query: string | undefined;
}
