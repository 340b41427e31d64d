/** Envoy's string matchers over one text of a request, as conditions. */

import type { StringMatcher as ProtoStringMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { err, ok, type Result } from "@ambit/shared/errors";
import { asciiLowerCase, type StringMatcher, stringMatcher } from "../route/matcher.ts";
import { wireText } from "../route/wire-text.ts";
import { type Condition, type Leaning, missing, test } from "./condition.ts";
import type { IndexKey, IndexKeys } from "./model.ts";
import type { PolicyFacts } from "./policy-facts.ts";

/** A matcher, and what is known of it besides. */
export interface TextRule {
  readonly matcher: StringMatcher;
  /** Any text that is not empty: so istiod writes `*`. Whether something is there at all is never in doubt. */
  readonly isPresence: boolean;
  keysFor(dimension: IndexKey["dimension"]): IndexKeys | undefined;
}

/** What a text is held as: `wire` is a character a byte, as fields and paths of a message are (see `wireText`). */
export type TextForm = "wire" | "text";

/** Spec: envoy.type.matcher.v3.StringMatcher. `custom` is not understood. */
export function textRuleFromProto(proto: ProtoStringMatcher | undefined, form: TextForm): Result<TextRule> {
  const pattern = proto?.matchPattern;
  switch (pattern?.case) {
    case "exact":
    case "prefix":
    case "suffix":
    case "contains": {
      const text = inForm(pattern.value, form);
      const matcher = stringMatcher({ kind: pattern.case, text, ignoreCase: proto?.ignoreCase ?? false });
      return matcher.ok ? ok(textRule(matcher.value, pattern.case, text)) : matcher;
    }
    case "safeRegex": {
      const { regex } = pattern.value;
      const matcher = stringMatcher({ kind: "pattern", pattern: inForm(regex, form) });
      return matcher.ok
        ? ok({ matcher: matcher.value, isPresence: regex === ".+", keysFor: () => undefined })
        : matcher;
    }
    default:
      return err(`expected a string matcher that is known, got ${pattern?.case ?? "none"}`);
  }
}

/** A condition on a text that the request may lack. */
export function textCondition(
  rule: TextRule,
  leaning: Leaning,
  textOf: (facts: PolicyFacts) => string | undefined,
  dimension?: IndexKey["dimension"],
): Condition {
  const { matcher } = rule;
  const absent = rule.isPresence ? false : missing(leaning);
  return test((facts) => {
    const text = textOf(facts);
    return text === undefined ? absent : matcher.matches(text);
  }, dimension && rule.keysFor(dimension));
}

const inForm = (text: string, form: TextForm): string => (form === "wire" ? wireText(text) : text);

function textRule(matcher: StringMatcher, kind: IndexKey["kind"] | "contains", text: string): TextRule {
  // Only ASCII: what lower case is elsewhere is a matter of opinion, and an index must not miss a policy.
  const indexable = kind !== "contains" && /^[\x20-\x7e]*$/.test(text);
  const key = asciiLowerCase(text);
  return {
    matcher,
    isPresence: false,
    keysFor: (dimension) => (indexable ? [{ dimension, kind: kind as IndexKey["kind"], text: key }] : undefined),
  };
}
