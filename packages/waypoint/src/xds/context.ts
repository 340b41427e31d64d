/** What the compilers of listeners and routes are given beside the message. */

import type { ExtAuthz as HttpExtAuthz } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import type { JwtAuthentication as JwtMessage } from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import type { RBAC as HttpRbac } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import type { ExtAuthz as NetworkExtAuthz } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import type { RBAC as NetworkRbac } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import type { Result } from "@ambit/shared/errors";
import type { JwtAuthentication } from "../authenticate/model.ts";
import type { ExternalAuthorizer, RbacPolicy, RuleSet } from "../policy/model.ts";

/** The compilers of what guards a chain; they belong to the stages that enforce it. Each refuses what it does not know. */
export interface SecurityCompilers {
  httpRulesFromProto(filter: HttpRbac): Result<readonly RuleSet[]>;
  networkRulesFromProto(filter: NetworkRbac): Result<readonly RuleSet[]>;
  /** Policies of the shadow rules whose name has the prefix: when an external authorizer is asked. */
  customPoliciesFromProto(filter: HttpRbac | NetworkRbac, prefix: string): Result<readonly RbacPolicy[]>;
  jwtFromProto(filter: JwtMessage): Result<JwtAuthentication>;
  externalAuthorizerFromProto(filter: HttpExtAuthz | NetworkExtAuthz): Result<ExternalAuthorizer>;
}

export interface CompileContext {
  readonly security: SecurityCompilers;
  /** Something was left out that guards nothing. */
  note(text: string): void;
}
