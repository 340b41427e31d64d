/** Issuers with real keys, and providers that trust them. */
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";
import type {
  AuthenticationRequest,
  JwtAuthentication,
  JwtProvider,
  JwtRequirement,
} from "../src/authenticate/model.ts";

export const ISSUER = "https://issuer.example";

export interface TestIssuer {
  /** Public. */
  readonly jwk: JWK;
  readonly jwks: string;
  /** An hour valid, for `sub` "alice", unless told otherwise. */
  sign(claims?: JWTPayload, header?: Readonly<Record<string, unknown>>): Promise<string>;
}

export async function createTestIssuer(algorithm = "ES256", keyId: string | undefined = "one"): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const kid = keyId === undefined ? {} : { kid: keyId };
  const jwk: JWK = { ...(await exportJWK(publicKey)), ...kid };
  const nowSeconds = Math.floor(Date.now() / 1000);
  return {
    jwk,
    jwks: JSON.stringify({ keys: [jwk] }),
    sign: (claims = {}, header = {}) =>
      new SignJWT({ iss: ISSUER, sub: "alice", exp: nowSeconds + 3600, ...claims })
        .setProtectedHeader({ alg: algorithm, ...kid, ...header })
        .sign(privateKey),
  };
}

export const provider = (overrides: Partial<JwtProvider> = {}): JwtProvider => ({
  name: "origins-0",
  issuer: ISSUER,
  audiences: [],
  keys: { kind: "inline", jwks: '{"keys":[]}' },
  fromHeaders: [],
  fromQuery: [],
  fromCookies: [],
  forwardsToken: false,
  payloadHeader: undefined,
  claimHeaders: [],
  spaceDelimitedClaims: ["scope", "permission"],
  clockSkewSeconds: 60,
  ...overrides,
});

/** As istiod writes it for one provider: a good token or none. */
export const authentication = (
  providers: readonly JwtProvider[],
  requirement: JwtRequirement = {
    kind: "any",
    of: [...providers.map(({ name }) => ({ kind: "provider" as const, name })), { kind: "allow-missing" }],
  },
): JwtAuthentication => ({
  providers: new Map(providers.map((one) => [one.name, one])),
  requirement,
  bypassesCorsPreflight: true,
});

export const request = (overrides: Partial<AuthenticationRequest> = {}): AuthenticationRequest => ({
  method: "GET",
  scheme: "http",
  authority: "web.shop",
  path: "/cart",
  query: "",
  headers: [],
  ...overrides,
});

export const bearing = (token: string, overrides: Partial<AuthenticationRequest> = {}): AuthenticationRequest =>
  request({ headers: [["authorization", `Bearer ${token}`]], ...overrides });

/** A compact JWS of these texts, unsigned or signed with garbage. */
export const forge = (header: unknown, payload: unknown, signature = "c2ln"): string =>
  `${encode(header)}.${encode(payload)}.${signature}`;

const encode = (part: unknown): string =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
