/** Is this token genuine, in force, and meant for us? Spec: RFC 7519, RFC 8725; Istio JWTRule */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { JwksCache } from "./jwks-cache.ts";
import { JwtProblem } from "./jwt-problem.ts";
import type { JwtProvider } from "./model.ts";
import { type ParsedJwt, parseJwt } from "./parse-jwt.ts";
import { SignatureVerifier } from "./verify-signature.ts";

export interface JwtVerifier {
  /** @param audiences  empty = any */
  verify(token: string, provider: JwtProvider, audiences: readonly string[]): Promise<Result<ParsedJwt, JwtProblem>>;
}

/** Only signatures are remembered; everything else, the times above all, is asked of every request. */
export function createJwtVerifier(jwks: JwksCache, clock: Clock): JwtVerifier {
  const signatures = new SignatureVerifier(jwks);
  return {
    async verify(token, provider, audiences) {
      const parsed = parseJwt(token);
      if (!parsed.ok) return parsed;
      const jwt = parsed.value;
      if (jwt.claims["iss"] !== provider.issuer) return err(JwtProblem.ISSUER);
      const untimely = timeProblem(jwt.claims, clock.now() / 1000, provider.clockSkewSeconds);
      if (untimely !== undefined) return err(untimely);
      const problem = await signatures.findProblem(token, jwt, provider.keys);
      if (problem !== undefined) return err(problem);
      return hasAudience(jwt.claims["aud"], audiences) ? ok(jwt) : err(JwtProblem.AUDIENCE);
    },
  };
}

function timeProblem(
  { exp, nbf }: Readonly<Record<string, unknown>>,
  nowSeconds: number,
  skewSeconds: number,
): JwtProblem | undefined {
  if (!isTime(exp) || !isTime(nbf)) return JwtProblem.TIMES;
  if (exp !== undefined && nowSeconds > exp + skewSeconds) return JwtProblem.EXPIRED;
  if (nbf !== undefined && nowSeconds + skewSeconds < nbf) return JwtProblem.NOT_YET;
  return undefined;
}

const isTime = (value: unknown): value is number | undefined =>
  value === undefined || (typeof value === "number" && Number.isFinite(value));

/** Differs: Envoy compares audiences without their scheme and trailing slash; here they are compared as they are. */
function hasAudience(audience: unknown, accepted: readonly string[]): boolean {
  if (accepted.length === 0) return true;
  const own: readonly unknown[] = Array.isArray(audience) ? audience : [audience];
  return own.some((one) => typeof one === "string" && accepted.includes(one));
}
