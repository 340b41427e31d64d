/** A JWKS: public keys, and which of them a token may have been signed with. Spec: RFC 7517 */
import { err, ok, type Result } from "@ambit/shared/errors";
import { type CryptoKey, importJWK, type JWK } from "jose";
import type { Algorithm } from "./parse-jwt.ts";

/** More keys than any issuer has; the rest is left out. */
const MAX_KEYS = 100;
/** Characters of a modulus: 8192 bits. Larger ones only cost time. */
const MAX_MODULUS_LENGTH = 1366;

interface PublicKey {
  readonly keyId: string | undefined;
  readonly jwk: JWK;
  readonly algorithm: string | undefined;
}

let lastId = 0;

export class KeySet {
  /** Unlike every other set's in this process. */
  readonly id: number;
  readonly #keys: readonly PublicKey[];
  readonly #imported = new Map<string, Promise<CryptoKey>>();

  constructor(keys: readonly PublicKey[]) {
    lastId += 1;
    this.id = lastId;
    this.#keys = keys;
  }

  get size(): number {
    return this.#keys.length;
  }

  /**
   * The keys to try, in order; none: the token cannot be verified by this set. A token that names a key is tried with
   * keys of that name, and with keys that have none. Parity: Envoy's verifier
   */
  candidates(algorithm: Algorithm, keyId: string | undefined): Promise<CryptoKey>[] {
    const found: Promise<CryptoKey>[] = [];
    for (const [index, key] of this.#keys.entries()) {
      const named = keyId === undefined || key.keyId === undefined || key.keyId === keyId;
      if (named && fits(key, algorithm)) found.push(this.#import(index, key, algorithm));
    }
    return found;
  }

  #import(index: number, key: PublicKey, algorithm: Algorithm): Promise<CryptoKey> {
    const id = `${index} ${algorithm}`;
    let imported = this.#imported.get(id);
    if (imported === undefined) {
      imported = importJWK(key.jwk, algorithm) as Promise<CryptoKey>;
      imported.catch(ignore); // whoever awaits it is told
      this.#imported.set(id, imported);
    }
    return imported;
  }
}

/** Keys that are unusable (symmetric, for encryption, of an unknown kind) are left out; a set without any verifies nothing. */
export function parseKeySet(text: string): Result<KeySet> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return err("JWKS: expected JSON");
  }
  const keys = (value as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) return err('JWKS: expected an object with a list "keys"');
  return ok(new KeySet(keys.slice(0, MAX_KEYS).flatMap(publicKey)));
}

function publicKey(value: unknown): PublicKey[] {
  if (typeof value !== "object" || value === null) return [];
  const { kty, kid, alg, use, key_ops: operations } = value as Readonly<Record<string, unknown>>;
  const jwk = publicPart(value as Readonly<Record<string, unknown>>, kty);
  const signs = use === undefined || use === "sig";
  const verifies = operations === undefined || (Array.isArray(operations) && operations.includes("verify"));
  if (jwk === undefined || !signs || !verifies) return [];
  return [{ jwk, keyId: textOf(kid), algorithm: textOf(alg) }];
}

/** Nothing but what verifying takes: neither a private half nor an opinion on where to find certificates. */
function publicPart({ n, e, crv, x, y }: Readonly<Record<string, unknown>>, kty: unknown): JWK | undefined {
  if (kty === "RSA" && isShort(n) && isShort(e)) return { kty, n, e };
  if (kty === "EC" && isShort(crv) && isShort(x) && isShort(y)) return { kty, crv, x, y };
  if (kty === "OKP" && crv === "Ed25519" && isShort(x)) return { kty, crv, x };
  return undefined;
}

const isShort = (value: unknown): value is string => typeof value === "string" && value.length <= MAX_MODULUS_LENGTH;
const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

function fits({ jwk, algorithm: own }: PublicKey, algorithm: Algorithm): boolean {
  if (own !== undefined && own !== algorithm && !(own === "Ed25519" && algorithm === "EdDSA")) return false;
  if (algorithm === "EdDSA") return jwk.kty === "OKP";
  const curve = CURVES[algorithm];
  return curve === undefined ? jwk.kty === "RSA" : jwk.kty === "EC" && jwk.crv === curve;
}

function ignore(): void {}
