/** `match` of a VirtualService's HTTP route as Envoy's. Spec: Istio HTTPMatchRequest. */
import type {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { MetadataMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/metadata";
import { isRecord, recordAt, recordsAt } from "@ambit/shared/kube";
import { isPattern } from "../pattern.ts";
import { claim } from "../policies/fields.ts";
import { regex, type StringInit } from "../policies/matchers.ts";
import type { Init } from "../proto.ts";
import { isChangeable } from "./header-changes.ts";
import type { MatchInit, RankedMatch } from "./matches.ts";

type Fields = Readonly<Record<string, unknown>>;
type HeaderInit = Init<typeof HeaderMatcherSchema>;
type QueryInit = Init<typeof QueryParameterMatcherSchema>;
type MetadataInit = Init<typeof MetadataMatcherSchema>;

/** What Istio decides before anything is sent. */
export interface MatchScope {
  readonly port: number;
  /** Of the waypoint: Istio compares it with `sourceNamespace`. */
  readonly namespace: string;
}

const EVERYTHING: RankedMatch = {
  match: { pathSpecifier: { case: "prefix", value: "/" }, caseSensitive: true },
  rank: [0, 0, 0, 0, 0],
  path: "/",
};

/** The matches of a rule that may be true here; a rule without any matches everything. */
export function virtualMatches(rule: Fields, scope: MatchScope): readonly RankedMatch[] {
  const list = recordsAt(rule, "match");
  if (list.length === 0) return Array.isArray(rule["match"]) && rule["match"].length > 0 ? [] : [EVERYTHING];
  return list.flatMap((match) => (isHere(match, scope) ? (oneMatch(match) ?? []) : []));
}

function isHere(match: Fields, { port, namespace }: MatchScope): boolean {
  const { gateways, sourceLabels, sourceNamespace } = match;
  if (isRecord(sourceLabels) && Object.keys(sourceLabels).length > 0) return false;
  if (Array.isArray(gateways) && gateways.length > 0 && !gateways.includes("mesh")) return false;
  if (typeof sourceNamespace === "string" && sourceNamespace !== "" && sourceNamespace !== namespace) return false;
  return match["port"] === undefined || match["port"] === port;
}

/** Undefined: some of it is not understood, so it may match nothing. */
function oneMatch(match: Fields): RankedMatch | undefined {
  const path = pathOf(match);
  const headers = headersOf(match);
  const query = queryOf(recordAt(match, "queryParams"));
  if (!path || !headers || !query) return undefined;
  return {
    match: {
      pathSpecifier: path.specifier,
      caseSensitive: match["ignoreUriCase"] !== true,
      headers: headers.headers,
      dynamicMetadata: headers.claims,
      queryParameters: query,
    },
    rank: [0, 0, 0, 0, 0],
    path: path.shown,
  };
}

function pathOf(
  match: Fields,
): { readonly specifier: NonNullable<MatchInit["pathSpecifier"]>; readonly shown: string } | undefined {
  const { uri } = match;
  if (uri === undefined || uri === null) return { specifier: { case: "prefix", value: "/" }, shown: "/" };
  if (!isRecord(uri)) return undefined;
  const { exact, prefix, regex: pattern } = uri;
  if (typeof exact === "string") return { specifier: { case: "path", value: exact }, shown: exact };
  if (typeof prefix === "string" && prefix !== "")
    return { specifier: { case: "prefix", value: prefix }, shown: prefix };
  if (typeof pattern !== "string" || !isPattern(pattern)) return undefined;
  return { specifier: { case: "safeRegex", value: { regex: pattern } }, shown: pattern };
}

/** `present`: there is nothing to compare with, or `*`. */
function stringOf(given: unknown): StringInit | "present" | undefined {
  if (!isRecord(given)) return undefined;
  const { exact, prefix, regex: pattern } = given;
  if (typeof exact === "string") return { matchPattern: { case: "exact", value: exact } };
  if (typeof prefix === "string")
    return prefix === "" ? "present" : { matchPattern: { case: "prefix", value: prefix } };
  if (typeof pattern === "string") {
    if (pattern === "*") return "present";
    return isPattern(pattern) ? regex(pattern) : undefined;
  }
  return Object.keys(given).length === 0 ? "present" : undefined;
}

interface Headers {
  readonly headers: HeaderInit[];
  readonly claims: MetadataInit[];
}

const PSEUDO: readonly (readonly [string, string])[] = [
  ["method", ":method"],
  ["authority", ":authority"],
  ["scheme", ":scheme"],
];

function headersOf(match: Fields): Headers | undefined {
  const found: Headers = { headers: [], claims: [] };
  const asked: (readonly [string, unknown, boolean])[] = [
    ...PSEUDO.flatMap(([field, name]) => (isRecord(match[field]) ? [[name, match[field], false] as const] : [])),
    ...Object.entries(recordAt(match, "headers")).map(([name, value]) => [name, value, false] as const),
    ...Object.entries(recordAt(match, "withoutHeaders")).map(([name, value]) => [name, value, true] as const),
  ];
  for (const [name, value, invert] of asked) {
    const matcher = stringOf(value);
    const path = claimPath(name);
    const isNamed = path !== undefined || name.startsWith(":") || isChangeable(name) || name.toLowerCase() === "host";
    if (!matcher || !isNamed) return undefined;
    if (path) found.claims.push(claimMatch(path, matcher, invert));
    else found.headers.push(headerMatch(name, matcher, invert));
  }
  return found;
}

function headerMatch(name: string, matcher: StringInit | "present", invert: boolean): HeaderInit {
  if (matcher === "present") {
    return { name, headerMatchSpecifier: { case: "presentMatch", value: true }, ...(invert && { invertMatch: true }) };
  }
  return {
    name,
    headerMatchSpecifier: { case: "stringMatch", value: matcher },
    ...(invert && { invertMatch: true, treatMissingHeaderAsEmpty: true }),
  };
}

const CLAIM_PREFIX = "@request.auth.claims";

/** `@request.auth.claims.group` or `@request.auth.claims[a][b]`. */
function claimPath(name: string): readonly string[] | undefined {
  if (!name.startsWith(CLAIM_PREFIX)) return undefined;
  const rest = name.slice(CLAIM_PREFIX.length);
  const bracketed = [...rest.matchAll(/\[([^[\]]+)\]/g)].map((each) => each[1] ?? "");
  return bracketed.length > 0 ? bracketed : rest.replace(/^\./, "").split(".");
}

function claimMatch(path: readonly string[], matcher: StringInit | "present", invert: boolean): MetadataInit {
  return { ...claim(path, matcher === "present" ? regex(".+") : matcher), ...(invert && { invert: true }) };
}

function queryOf(query: Fields): QueryInit[] | undefined {
  const found: QueryInit[] = [];
  for (const [name, value] of Object.entries(query)) {
    const matcher = stringOf(value);
    if (!matcher || name === "" || name.length > 1_024) return undefined;
    found.push({
      name,
      queryParameterMatchSpecifier:
        matcher === "present" ? { case: "presentMatch", value: true } : { case: "stringMatch", value: matcher },
    });
  }
  return found;
}
