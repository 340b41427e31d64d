export { claimValues } from "./claim-values.ts";
export { type CorsVerdict, decideCors } from "./cors.ts";
export {
  type EffectiveTimeouts,
  effectiveTimeouts,
  expectedTimeoutHeader,
  NO_OVERRIDES,
  type RequestedOverrides,
  readOverrides,
  withoutControlFields,
} from "./effective-timeout.ts";
export { decideFault, type Fault } from "./fault.ts";
export { type FormatFacts, resolverOf } from "./format-facts.ts";
export { formatGrpcTimeout, parseGrpcTimeout } from "./grpc-timeout.ts";
export { cookieOf, type HashFacts, type HashKey, hashKey } from "./hash-key.ts";
export { type CommandResolver, formatHeader, parseHeaderFormat } from "./header-format.ts";
export { mutateHeaders, operationsOf } from "./header-mutations.ts";
export {
  draws,
  findVirtualHost,
  matchesPath,
  matchRoute,
  parseQuery,
  pickWeighted,
  type RouteVerdict,
  withPseudoHeaders,
} from "./match-route.ts";
export {
  asciiLowerCase,
  type HeaderMatcher,
  type HeaderSpec,
  headerMatcher,
  type RepeatedFields,
  type StringMatcher,
  type StringSpec,
  stringMatcher,
  valuesOf,
} from "./matcher.ts";
export type * from "./model.ts";
export { NO_MUTATIONS, NO_OPERATIONS } from "./model.ts";
export { type NormalAuthority, normalizeAuthority } from "./normalize-authority.ts";
export { hasDotSegments, type NormalPath, normalizePath, withoutParameters } from "./normalize-path.ts";
export { compilePattern, MAX_PATTERN_LENGTH, type Pattern } from "./pattern.ts";
export { type RewrittenTarget, rewriteTarget } from "./rewrite.ts";
export { prefixesAmong, routesFor } from "./routes-by-tunnel.ts";
export { formatStartTime } from "./start-time.ts";
export { wireText } from "./wire-text.ts";
