/** Objects of namespace `app` in the tests of layer 7. */
import { generateKeyPairSync, sign } from "node:crypto";

const GATEWAY_API = "gateway.networking.k8s.io/v1";
const SECURITY = "security.istio.io/v1";
const ISSUER = "https://issuer.example";

export const toService = (name: string) => [{ group: "", kind: "Service", name }];

/** An HTTPRoute of service `web`. */
export const httpRoute = (rules: readonly object[]) => ({
  apiVersion: GATEWAY_API,
  kind: "HTTPRoute",
  metadata: { name: "web", namespace: "app" },
  spec: { parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }], rules },
});

export const policy = (name: string, spec: object) => ({
  apiVersion: SECURITY,
  kind: "AuthorizationPolicy",
  metadata: { name, namespace: "app" },
  spec,
});

/** One more service of the pods of `web`. */
export const webService = (name: string, port: object) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "app" },
  spec: { selector: { app: "web" }, ports: [port] },
});

/** A RequestAuthentication of service `web`, and who makes tokens that it believes. */
export function tokenRules() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...publicKey.export({ format: "jwk" }), kid: "k1", use: "sig", alg: "ES256" };
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const object = {
    apiVersion: SECURITY,
    kind: "RequestAuthentication",
    metadata: { name: "tokens", namespace: "app" },
    spec: { targetRefs: toService("web"), jwtRules: [{ issuer: ISSUER, jwks: JSON.stringify({ keys: [key] }) }] },
  };
  /** For `alice`, for ten minutes, unless told otherwise. */
  const token = (claims: object = {}, header: object = { alg: "ES256", kid: "k1", typ: "JWT" }): string => {
    const usual = { iss: ISSUER, sub: "alice", exp: Math.floor(Date.now() / 1000) + 600 };
    const signed = `${encode(header)}.${encode({ ...usual, ...claims })}`;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  };
  return { object, principal: `${ISSUER}/alice`, token };
}
