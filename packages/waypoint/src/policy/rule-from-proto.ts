/**
 * Permissions and principals of Envoy's RBAC, as conditions. Spec: envoy.config.rbac.v3
 * Whatever is not understood is an error, so that its chain is not served with half a policy.
 */

import type { CidrRange } from "@ambit/envoy-api/envoy/config/core/v3/address";
import type { Permission, Principal } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import type { FilterStateMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/filter_state";
import type { StringMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import type { Int32Range } from "@ambit/envoy-api/envoy/type/v3/range";
import { err, ok, type Result } from "@ambit/shared/errors";
import { CidrMap, type IpBits, makeCidr, parseCidr } from "@ambit/shared/net";
import { claimCondition } from "./claim-from-proto.ts";
import { ALWAYS, allOf, anyOf, type Condition, type Leaning, missing, not, opposite, test } from "./condition.ts";
import { headerCondition } from "./header-from-proto.ts";
import { pathCondition, uriTemplateCondition } from "./path-from-proto.ts";
import { peerPatternCondition } from "./peer-pattern.ts";
import type { PolicyFacts } from "./policy-facts.ts";
import { textCondition, textRuleFromProto } from "./text-from-proto.ts";

/** Where the tunnel's peer is found. Parity: istiod, filter state `io.istio.peer_principal` */
const PEER_PRINCIPAL = "io.istio.peer_principal";
/** Decoding a message stops at 100 levels; a condition takes two or three of them. */
const MAX_DEPTH = 32;

/** Where we are in the tree: how deep still, and which way an answer leans. */
interface Place {
  readonly leaning: Leaning;
  readonly depth: number;
}

type Purpose = Leaning["purpose"];
const top = (purpose: Purpose): Place => ({ leaning: { purpose, inverted: false }, depth: MAX_DEPTH });

export const permissionCondition = (proto: Permission, purpose: Purpose): Result<Condition> =>
  permission(proto, top(purpose));

export const principalCondition = (proto: Principal, purpose: Purpose): Result<Condition> =>
  principal(proto, top(purpose));

function permission(proto: Permission, place: Place): Result<Condition> {
  const { rule } = proto;
  const { leaning } = place;
  switch (rule.case) {
    case "andRules":
      return combine(rule.value.rules, place, permission, allOf);
    case "orRules":
      return combine(rule.value.rules, place, permission, anyOf);
    case "notRule":
      return negate(rule.value, place, permission);
    case "any":
      return rule.value ? ok(ALWAYS) : err("permission: expected any to be true");
    case "header":
      return headerCondition(rule.value, leaning);
    case "urlPath":
      return pathCondition(rule.value, leaning);
    case "uriTemplate":
      return uriTemplateCondition(rule.value, leaning);
    case "destinationIp":
      return cidrCondition(rule.value, leaning, (facts) => facts.destinationBits);
    case "destinationPort":
      return ok(portCondition(rule.value));
    case "destinationPortRange":
      return portRangeCondition(rule.value);
    case "metadata":
      return claimCondition(rule.value, leaning);
    case "requestedServerName":
      return stringCondition(rule.value, leaning, (facts) => facts.sni);
    default:
      return err(`permission: expected a kind that is known, got ${rule.case ?? "none"}`);
  }
}

function principal(proto: Principal, place: Place): Result<Condition> {
  const { identifier } = proto;
  const { leaning } = place;
  switch (identifier.case) {
    case "andIds":
      return combine(identifier.value.ids, place, principal, allOf);
    case "orIds":
      return combine(identifier.value.ids, place, principal, anyOf);
    case "notId":
      return negate(identifier.value, place, principal);
    case "any":
      return identifier.value ? ok(ALWAYS) : err("principal: expected any to be true");
    case "authenticated":
      return authenticatedCondition(identifier.value.principalName, leaning);
    case "filterState":
      return filterStateCondition(identifier.value, leaning);
    case "directRemoteIp":
    case "sourceIp":
      return cidrCondition(identifier.value, leaning, (facts) => facts.sourceBits);
    case "remoteIp":
      return cidrCondition(identifier.value, leaning, (facts) => facts.remoteBits);
    case "header":
      return headerCondition(identifier.value, leaning);
    case "urlPath":
      return pathCondition(identifier.value, leaning);
    case "metadata":
      return claimCondition(identifier.value, leaning);
    default:
      return err(`principal: expected a kind that is known, got ${identifier.case ?? "none"}`);
  }
}

type Compile<Proto> = (proto: Proto, place: Place) => Result<Condition>;

function combine<Proto>(
  protos: readonly Proto[],
  place: Place,
  compile: Compile<Proto>,
  join: (conditions: readonly Condition[]) => Condition,
): Result<Condition> {
  if (place.depth === 0) return err(`expected at most ${MAX_DEPTH} conditions inside one another`);
  if (protos.length === 0) return err("expected conditions to combine, got none");
  const conditions: Condition[] = [];
  for (const proto of protos) {
    const condition = compile(proto, { ...place, depth: place.depth - 1 });
    if (!condition.ok) return condition;
    conditions.push(condition.value);
  }
  return ok(join(conditions));
}

function negate<Proto>(proto: Proto, place: Place, compile: Compile<Proto>): Result<Condition> {
  if (place.depth === 0) return err(`expected at most ${MAX_DEPTH} conditions inside one another`);
  const inner = compile(proto, { leaning: opposite(place.leaning), depth: place.depth - 1 });
  return inner.ok ? ok(not(inner.value)) : inner;
}

/** Any peer that proved who it is, or one of a name. */
function authenticatedCondition(name: StringMatcher | undefined, leaning: Leaning): Result<Condition> {
  if (name === undefined) return ok(test((facts) => facts.peerPrincipal !== undefined));
  return peerCondition(name, leaning);
}

function filterStateCondition(proto: FilterStateMatcher, leaning: Leaning): Result<Condition> {
  if (proto.key !== PEER_PRINCIPAL) return err(`filter state: expected ${PEER_PRINCIPAL}, got "${proto.key}"`);
  if (proto.matcher.case !== "stringMatch") return err("filter state: expected a string matcher");
  return peerCondition(proto.matcher.value, leaning);
}

function peerCondition(proto: StringMatcher, leaning: Leaning): Result<Condition> {
  if (proto.matchPattern.case === "safeRegex") {
    const known = peerPatternCondition(proto.matchPattern.value.regex, leaning);
    if (known !== undefined) return ok(known);
  }
  const rule = textRuleFromProto(proto, "text");
  return rule.ok ? ok(textCondition(rule.value, leaning, (facts) => facts.peerPrincipal, "principal")) : rule;
}

function stringCondition(
  proto: StringMatcher,
  leaning: Leaning,
  textOf: (facts: PolicyFacts) => string | undefined,
): Result<Condition> {
  const rule = textRuleFromProto(proto, "text");
  return rule.ok ? ok(textCondition(rule.value, leaning, textOf)) : rule;
}

function cidrCondition(
  proto: CidrRange,
  leaning: Leaning,
  addressOf: (facts: PolicyFacts) => IpBits | undefined,
): Result<Condition> {
  // Envoy reads an absent length as 0, that is, as everything; nobody who writes an address means that.
  if (proto.prefixLen === undefined) return err(`address range ${proto.addressPrefix}: expected a prefix length`);
  const address = parseCidr(proto.addressPrefix);
  if (!address.ok) return err(`address range: ${address.error}`);
  const cidr = proto.addressPrefix.includes(":")
    ? parseCidr(`${proto.addressPrefix}/${proto.prefixLen}`)
    : makeCidr(address.value.bytes, proto.prefixLen);
  if (!cidr.ok) return err(`address range: ${cidr.error}`);
  const table = new CidrMap<true>();
  table.add(cidr.value, true);
  return ok(
    test((facts) => {
      const bits = addressOf(facts);
      return bits === undefined ? missing(leaning) : table.visit(bits, () => true);
    }),
  );
}

const portCondition = (port: number): Condition =>
  test((facts) => facts.destinationPort === port, [{ dimension: "port", kind: "exact", text: String(port) }]);

/** Half open, as in Envoy. */
function portRangeCondition({ start, end }: Int32Range): Result<Condition> {
  if (start < 0 || start >= end || end > 65_536) return err(`port range: expected [0, 65536), got [${start}, ${end})`);
  return ok(test((facts) => facts.destinationPort >= start && facts.destinationPort < end));
}
