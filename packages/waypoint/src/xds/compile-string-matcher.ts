/** Envoy's matchers of texts, headers and query parameters. */
import type {
  HeaderMatcher as HeaderMessage,
  QueryParameterMatcher,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { StringMatcher as StringMessage } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import {
  type HeaderMatcher,
  headerMatcher,
  type StringMatcher,
  type StringSpec,
  stringMatcher,
} from "../route/matcher.ts";
import { wireText } from "../route/wire-text.ts";
import { at, InvalidField, must, refuseUnknown } from "./invalid-field.ts";

/** For text that is compared as it is; see `compileWireMatcher` for header values. */
export const compileStringMatcher = (message: StringMessage): StringMatcher => must(stringMatcher(specOf(message)));

/** For text off the wire, which holds a character a byte. */
export const compileWireMatcher = (message: StringMessage): StringMatcher =>
  must(stringMatcher(onWire(specOf(message))));

function specOf(message: StringMessage): StringSpec {
  refuseUnknown(message);
  const { matchPattern, ignoreCase } = message;
  switch (matchPattern.case) {
    case "exact":
    case "prefix":
    case "suffix":
    case "contains":
      return { kind: matchPattern.case, text: matchPattern.value, ignoreCase };
    case "safeRegex":
      return { kind: "pattern", pattern: matchPattern.value.regex };
    default:
      throw new InvalidField(
        `expected exact, prefix, suffix, contains or safe_regex, got ${matchPattern.case ?? "none"}`,
      );
  }
}

const onWire = (spec: StringSpec): StringSpec =>
  spec.kind === "pattern" ? { ...spec, pattern: wireText(spec.pattern) } : { ...spec, text: wireText(spec.text) };

/** Routes read repeated fields joined, as Envoy does. */
export function compileHeaderMatcher(message: HeaderMessage): HeaderMatcher {
  refuseUnknown(message);
  if (message.name === "") throw new InvalidField("expected a name");
  return headerMatcher({
    name: message.name,
    value: at("match", () => headerValue(message)),
    invert: message.invertMatch,
    missingAsEmpty: message.treatMissingHeaderAsEmpty,
  });
}

function headerValue({ headerMatchSpecifier: match }: HeaderMessage): StringMatcher | "present" | "absent" {
  switch (match.case) {
    case undefined:
      return "present";
    case "presentMatch":
      return match.value ? "present" : "absent";
    case "stringMatch":
      return compileWireMatcher(match.value);
    case "exactMatch":
      return text("exact", match.value);
    case "prefixMatch":
      return text("prefix", match.value);
    case "suffixMatch":
      return text("suffix", match.value);
    case "containsMatch":
      return text("contains", match.value);
    case "safeRegexMatch":
      return must(stringMatcher(onWire({ kind: "pattern", pattern: match.value.regex })));
    case "rangeMatch":
      return rangeMatcher(match.value.start, match.value.end);
    default:
      return match satisfies never;
  }
}

const text = (kind: "exact" | "prefix" | "suffix" | "contains", value: string): StringMatcher =>
  must(stringMatcher(onWire({ kind, text: value })));

/** Whole numbers from `start` up to, not including, `end`. */
function rangeMatcher(start: bigint, end: bigint): StringMatcher {
  const contains = (value: bigint): boolean => value >= start && value < end;
  return {
    source: `range [${start}, ${end})`,
    matches: (value) => /^-?\d{1,19}$/.test(value) && contains(BigInt(value)),
  };
}

/** `value` undefined: the parameter only has to be there. */
export function compileQueryMatcher(message: QueryParameterMatcher): {
  readonly name: string;
  readonly value: StringMatcher | undefined;
} {
  refuseUnknown(message);
  const { name, queryParameterMatchSpecifier: match } = message;
  if (name === "") throw new InvalidField("expected a name");
  return { name, value: match.case === "stringMatch" ? compileWireMatcher(match.value) : undefined };
}
