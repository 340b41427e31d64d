/**
 * `VirtualHost.matcher`: routes chosen by what the tunnel proved. Spec: envoy.config.route.v3.VirtualHost,
 * xds.type.matcher.v3.Matcher
 */
import {
  RouteListSchema,
  type Route as RouteMessage,
  RouteSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { FilterStateInputSchema } from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import type { TypedExtensionConfig } from "@ambit/envoy-api/xds/core/v3/extension";
import type {
  Matcher_MatcherList as List,
  Matcher,
  Matcher_OnMatch as OnMatch,
  Matcher_MatcherList_Predicate as Predicate,
  Matcher_MatcherList_Predicate_PredicateList as PredicateList,
  Matcher_MatcherList_Predicate_SinglePredicate as SinglePredicate,
  Matcher_MatcherTree as Tree,
} from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import type { StringMatcher as StringMessage } from "@ambit/envoy-api/xds/type/matcher/v3/string";
import { type StringMatcher, stringMatcher } from "../route/matcher.ts";
import type { Route } from "../route/model.ts";
import { prefixTree, type RouteTree, type TunnelFact, type TunnelPredicate } from "../route/routes-by-tunnel.ts";
import { at, each, InvalidField, must, refuseUnknown } from "./invalid-field.ts";
import { typeNameOf, unpack } from "./values.ts";

const MAX_DEPTH = 8;

interface Level {
  readonly depth: number;
  compileRoute(message: RouteMessage): Route;
}

/** @param compileRoute  how each of the routes in it is compiled */
export const compileRouteTree = (message: Matcher, compileRoute: Level["compileRoute"]): RouteTree =>
  compileMatcher(message, { depth: MAX_DEPTH, compileRoute });

function compileMatcher(message: Matcher, level: Level): RouteTree {
  if (level.depth === 0) throw new InvalidField(`expected at most ${MAX_DEPTH} levels`);
  refuseUnknown(message);
  const otherwise = message.onNoMatch && at("on_no_match", () => compileOnMatch(message.onNoMatch, level));
  const { matcherType } = message;
  switch (matcherType.case) {
    case "matcherTree":
      return at("matcher_tree", () => compileTree(matcherType.value, level, otherwise));
    case "matcherList":
      return at("matcher_list", () => compileList(matcherType.value, level, otherwise));
    default:
      return otherwise ?? { kind: "list", cases: [], otherwise: undefined };
  }
}

function compileOnMatch(message: OnMatch | undefined, level: Level): RouteTree {
  const result = message?.onMatch;
  if (message) refuseUnknown(message);
  if (result?.case === "matcher") {
    return at("matcher", () => compileMatcher(result.value, { ...level, depth: level.depth - 1 }));
  }
  if (result?.case !== "action") throw new InvalidField("expected a matcher or an action");
  return { kind: "routes", routes: at("action", () => compileAction(result.value, level)) };
}

function compileAction({ typedConfig }: TypedExtensionConfig, { compileRoute }: Level): readonly Route[] {
  if (typedConfig === undefined) throw new InvalidField("expected routes");
  if (typeNameOf(typedConfig) === RouteSchema.typeName) return [compileRoute(unpack(typedConfig, RouteSchema))];
  return each("routes", unpack(typedConfig, RouteListSchema).routes, compileRoute);
}

function compileTree(message: Tree, level: Level, otherwise: RouteTree | undefined): RouteTree {
  const fact = at("input", () => factOf(message.input));
  const { treeType } = message;
  if (treeType.case !== "exactMatchMap" && treeType.case !== "prefixMatchMap") {
    throw new InvalidField(`expected an exact_match_map or a prefix_match_map, got ${treeType.case ?? "none"}`);
  }
  const entries = new Map(
    Object.entries(treeType.value.map).map(([key, onMatch]) => [
      key,
      at(`map["${key.slice(0, 200)}"]`, () => compileOnMatch(onMatch, level)),
    ]),
  );
  return treeType.case === "exactMatchMap"
    ? { kind: "exact", fact, entries, otherwise }
    : prefixTree(fact, entries, otherwise);
}

/** Facts of the tunnel, by the keys under which its end hands them on. */
const FACTS: Readonly<Record<string, TunnelFact>> = {
  "io.istio.peer_principal": "peerPrincipal",
  "io.istio.connect_authority": "authorityText",
};

function factOf(input: TypedExtensionConfig | undefined): TunnelFact {
  if (input?.typedConfig === undefined) throw new InvalidField("expected filter state");
  const message = unpack(input.typedConfig, FilterStateInputSchema);
  refuseUnknown(message);
  const { key } = message;
  const fact = Object.hasOwn(FACTS, key) ? FACTS[key] : undefined;
  if (fact === undefined) throw new InvalidField(`expected the peer or the authority, got "${key.slice(0, 100)}"`);
  return fact;
}

function compileList({ matchers }: List, level: Level, otherwise: RouteTree | undefined): RouteTree {
  const cases = each("matchers", matchers, (message) => {
    refuseUnknown(message);
    return {
      predicate: at("predicate", () => compilePredicate(message.predicate, MAX_DEPTH)),
      tree: at("on_match", () => compileOnMatch(message.onMatch, level)),
    };
  });
  return { kind: "list", cases, otherwise };
}

function compilePredicate(message: Predicate | undefined, depth: number): TunnelPredicate {
  if (depth === 0) throw new InvalidField(`expected at most ${MAX_DEPTH} levels`);
  const match = message?.matchType;
  switch (match?.case) {
    case "singlePredicate":
      return at("single_predicate", () => compileSingle(match.value));
    case "orMatcher": {
      const all = at("or_matcher", () => compileAll(match.value, depth));
      return { source: sourceOf(all, "or"), matches: (tunnel) => all.some((one) => one.matches(tunnel)) };
    }
    case "andMatcher": {
      const all = at("and_matcher", () => compileAll(match.value, depth));
      return { source: sourceOf(all, "and"), matches: (tunnel) => all.every((one) => one.matches(tunnel)) };
    }
    case "notMatcher": {
      const one = at("not_matcher", () => compilePredicate(match.value, depth - 1));
      return { source: `not (${one.source})`, matches: (tunnel) => !one.matches(tunnel) };
    }
    default:
      throw new InvalidField("expected a predicate");
  }
}

const sourceOf = (all: readonly TunnelPredicate[], word: string): string =>
  `(${all.map(({ source }) => source).join(` ${word} `)})`;

function compileAll({ predicate }: PredicateList, depth: number): readonly TunnelPredicate[] {
  if (predicate.length < 2) throw new InvalidField(`expected two or more, got ${predicate.length}`);
  return each("predicate", predicate, (one) => compilePredicate(one, depth - 1));
}

function compileSingle({ input, matcher }: SinglePredicate): TunnelPredicate {
  const fact = at("input", () => factOf(input));
  if (matcher.case !== "valueMatch") throw new InvalidField(`expected a value_match, got ${matcher.case ?? "none"}`);
  const text = at("value_match", () => compileText(matcher.value));
  return { source: `${fact} ${text.source}`, matches: (tunnel) => text.matches(tunnel[fact]) };
}

function compileText(message: StringMessage): StringMatcher {
  refuseUnknown(message);
  const { matchPattern: match, ignoreCase } = message;
  switch (match.case) {
    case "exact":
    case "prefix":
    case "suffix":
    case "contains":
      return must(stringMatcher({ kind: match.case, text: match.value, ignoreCase }));
    case "safeRegex":
      return must(stringMatcher({ kind: "pattern", pattern: match.value.regex }));
    default:
      throw new InvalidField(`expected exact, prefix, suffix, contains or safe_regex, got ${match.case ?? "none"}`);
  }
}
