export { type Authority, type AuthorityInit, openAuthority } from "./authority.ts";
export { AuthorityFile, promoteNextRoot, retirePreviousRoots, stageNextRoot } from "./authority-files.ts";
export { type CaAnswer, type CaService, type CaServiceInit, caService } from "./ca-service.ts";
export { authorizeIdentity, type IdentityPermit, type IdentityRestriction } from "./check-request.ts";
export { type AuthenticateCaller, type Caller, createJoinTokens, type JoinTokensInit } from "./join-tokens.ts";
export {
  ALWAYS_SERVED_NAMES,
  createServerCredentials,
  type RenewedCredentials,
  type ServerCredentialsInit,
} from "./server-credentials.ts";
