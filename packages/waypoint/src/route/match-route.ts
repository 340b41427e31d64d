/** Finds the route of a request. Pure: what is random comes as an argument, so the same draws give the same answer. */
import type { HeaderList } from "@ambit/shared/http2";
import type { Random } from "@ambit/shared/time";
import { claimValues } from "./claim-values.ts";
import { asciiLowerCase } from "./matcher.ts";
import type { PathMatch, Route, RoutedRequest, RouteMatch, RouteTable, VirtualHost, WeightedCluster } from "./model.ts";
import { routesFor } from "./routes-by-tunnel.ts";

export type RouteVerdict =
  /** `cluster` is drawn when the route forwards. */
  | {
      readonly kind: "matched";
      readonly virtualHost: VirtualHost;
      readonly route: Route;
      readonly cluster: WeightedCluster | undefined;
    }
  /** No virtual host has the authority, or none of its routes takes the request: 404, response flag NR. */
  | { readonly kind: "unmatched"; readonly virtualHost: VirtualHost | undefined };

/**
 * The first route of the request's virtual host that matches, and the cluster drawn by weight. Throws MeshError
 * REQUEST_LIMIT_EXCEEDED for a path, header or parameter that is too long for a regular expression of a route.
 *
 * Spec: envoy.config.route.v3.RouteMatch; Gateway API HTTPRouteRule (the order is the table's)
 */
export function matchRoute(table: RouteTable, request: RoutedRequest, random: Random): RouteVerdict {
  const virtualHost = findVirtualHost(table, request.authority);
  if (!virtualHost) return { kind: "unmatched", virtualHost };
  const facts = new RequestFacts(request);
  const route = routesFor(virtualHost, request.tunnel).find((candidate) => matches(candidate.match, facts, random));
  if (!route) return { kind: "unmatched", virtualHost };
  const cluster = route.action.kind === "forward" ? pickWeighted(route.action.clusters, random) : undefined;
  return { kind: "matched", virtualHost, route, cluster };
}

/**
 * The virtual host with the most specific domain: exact, then the longest `*.suffix`, then the longest `prefix.*`, then
 * `*`. A domain may name the authority with its port or without.
 */
export function findVirtualHost(table: RouteTable, authority: string): VirtualHost | undefined {
  const [only] = table.virtualHosts;
  if (table.virtualHosts.length === 1 && only?.domains.includes("*")) return only;
  const withoutPort = authority.replace(/:\d+$/, "");
  let best: VirtualHost | undefined;
  let bestRank = 0;
  for (const virtualHost of table.virtualHosts) {
    for (const domain of virtualHost.domains) {
      const rank = Math.max(domainRank(domain, authority), domainRank(domain, withoutPort));
      if (rank > bestRank) {
        best = virtualHost;
        bestRank = rank;
      }
    }
  }
  return best;
}

/** A wildcard stands for at least one character. 0 = no match; domains are far shorter than the steps between kinds. */
function domainRank(domain: string, authority: string): number {
  if (domain === "*") return 1;
  if (domain === authority) return 1_000_000;
  if (authority.length < domain.length) return 0;
  if (domain.startsWith("*")) return authority.endsWith(domain.slice(1)) ? 100_000 + domain.length : 0;
  return domain.endsWith("*") && authority.startsWith(domain.slice(0, -1)) ? 10_000 + domain.length : 0;
}

/** One of the clusters, each with the probability of its share of the sum; one of weight 0 never. */
export function pickWeighted<Item extends { readonly weight: number }>(
  items: readonly Item[],
  random: Random,
): Item | undefined {
  let left = random() * items.reduce((sum, { weight }) => sum + weight, 0);
  for (const item of items) {
    left -= item.weight;
    if (left < 0) return item;
  }
  // Rounding may leave a rest of nothing: the last that may receive anything takes it.
  return items.findLast(({ weight }) => weight > 0);
}

/** Whether something of so many parts per million happens. */
export const draws = (perMillion: number, random: Random): boolean =>
  perMillion >= 1_000_000 || (perMillion > 0 && random() * 1_000_000 < perMillion);

/** What several matchers of one request need, made when the first asks. */
class RequestFacts {
  readonly request: RoutedRequest;
  #headers: HeaderList | undefined;
  #query: ReadonlyMap<string, string> | undefined;

  constructor(request: RoutedRequest) {
    this.request = request;
  }

  /** With pseudo-headers first; `:path` has the query. */
  get headers(): HeaderList {
    this.#headers ??= withPseudoHeaders(this.request);
    return this.#headers;
  }

  get query(): ReadonlyMap<string, string> {
    this.#query ??= parseQuery(this.request.query);
    return this.#query;
  }
}

/** The fields of a request as header matchers want them: pseudo-headers first, `:path` with its query. */
export function withPseudoHeaders(request: Omit<RoutedRequest, "claims" | "tunnel">): HeaderList {
  const { method, scheme, authority, path, query } = request;
  return [
    [":method", method],
    [":scheme", scheme],
    [":authority", authority],
    [":path", query === "" ? path : `${path}?${query}`],
    ...request.headers,
  ];
}

/** Most parameters looked at: one more is as if it were not there. */
const MAX_PARAMETERS = 1000;

/** Names and values as they are on the wire, not decoded, the first of each name. Parity: Envoy's query matching. */
export function parseQuery(query: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  if (query === "") return parameters;
  for (const pair of query.split("&", MAX_PARAMETERS)) {
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    if (!parameters.has(name)) parameters.set(name, equals < 0 ? "" : pair.slice(equals + 1));
  }
  return parameters;
}

function matches(match: RouteMatch, facts: RequestFacts, random: Random): boolean {
  return (
    matchesPath(match.path, facts.request.path) &&
    (match.headers.length === 0 || match.headers.every((header) => header.matches(facts.headers))) &&
    (match.query.length === 0 || matchesQuery(match, facts.query)) &&
    (match.claims.length === 0 || matchesClaims(match, facts.request.claims)) &&
    draws(match.fractionPerMillion, random)
  );
}

/** @param path  normalised, without query */
export function matchesPath(match: PathMatch, path: string): boolean {
  switch (match.kind) {
    case "prefix":
      return fold(path, match.ignoreCase).startsWith(fold(match.prefix, match.ignoreCase));
    case "segments":
      return startsWithSegments(fold(path, match.ignoreCase), fold(match.prefix, match.ignoreCase));
    case "exact":
      return fold(path, match.ignoreCase) === fold(match.path, match.ignoreCase);
    case "pattern":
      return match.matcher.matches(path);
    default:
      return match satisfies never;
  }
}

const fold = (text: string, ignoreCase: boolean): string => (ignoreCase ? asciiLowerCase(text) : text);

const startsWithSegments = (path: string, prefix: string): boolean =>
  path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === "/");

const matchesQuery = (match: RouteMatch, query: ReadonlyMap<string, string>): boolean =>
  match.query.every(({ name, value }) => {
    const given = query.get(name);
    return given !== undefined && (value === undefined || value.matches(given));
  });

const matchesClaims = (match: RouteMatch, claims: RoutedRequest["claims"]): boolean =>
  match.claims.every(({ path, value, invert }) => {
    return claimValues(claims, path).some((text) => value.matches(text)) !== invert;
  });
