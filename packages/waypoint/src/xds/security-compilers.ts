import { jwtFromProto } from "../authenticate/from-proto.ts";
import { externalAuthorizerFromProto } from "../policy/external/from-proto.ts";
import { customPoliciesFromProto, httpRulesFromProto, networkRulesFromProto } from "../policy/from-proto.ts";
import type { SecurityCompilers } from "./context.ts";

/** The compilers of the stages that enforce what guards a chain. */
export const securityCompilers: SecurityCompilers = {
  customPoliciesFromProto,
  externalAuthorizerFromProto,
  httpRulesFromProto,
  jwtFromProto,
  networkRulesFromProto,
};
