/** Reads a compact JWS strictly, without believing it yet. Total. Spec: RFC 7515, RFC 7519, RFC 8725 */
import { err, ok, type Result } from "@ambit/shared/errors";
import { parseUniqueJson } from "./check-json.ts";
import { JwtProblem } from "./jwt-problem.ts";

/** Bytes; more is refused unread. */
export const MAX_TOKEN_LENGTH = 8192;

/**
 * What a public key can verify. Never `none`, and never HS*: a key set is public, so anybody could sign with it.
 * Differs: Envoy also takes HS256 with an `oct` key.
 */
export const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export interface ParsedJwt {
  readonly algorithm: Algorithm;
  readonly keyId: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
  /** As in the token, base64url. */
  readonly payload: string;
}

export function parseJwt(token: string): Result<ParsedJwt, JwtProblem> {
  if (token.length > MAX_TOKEN_LENGTH) return err(JwtProblem.TOO_LONG);
  const [head, payload, signature, ...rest] = token.split(".");
  if (!head || !payload || !signature || rest.length > 0) return err(JwtProblem.FORM);
  if (!isBase64Url(signature)) return err(JwtProblem.FORM);
  const header = decodeObject(head);
  if (!header.ok) return err(JwtProblem.HEADER);
  const checked = checkHeader(header.value);
  if (!checked.ok) return checked;
  const claims = decodeObject(payload);
  return claims.ok ? ok({ ...checked.value, claims: claims.value, payload }) : err(JwtProblem.PAYLOAD);
}

/** `jku`, `jwk`, `x5u` and `x5c` say where a key is to be had; nobody asks them. */
function checkHeader(
  header: Readonly<Record<string, unknown>>,
): Result<Pick<ParsedJwt, "algorithm" | "keyId">, JwtProblem> {
  const { alg, kid } = header as { alg?: unknown; kid?: unknown };
  if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return err(JwtProblem.CRITICAL);
  const algorithm = ALGORITHMS.find((known) => known === alg);
  if (algorithm === undefined) return err(JwtProblem.ALGORITHM);
  if (kid !== undefined && typeof kid !== "string") return err(JwtProblem.HEADER);
  return ok({ algorithm, keyId: kid });
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeObject(segment: string): Result<Readonly<Record<string, unknown>>> {
  if (!isBase64Url(segment)) return err("expected base64url");
  try {
    return parseUniqueJson(utf8.decode(Buffer.from(segment, "base64url")));
  } catch {
    return err("expected UTF-8");
  }
}

/** In the one spelling that the bytes have, so that a token has no twin. */
const isBase64Url = (text: string): boolean =>
  /^[A-Za-z0-9_-]+$/.test(text) && Buffer.from(text, "base64url").toString("base64url") === text;
