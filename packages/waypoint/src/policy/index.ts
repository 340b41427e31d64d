export { concernsExternal, evaluateHttp, evaluateTcp } from "./evaluate.ts";
export type { ExternalCheck, HttpCheck } from "./external/check.ts";
export { externalAuthorizerFromProto } from "./external/from-proto.ts";
export type { DialCluster } from "./external/session-pool.ts";
export {
  bodyBytesWanted,
  ExternalAuthorizers,
  type ExternalAuthorizersInit,
  type ExternalRefusal,
  type ExternalVerdict,
} from "./external-authorizer.ts";
export { customPoliciesFromProto, EVERY_REQUEST, httpRulesFromProto, networkRulesFromProto } from "./from-proto.ts";
export type {
  ConnectionPermit,
  CustomAuthorization,
  ExternalAuthorizer,
  ExternalPermit,
  HttpAttributes,
  HttpAuthorization,
  HttpVerdict,
  PolicyAttributes,
  RbacPolicy,
  RequestPermit,
  RouteRules,
  RuleSet,
  TcpAuthorization,
  TcpVerdict,
} from "./model.ts";
export { policyOf } from "./policy-name.ts";
