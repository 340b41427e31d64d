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
