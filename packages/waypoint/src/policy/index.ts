export { concernsExternal, evaluateHttp, evaluateTcp } from "./evaluate.ts";
export { customPoliciesFromProto, httpRulesFromProto, networkRulesFromProto } from "./from-proto.ts";
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
  RuleSet,
  TcpAuthorization,
  TcpVerdict,
} from "./model.ts";
export { policyOf } from "./policy-name.ts";
