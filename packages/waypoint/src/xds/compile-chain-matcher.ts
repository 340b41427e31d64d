/**
 * `filter_chain_matcher`: which chains a tunnel's destination leads to. The tree may ask for the authority, the peer, the
 * address, the port and the protocol, in any order. Spec: xds.type.matcher.v3.Matcher
 */
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  FilterStateInputSchema,
} from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import { type IPMatcher, IPMatcherSchema } from "@ambit/envoy-api/xds/type/matcher/v3/ip";
import type {
  Matcher,
  Matcher_OnMatch as OnMatch,
  Matcher_MatcherTree as Tree,
} from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import { CidrMap, formatSocketAddress, ipBits, parseCidr } from "@ambit/shared/net";
import { fromBinary } from "@bufbuild/protobuf";
import { type Any, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { TunnelDestination } from "../model/route-model.ts";
import { prefixesAmong } from "../route/index.ts";
import { at, each, InvalidField, must } from "./invalid-field.ts";
import { typeNameOf, unpack } from "./values.ts";

/** Names of chains. `http` is for what looks like HTTP, `tcp` for the rest; a declared protocol has only `only`. */
export type ChainNames =
  | { readonly kind: "declared"; readonly only: string }
  | { readonly kind: "sniffed"; readonly http: string; readonly tcp: string | undefined };

/**
 * A part of the tree. Undefined: it has no chain for the destination.
 *
 * @param peer  SPIFFE ID that the tunnel proved
 */
export type ChainLookup = (destination: TunnelDestination, peer: string) => ChainNames | undefined;

/** Levels of a tree: authority, address, port, protocol, and some to spare. */
const MAX_DEPTH = 8;

/** @param chains  names that exist in the listener */
export function compileChainMatcher(matcher: Matcher, chains: ReadonlySet<string>): ChainLookup {
  return compileMatcher(matcher, chains, MAX_DEPTH);
}

function compileMatcher(matcher: Matcher, chains: ReadonlySet<string>, depth: number): ChainLookup {
  if (depth === 0) throw new InvalidField(`expected at most ${MAX_DEPTH} levels`);
  const { matcherType } = matcher;
  const otherwise = matcher.onNoMatch && at("on_no_match", () => compileOnMatch(matcher.onNoMatch, chains, depth));
  if (matcherType.case === undefined) return otherwise ?? nothing;
  if (matcherType.case !== "matcherTree") throw new InvalidField(`expected a matcher_tree, got ${matcherType.case}`);
  return at("matcher_tree", () => compileTree(matcherType.value, { chains, depth, otherwise }));
}

const nothing: ChainLookup = () => undefined;

interface Level {
  readonly chains: ReadonlySet<string>;
  readonly depth: number;
  readonly otherwise: ChainLookup | undefined;
}

function compileOnMatch(onMatch: OnMatch | undefined, chains: ReadonlySet<string>, depth: number): ChainLookup {
  const result = onMatch?.onMatch;
  if (result?.case === "matcher") return at("matcher", () => compileMatcher(result.value, chains, depth - 1));
  if (result?.case !== "action") throw new InvalidField("expected a matcher or an action");
  const names: ChainNames = { kind: "declared", only: chainOf(result.value.typedConfig, chains) };
  return () => names;
}

function chainOf(action: Any | undefined, chains: ReadonlySet<string>): string {
  if (action === undefined) throw new InvalidField("expected the name of a filter chain", "action");
  const { value } = at("action", () => unpack(action, StringValueSchema));
  if (!chains.has(value))
    throw new InvalidField(`expected a filter chain of the listener, got "${value.slice(0, 200)}"`, "action");
  return value;
}

function compileTree(tree: Tree, level: Level): ChainLookup {
  const input = tree.input?.typedConfig;
  if (input === undefined) throw new InvalidField("expected an input");
  switch (typeNameOf(input)) {
    case DestinationIPInputSchema.typeName:
      return compileAddresses(tree, level);
    case DestinationPortInputSchema.typeName:
      return byKey(tree, level, ({ port }) => String(port));
    case ApplicationProtocolInputSchema.typeName:
      return compileProtocols(tree, level);
    case FilterStateInputSchema.typeName: {
      const { key } = fromBinary(FilterStateInputSchema, input.value);
      if (key === "io.istio.peer_principal") return byPeer(tree, level);
      if (key !== "io.istio.connect_authority")
        throw new InvalidField(`input: expected the peer or the authority, got "${key.slice(0, 100)}"`);
      return byKey(tree, level, authorityOf);
    }
    default:
      throw new InvalidField(`input: expected one that is supported, got ${typeNameOf(input)}`);
  }
}

const authorityOf = (destination: TunnelDestination): string =>
  destination.kind === "address" ? formatSocketAddress(destination) : `${destination.hostname}:${destination.port}`;

function byKey(
  tree: Tree,
  { chains, depth, otherwise }: Level,
  keyOf: (destination: TunnelDestination) => string,
): ChainLookup {
  const lookups = new Map(
    exactEntries(tree).map(([key, onMatch]) => [
      // Hostnames in lower case, as the destination has them; ports are digits.
      key.toLowerCase(),
      at(`exact_match_map["${key}"]`, () => compileOnMatch(onMatch, chains, depth)),
    ]),
  );
  return (destination, peer) => lookups.get(keyOf(destination))?.(destination, peer) ?? otherwise?.(destination, peer);
}

/** By the beginning of a SPIFFE ID, the longest that is named, or by all of it. */
function byPeer({ treeType }: Tree, { chains, depth, otherwise }: Level): ChainLookup {
  if (treeType.case !== "prefixMatchMap" && treeType.case !== "exactMatchMap")
    throw new InvalidField(`expected an exact_match_map or a prefix_match_map, got ${treeType.case ?? "none"}`);
  const entries = new Map(
    Object.entries(treeType.value.map).map(([key, onMatch]) => [
      key,
      at(`map["${key.slice(0, 200)}"]`, () => compileOnMatch(onMatch, chains, depth)),
    ]),
  );
  const keysOf = treeType.case === "prefixMatchMap" ? prefixesAmong(entries.keys()) : (peer: string) => [peer];
  return (destination, peer) => {
    for (const key of keysOf(peer)) {
      const found = entries.get(key)?.(destination, peer);
      if (found !== undefined) return found;
    }
    return otherwise?.(destination, peer);
  };
}

function exactEntries({ treeType }: Tree): readonly (readonly [string, OnMatch])[] {
  if (treeType.case !== "exactMatchMap")
    throw new InvalidField(`expected an exact_match_map, got ${treeType.case ?? "none"}`);
  return Object.entries(treeType.value.map);
}

/** What the sniffer calls HTTP; the quotes are part of the names. */
const HTTP_PROTOCOLS: ReadonlySet<string> = new Set(["'h2c'", "'http/1.1'", "'http/1.0'"]);

/** The protocol is not known before the first bytes come: both chains are the answer. */
function compileProtocols(tree: Tree, { chains, otherwise }: Level): ChainLookup {
  let http: string | undefined;
  for (const [protocol, { onMatch }] of exactEntries(tree)) {
    at(`exact_match_map["${protocol}"]`, () => {
      if (!HTTP_PROTOCOLS.has(protocol)) throw new InvalidField("expected a version of HTTP");
      if (onMatch.case !== "action") throw new InvalidField("expected an action");
      const chain = chainOf(onMatch.value.typedConfig, chains);
      if (http !== undefined && http !== chain)
        throw new InvalidField(`expected one chain for HTTP, got "${http}" too`);
      http = chain;
    });
  }
  const chain = http;
  if (chain === undefined) return otherwise ?? nothing;
  return (destination, peer) => {
    const rest = otherwise?.(destination, peer);
    return { kind: "sniffed", http: chain, tcp: rest?.kind === "declared" ? rest.only : undefined };
  };
}

interface Range {
  readonly lookup: ChainLookup;
  readonly isExclusive: boolean;
}

/** Longest prefix first; a range that has no chain lets the next one answer, unless it is exclusive. */
function compileAddresses({ treeType }: Tree, { chains, depth, otherwise }: Level): ChainLookup {
  if (treeType.case !== "customMatch")
    throw new InvalidField(`expected a custom_match, got ${treeType.case ?? "none"}`);
  const config = treeType.value.typedConfig;
  if (config === undefined) throw new InvalidField("custom_match: expected an IP matcher");
  const ranges = at("custom_match", () => compileRanges(unpack(config, IPMatcherSchema), chains, depth));
  return (destination, peer) => {
    if (destination.kind !== "address") return otherwise?.(destination, peer);
    let found: ChainNames | undefined;
    ranges.visit(ipBits(destination.ip), (values) =>
      values.some(({ lookup, isExclusive }) => {
        found = lookup(destination, peer);
        return found !== undefined || isExclusive;
      }),
    );
    return found ?? otherwise?.(destination, peer);
  };
}

function compileRanges(message: IPMatcher, chains: ReadonlySet<string>, depth: number): CidrMap<Range> {
  const map = new CidrMap<Range>();
  each("range_matchers", message.rangeMatchers, ({ ranges, onMatch, exclusive }) => {
    const range = { lookup: at("on_match", () => compileOnMatch(onMatch, chains, depth)), isExclusive: exclusive };
    each("ranges", ranges, ({ addressPrefix, prefixLen }) => {
      const length = prefixLen ?? (addressPrefix.includes(":") ? 128 : 32);
      map.add(must(parseCidr(`${addressPrefix}/${length}`)), range);
    });
  });
  return map;
}
