/** Conditions on the claims of the verified token: Envoy's metadata matchers on what jwt_authn leaves behind. */

import type { MetadataMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/metadata";
import type { DoubleMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/number";
import type { ValueMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/value";
import { err, ok, type Result } from "@ambit/shared/errors";
import { type Condition, type Leaning, missing, not, opposite, test } from "./condition.ts";
import { textRuleFromProto } from "./text-from-proto.ts";

const JWT_FILTER = "envoy.filters.http.jwt_authn";
const PAYLOAD = "payload";
const MAX_DEPTH = 32;

interface ClaimTest {
  matches(value: unknown): boolean;
  /** Asks whether the claim is there; a claim that is not is then an answer. */
  readonly isPresence: boolean;
}

/** Metadata of other filters does not exist here, so a policy that looks at it cannot be enforced. */
export function claimCondition(proto: MetadataMatcher, leaning: Leaning): Result<Condition> {
  if (proto.invert) {
    const inner = claimCondition({ ...proto, invert: false }, opposite(leaning));
    return inner.ok ? ok(not(inner.value)) : inner;
  }
  if (proto.filter !== JWT_FILTER) return err(`metadata: expected that of ${JWT_FILTER}, got "${proto.filter}"`);
  const path = proto.path.map((segment) => segment.segment.value);
  const [first, ...names] = path;
  if (first !== PAYLOAD || names.some((name) => name === undefined)) {
    return err(`metadata: expected a path that starts with "${PAYLOAD}", got "${path.join(".")}"`);
  }
  const claim = claimTest(proto.value, MAX_DEPTH);
  if (!claim.ok) return err(`metadata ${path.join(".")}: ${claim.error}`);
  const { matches, isPresence } = claim.value;
  return ok(
    test((facts) => {
      const value = findClaim(facts.http?.claims, names as string[]);
      return value === undefined && !isPresence ? missing(leaning) : matches(value);
    }),
  );
}

/** Own members only: a claim named `constructor` is one that the token has. */
function findClaim(claims: unknown, path: readonly string[]): unknown {
  let value = claims;
  for (const name of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** Spec: envoy.type.matcher.v3.ValueMatcher */
function claimTest(proto: ValueMatcher | undefined, depth: number): Result<ClaimTest> {
  if (depth === 0) return err(`expected at most ${MAX_DEPTH} matchers inside one another`);
  const pattern = proto?.matchPattern;
  switch (pattern?.case) {
    case "stringMatch":
      return textTest(pattern.value);
    case "listMatch":
      return listTest(pattern.value.matchPattern.value, depth);
    case "orMatch":
      return eitherTest(pattern.value.valueMatchers, depth);
    case "presentMatch":
      return ok({ isPresence: true, matches: (value) => (value !== undefined) === pattern.value });
    case "boolMatch":
      return ok({ isPresence: false, matches: (value) => value === pattern.value });
    case "nullMatch":
      return ok({ isPresence: false, matches: (value) => value === null });
    case "doubleMatch":
      return numberTest(pattern.value);
    default:
      return err("expected a value matcher that is known");
  }
}

function textTest(proto: Parameters<typeof textRuleFromProto>[0]): Result<ClaimTest> {
  const rule = textRuleFromProto(proto, "text");
  if (!rule.ok) return rule;
  const { matcher, isPresence } = rule.value;
  return ok({ isPresence, matches: (value) => typeof value === "string" && matcher.matches(value) });
}

function listTest(proto: ValueMatcher | undefined, depth: number): Result<ClaimTest> {
  const item = claimTest(proto, depth - 1);
  if (!item.ok) return item;
  const { matches, isPresence } = item.value;
  return ok({ isPresence, matches: (value) => Array.isArray(value) && value.some(matches) });
}

function eitherTest(protos: readonly ValueMatcher[], depth: number): Result<ClaimTest> {
  const tests: ClaimTest[] = [];
  for (const proto of protos) {
    const one = claimTest(proto, depth - 1);
    if (!one.ok) return one;
    tests.push(one.value);
  }
  if (tests.length === 0) return err("expected alternatives, got none");
  const isPresence = tests.every((one) => one.isPresence);
  return ok({ isPresence, matches: (value) => tests.some((one) => one.matches(value)) });
}

function numberTest(proto: DoubleMatcher): Result<ClaimTest> {
  const pattern = proto.matchPattern;
  if (pattern.case === "exact") return ok({ isPresence: false, matches: (value) => value === pattern.value });
  if (pattern.case !== "range") return err("expected a number or a range");
  const { start, end } = pattern.value;
  return ok({ isPresence: false, matches: (value) => typeof value === "number" && value >= start && value < end });
}
