import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { parseCidr } from "../net/index.ts";
import * as proto from "../proto/index.ts";
import type { AuthorizationPolicy, PolicyMatch, ServiceAccountMatch, StringMatch } from "./model.ts";

const SCOPES = {
  Global: proto.PolicyScope.GLOBAL,
  Namespace: proto.PolicyScope.NAMESPACE,
  WorkloadSelector: proto.PolicyScope.WORKLOAD_SELECTOR,
} as const;
const ACTIONS = { Allow: proto.PolicyAction.ALLOW, Deny: proto.PolicyAction.DENY } as const;

/**
 * The resource `type.googleapis.com/istio.security.Authorization` of a policy; its name is `policyKey(policy)`.
 *
 * @throws TypeError when a CIDR text does not parse
 */
export function policyToProto(policy: AuthorizationPolicy): proto.Authorization {
  return create(proto.AuthorizationSchema, {
    name: policy.name,
    namespace: policy.namespace,
    scope: SCOPES[policy.scope],
    action: ACTIONS[policy.action],
    dryRun: policy.dryRun,
    rules: policy.rules.map((rule) =>
      create(proto.PolicyRuleSchema, {
        clauses: rule.map((clause) => create(proto.PolicyClauseSchema, { matches: clause.map(match) })),
      }),
    ),
  });
}

function match(value: PolicyMatch): proto.PolicyMatch {
  return create(proto.PolicyMatchSchema, {
    namespaces: (value.namespaces ?? []).map(text),
    notNamespaces: (value.notNamespaces ?? []).map(text),
    principals: (value.principals ?? []).map(text),
    notPrincipals: (value.notPrincipals ?? []).map(text),
    serviceAccounts: (value.serviceAccounts ?? []).map(account),
    notServiceAccounts: (value.notServiceAccounts ?? []).map(account),
    sourceIps: (value.sourceIps ?? []).map(address),
    notSourceIps: (value.notSourceIps ?? []).map(address),
    destinationIps: (value.destinationIps ?? []).map(address),
    notDestinationIps: (value.notDestinationIps ?? []).map(address),
    destinationPorts: [...(value.destinationPorts ?? [])],
    notDestinationPorts: [...(value.notDestinationPorts ?? [])],
  });
}

function text(value: StringMatch): proto.StringMatch {
  // Presence is an empty sub-message, and must be on the wire as one.
  if (value.kind === "presence") {
    return create(proto.StringMatchSchema, { matchType: { case: "presence", value: create(EmptySchema) } });
  }
  return create(proto.StringMatchSchema, { matchType: { case: value.kind, value: value.value } });
}

const account = (value: ServiceAccountMatch): proto.ServiceAccountMatch =>
  create(proto.ServiceAccountMatchSchema, { ...value });

function address(cidrText: string): proto.PolicyAddress {
  const cidr = parseCidr(cidrText);
  if (!cidr.ok) throw new TypeError(cidr.error);
  return create(proto.PolicyAddressSchema, { address: cidr.value.bytes, length: cidr.value.prefixLength });
}
