/** What a route matches. Spec: envoy.config.route.v3.RouteMatch */
import type { RouteMatch as MatchMessage } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { MetadataMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/metadata";
import type { ValueMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/value";
import { type HeaderMatcher, headerMatcher, type StringMatcher, stringMatcher } from "../route/matcher.ts";
import type { PathMatch, RouteMatch } from "../route/model.ts";
import { compileHeaderMatcher, compileQueryMatcher, compileStringMatcher } from "./compile-string-matcher.ts";
import { at, each, InvalidField, must, refuseUnknown } from "./invalid-field.ts";
import { perMillion } from "./values.ts";

export function compileRouteMatch(message: MatchMessage | undefined): RouteMatch {
  if (message === undefined) throw new InvalidField("expected a match");
  refuseUnknown(message);
  if (message.tlsContext)
    throw new InvalidField("tls_context: expected none, the tunnel has already proved the caller");
  const headers = each("headers", message.headers, compileHeaderMatcher);
  const fraction = message.runtimeFraction?.defaultValue;
  return {
    path: at("path", () => compilePath(message)),
    headers: message.grpc ? [grpcOnly(), ...headers] : headers,
    query: each("query_parameters", message.queryParameters, compileQueryMatcher),
    claims: each("dynamic_metadata", message.dynamicMetadata, compileClaim),
    fractionPerMillion: fraction ? at("runtime_fraction", () => perMillion(fraction)) : 1_000_000,
  };
}

function compilePath({ pathSpecifier: path, caseSensitive }: MatchMessage): PathMatch {
  const ignoreCase = caseSensitive === false;
  switch (path.case) {
    case "prefix":
      return { kind: "prefix", prefix: path.value, ignoreCase };
    case "path":
      return { kind: "exact", path: path.value, ignoreCase };
    case "pathSeparatedPrefix":
      return { kind: "segments", prefix: wholeSegments(path.value), ignoreCase };
    case "safeRegex":
      return { kind: "pattern", matcher: must(stringMatcher({ kind: "pattern", pattern: path.value.regex })) };
    default:
      throw new InvalidField(`expected a prefix, a path or a regular expression, got ${path.case ?? "none"}`);
  }
}

function wholeSegments(prefix: string): string {
  if (/^\/.*[^/?#]$/.test(prefix) && !/[?#]/.test(prefix)) return prefix;
  throw new InvalidField(`expected "/" before and none after the segments, got "${prefix.slice(0, 200)}"`);
}

const grpcOnly = (): HeaderMatcher =>
  headerMatcher({
    name: "content-type",
    value: must(stringMatcher({ kind: "pattern", pattern: "application/grpc(\\+.*)?" })),
  });

const JWT_METADATA = "envoy.filters.http.jwt_authn";

function compileClaim(message: MetadataMatcher): RouteMatch["claims"][number] {
  const [payload, ...path] = message.path.map(({ segment }) => segment.value ?? "");
  if (message.filter !== JWT_METADATA || payload !== "payload" || path.length === 0 || path.includes("")) {
    throw new InvalidField(`expected a claim of ${JWT_METADATA}, got "${message.filter.slice(0, 100)}"`);
  }
  return { path, value: at("value", () => claimMatcher(message.value)), invert: message.invert };
}

/** A claim's text or any element of its list: our reading of claims covers what istiod writes as an `or` of the two. */
function claimMatcher(message: ValueMatcher | undefined): StringMatcher {
  const match = message?.matchPattern;
  switch (match?.case) {
    case "stringMatch":
      return compileStringMatcher(match.value);
    case "presentMatch":
      return { source: match.value ? "present" : "absent", matches: () => match.value };
    case "listMatch":
      return claimMatcher(match.value.matchPattern.value);
    case "orMatch": {
      const matchers = each("or_match", match.value.valueMatchers, claimMatcher);
      const source = matchers.map((matcher) => matcher.source).join(" or ");
      return { source, matches: (text) => matchers.some((matcher) => matcher.matches(text)) };
    }
    default:
      throw new InvalidField(`expected a text or a list of texts, got ${match?.case ?? "none"}`);
  }
}
