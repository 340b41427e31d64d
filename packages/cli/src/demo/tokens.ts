import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

const KEY_ID = "demo";
const LIFETIME_SECONDS = 600;

/** An issuer of tokens with a key of its own. */
export interface Issuer {
  /** Its public key, as a JSON Web Key Set. */
  readonly jwks: string;
  token(subject: string): string;
}

/** Spec: RFC 7515 and RFC 7518 section 3.4 (ES256). All issuers made here give their key the same name. */
export function createIssuer(name: string): Issuer {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...publicKey.export({ format: "jwk" }), kid: KEY_ID, use: "sig", alg: "ES256" };
  return {
    jwks: JSON.stringify({ keys: [key] }),
    token: (subject) => signed({ iss: name, sub: subject, exp: nowSeconds() + LIFETIME_SECONDS }, privateKey),
  };
}

const nowSeconds = (): number => Math.floor(Date.now() / 1000);
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function signed(claims: object, key: KeyObject): string {
  const text = `${encode({ alg: "ES256", kid: KEY_ID, typ: "JWT" })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}
