/** What can be wrong with a token, in the words of Envoy's jwt_authn, which people search for. */

export const JwtProblem = {
  MISSING: "Jwt is missing",
  FORM: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
  TOO_LONG: "Jwt is too long",
  HEADER: "Jwt header is an invalid JSON",
  PAYLOAD: "Jwt payload is an invalid JSON",
  ALGORITHM: "Jwt header [alg] is not supported",
  CRITICAL: "Jwt header [crit] is not supported",
  TIMES: "Jwt payload [exp] or [nbf] field is not a number",
  EXPIRED: "Jwt is expired",
  NOT_YET: "Jwt not yet valid",
  ISSUER: "Jwt issuer is not configured",
  AUDIENCE: "Audiences in Jwt are not allowed",
  NO_KEY: "Jwks doesn't have key to match kid or alg from Jwt",
  SIGNATURE: "Jwt verification fails",
  FETCH: "Jwks remote fetch is failed",
  SEVERAL: "Jwt is given more than once",
} as const;
export type JwtProblem = (typeof JwtProblem)[keyof typeof JwtProblem];
