export { addressGuard } from "./address-guard.ts";
export { applyRequestChanges, authenticateRequest } from "./authenticate-request.ts";
export { type FetchJwksOptions, fetchJwks } from "./fetch-jwks.ts";
export { jwtFromProto } from "./from-proto.ts";
export { JwksCache } from "./jwks-cache.ts";
export type {
  AuthenticationRequest,
  AuthenticationVerdict,
  JwtAuthentication,
  JwtProvider,
  JwtRequirement,
  RequestChanges,
  VerifiedToken,
} from "./model.ts";
export { createJwtVerifier, type JwtVerifier } from "./verify-jwt.ts";
