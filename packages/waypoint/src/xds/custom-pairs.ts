/**
 * CUSTOM policies: a pair of filters, one whose shadow rules say which requests concern the external authorizer, and
 * one that asks it. Parity: istiod\'s CUSTOM policies
 */
import type { ExtAuthz as HttpExtAuthz } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import type { RBAC as HttpRbac } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import type { ExtAuthz as NetworkExtAuthz } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import type { RBAC as NetworkRbac } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import type { MetadataMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/metadata";
import { EVERY_REQUEST } from "../policy/from-proto.ts";
import type { CustomAuthorization, RbacPolicy } from "../policy/model.ts";
import type { SecurityCompilers } from "./context.ts";
import { mustEnforce, Unenforceable } from "./invalid-field.ts";

const SHADOW_PREFIX = "istio_ext_authz_";
const POLICY_ID = `${SHADOW_PREFIX}shadow_effective_policy_id`;
/** Where the HTTP and the network filter leave the id of the policy that matched. */
const RBAC_METADATA: ReadonlySet<string> = new Set(["envoy.filters.http.rbac", "envoy.filters.network.rbac"]);

/** Whether an RBAC filter is the first of a pair and enforces nothing by itself. */
export const isCustomShadow = (filter: HttpRbac | NetworkRbac): boolean =>
  filter.shadowRulesStatPrefix === SHADOW_PREFIX && filter.rules === undefined;

export class CustomPairs {
  readonly #security: SecurityCompilers;
  readonly #shadows: { readonly filter: HttpRbac | NetworkRbac; asked: boolean }[] = [];
  readonly #custom: CustomAuthorization[] = [];

  constructor(security: SecurityCompilers) {
    this.#security = security;
  }

  addShadow(filter: HttpRbac | NetworkRbac): void {
    this.#shadows.push({ filter, asked: false });
  }

  /** @param condition  filter_enabled_metadata; without it every request is asked about */
  addAuthorizer(filter: HttpExtAuthz | NetworkExtAuthz, condition: MetadataMatcher | undefined): void {
    const provider = mustEnforce(this.#security.externalAuthorizerFromProto(filter));
    const when = condition === undefined ? EVERY_REQUEST : this.#policiesOf(condition);
    this.#custom.push({ when, dryRun: false, provider });
  }

  #policiesOf(condition: MetadataMatcher): readonly RbacPolicy[] {
    const prefix = policyPrefix(condition);
    if (this.#shadows.length === 0) throw new Unenforceable("expected an rbac filter with shadow rules before it");
    const policies = this.#shadows.flatMap((shadow) => {
      const found = mustEnforce(this.#security.customPoliciesFromProto(shadow.filter, prefix));
      if (found.length > 0) shadow.asked = true;
      return found;
    });
    if (policies.length === 0)
      throw new Unenforceable(`expected policies named "${prefix}..." in the rbac filter before it`);
    return policies;
  }

  finish(): readonly CustomAuthorization[] {
    if (this.#shadows.some(({ asked }) => !asked)) {
      throw new Unenforceable("expected an ext_authz filter for each rbac filter with shadow rules of CUSTOM policies");
    }
    return this.#custom;
  }
}

function policyPrefix({ filter, path, value, invert }: MetadataMatcher): string {
  const key = path.length === 1 ? path[0]?.segment.value : undefined;
  const match = value?.matchPattern;
  const text = match?.case === "stringMatch" ? match.value.matchPattern : undefined;
  if (!RBAC_METADATA.has(filter) || key !== POLICY_ID || text?.case !== "prefix" || invert) {
    throw new Unenforceable(`expected a prefix of ${POLICY_ID}`, "filter_enabled_metadata");
  }
  return text.value;
}
