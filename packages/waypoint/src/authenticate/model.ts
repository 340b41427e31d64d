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
