/** Was this token signed with one of the issuer's keys? Remembers the answer, by key set: a new set is asked anew. */
import { createHash } from "node:crypto";
import { type CryptoKey, compactVerify } from "jose";
import type { JwksCache } from "./jwks-cache.ts";
import { JwtProblem } from "./jwt-problem.ts";
import type { KeySet } from "./key-set.ts";
import type { JwtProvider } from "./model.ts";
import type { ParsedJwt } from "./parse-jwt.ts";
import { RecentEntries } from "./recent-entries.ts";

const MAX_REMEMBERED = 4096;
/** Keys tried for a token that names none of several. */
const MAX_TRIES = 8;

export class SignatureVerifier {
  readonly #jwks: JwksCache;
  readonly #verified = new RecentEntries<true>(MAX_REMEMBERED);

  constructor(jwks: JwksCache) {
    this.#jwks = jwks;
  }

  async findProblem(token: string, jwt: ParsedJwt, keys: JwtProvider["keys"]): Promise<JwtProblem | undefined> {
    const current = await this.#jwks.get(keys);
    if (!current.ok) return JwtProblem.FETCH;
    if (this.#verified.get(memoryKey(current.value, token)) === true) return undefined;
    let { set, candidates } = keysIn(current.value, jwt);
    if (candidates.length === 0) {
      const fetched = await this.#jwks.refreshed(keys);
      if (!fetched.ok) return JwtProblem.FETCH;
      ({ set, candidates } = keysIn(fetched.value, jwt));
    }
    if (candidates.length === 0) return JwtProblem.NO_KEY;
    if (!(await verifiesWithAny(token, candidates, jwt.algorithm))) return JwtProblem.SIGNATURE;
    this.#verified.set(memoryKey(set, token), true);
    return undefined;
  }
}

const keysIn = (set: KeySet, { algorithm, keyId }: ParsedJwt) => ({
  set,
  candidates: set.candidates(algorithm, keyId).slice(0, MAX_TRIES),
});

const memoryKey = (set: KeySet, token: string): string =>
  `${set.id} ${createHash("sha256").update(token).digest("base64url")}`;

async function verifiesWithAny(
  token: string,
  keys: readonly Promise<CryptoKey>[],
  algorithm: string,
): Promise<boolean> {
  for (const key of keys) {
    try {
      await compactVerify(token, await key, { algorithms: [algorithm] });
      return true;
    } catch {
      // A bad signature, a key that cannot be imported, or one too weak (RSA under 2048 bits): the next, then.
    }
  }
  return false;
}
