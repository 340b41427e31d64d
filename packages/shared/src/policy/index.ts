export { matchesPolicy } from "./evaluate.ts";
export { type PolicyRejection, policyFromProto } from "./from-proto.ts";
export {
  type AuthorizationPolicy,
  type PolicyClause,
  type PolicyDelta,
  type PolicyMatch,
  type PolicyRule,
  policyKey,
  type ServiceAccountMatch,
  type StringMatch,
} from "./model.ts";
export { type PolicyDestination, PolicyStore } from "./policy-store.ts";
export { policyToProto } from "./to-proto.ts";
export type { PolicyConnection, Verdict } from "./verdict.ts";
