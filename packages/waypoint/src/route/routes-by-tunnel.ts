/** Routes that depend on the tunnel a request comes through: on who proved to be its peer. Pure. */
import type { Route, RoutedTunnel, VirtualHost } from "./model.ts";

/** What of a tunnel may be asked for. */
export type TunnelFact = keyof RoutedTunnel;

/** Spec: xds.type.matcher.v3.Matcher, with lists of routes as its actions. */
export type RouteTree =
  | { readonly kind: "routes"; readonly routes: readonly Route[] }
  | {
      readonly kind: "exact";
      readonly fact: TunnelFact;
      readonly entries: ReadonlyMap<string, RouteTree>;
      readonly otherwise: RouteTree | undefined;
    }
  | {
      readonly kind: "prefix";
      readonly fact: TunnelFact;
      readonly entries: ReadonlyMap<string, RouteTree>;
      /** See `prefixesAmong`. */
      keysOf(text: string): readonly string[];
      readonly otherwise: RouteTree | undefined;
    }
  | {
      readonly kind: "list";
      readonly cases: readonly { readonly predicate: TunnelPredicate; readonly tree: RouteTree }[];
      readonly otherwise: RouteTree | undefined;
    };

export interface TunnelPredicate {
  matches(tunnel: RoutedTunnel): boolean;
  readonly source: string;
}

/** The routes of a virtual host for what comes through a tunnel. */
export const routesFor = ({ routes, tree }: VirtualHost, tunnel: RoutedTunnel): readonly Route[] =>
  tree === undefined ? routes : (lookUp(tree, tunnel) ?? []);

/** A branch without an answer lets the next one answer, and in the end `otherwise`. */
function lookUp(tree: RouteTree, tunnel: RoutedTunnel): readonly Route[] | undefined {
  if (tree.kind === "routes") return tree.routes;
  for (const branch of branches(tree, tunnel)) {
    const found = lookUp(branch, tunnel);
    if (found !== undefined) return found;
  }
  return tree.otherwise && lookUp(tree.otherwise, tunnel);
}

function* branches(tree: Exclude<RouteTree, { kind: "routes" }>, tunnel: RoutedTunnel): Iterable<RouteTree> {
  if (tree.kind === "list") {
    for (const { predicate, tree: branch } of tree.cases) if (predicate.matches(tunnel)) yield branch;
    return;
  }
  const text = tunnel[tree.fact];
  for (const key of tree.kind === "exact" ? [text] : tree.keysOf(text)) {
    const branch = tree.entries.get(key);
    if (branch) yield branch;
  }
}

export const prefixTree = (
  fact: TunnelFact,
  entries: ReadonlyMap<string, RouteTree>,
  otherwise: RouteTree | undefined,
): RouteTree => ({ kind: "prefix", fact, entries, keysOf: prefixesAmong(entries.keys()), otherwise });

/**
 * For a text, its beginnings that may be among the keys, the longest first. As many as the keys have lengths, however
 * many keys there are.
 */
export function prefixesAmong(keys: Iterable<string>): (text: string) => readonly string[] {
  const lengths = [...new Set([...keys].map((key) => key.length))].toSorted((a, b) => b - a);
  return (text) => lengths.filter((length) => length <= text.length).map((length) => text.slice(0, length));
}
