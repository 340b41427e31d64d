/** Envoy's header matchers as conditions of a policy. What a repeated field means depends on what the policy is for. */

import type { HeaderMatcher as ProtoHeaderMatcher } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import {
  type StringMatcher as ProtoStringMatcher,
  StringMatcherSchema,
} from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { err, ok, type Result } from "@ambit/shared/errors";
import { create } from "@bufbuild/protobuf";
import { type HeaderMatcher, headerMatcher, type RepeatedFields, valuesOf } from "../route/matcher.ts";
import { type Condition, isWide, type Leaning, missing, not, opposite, test } from "./condition.ts";
import type { IndexKey } from "./model.ts";
import { type TextRule, textRuleFromProto } from "./text-from-proto.ts";

/** Pseudo-headers that an index knows; each occurs once. */
const INDEXED: Readonly<Record<string, IndexKey["dimension"]>> = { ":authority": "authority", ":method": "method" };

/**
 * Spec: envoy.config.route.v3.HeaderMatcher; hardening case 31
 * Differs: Envoy joins repeated fields with "," and compares that, so that a second value slips past a DENY of the
 * first. Here a DENY matches when any value does, or all joined; an ALLOW wants all joined, as Envoy does.
 */
export function headerCondition(proto: ProtoHeaderMatcher, leaning: Leaning): Result<Condition> {
  if (proto.invertMatch) {
    const inner = headerCondition({ ...proto, invertMatch: false }, opposite(leaning));
    return inner.ok ? ok(not(inner.value)) : inner;
  }
  const { headerMatchSpecifier: specifier, name } = proto;
  if (name === "") return err("header matcher: expected a name");
  if (specifier.case === "presentMatch" || specifier.case === undefined) {
    const value = specifier.value === false ? "absent" : "present";
    return ok(onHeaders(headerMatcher({ name, value }), "asks", leaning));
  }
  const rule = textRuleFromProto(stringProto(specifier), "wire");
  if (!rule.ok) return err(`header ${name}: ${rule.error}`);
  return ok(valueCondition(proto, rule.value, leaning));
}

function valueCondition(proto: ProtoHeaderMatcher, rule: TextRule, leaning: Leaning): Condition {
  const missingAsEmpty = proto.treatMissingHeaderAsEmpty;
  const matcher = headerMatcher({ name: proto.name, value: rule.matcher, missingAsEmpty }, repeatedFields(leaning));
  const dimension = INDEXED[matcher.name];
  const absent = missingAsEmpty || rule.isPresence ? "asks" : "missing";
  const condition = onHeaders(matcher, absent, leaning);
  const keys = dimension && rule.keysFor(dimension);
  return keys === undefined ? condition : { ...condition, necessary: [keys] };
}

/** @param absent  whether the matcher knows what to make of a header that is not there; without HTTP nobody does */
function onHeaders(matcher: HeaderMatcher, absent: "asks" | "missing", leaning: Leaning): Condition {
  return test((facts) => {
    if (facts.http === undefined) return missing(leaning);
    const { headers } = facts.http;
    const isMissing = absent === "missing" && valuesOf(headers, matcher.name).length === 0;
    return isMissing ? missing(leaning) : matcher.matches(headers);
  });
}

function repeatedFields(leaning: Leaning): RepeatedFields {
  if (isWide(leaning)) return "any";
  return leaning.purpose === "refuses" ? "every" : "joined";
}

/** The older ways to write a string matcher, as the one that remains. */
function stringProto(specifier: ProtoHeaderMatcher["headerMatchSpecifier"]): ProtoStringMatcher | undefined {
  switch (specifier.case) {
    case "stringMatch":
      return specifier.value;
    case "safeRegexMatch":
      return create(StringMatcherSchema, { matchPattern: { case: "safeRegex", value: specifier.value } });
    case "exactMatch":
    case "prefixMatch":
    case "suffixMatch":
    case "containsMatch": {
      const kind = specifier.case.slice(0, -"Match".length) as "exact" | "prefix" | "suffix" | "contains";
      return create(StringMatcherSchema, { matchPattern: { case: kind, value: specifier.value } });
    }
    default:
      return undefined;
  }
}
