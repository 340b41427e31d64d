/** Matches of HTTPRoute and GRPCRoute rules as Envoy's, and which of them comes first. */
import type {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  RouteMatchSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { StringMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { isRecord, recordsAt, textAt } from "@ambit/shared/kube";
import { isPattern } from "../pattern.ts";
import type { Init } from "../proto.ts";

export type MatchInit = Init<typeof RouteMatchSchema>;
type HeaderInit = Init<typeof HeaderMatcherSchema>;
type QueryInit = Init<typeof QueryParameterMatcherSchema>;
type StringInit = Init<typeof StringMatcherSchema>;
type Fields = Readonly<Record<string, unknown>>;

/** What decides between two matches, most important first; the larger comes first. */
export type Precedence = readonly [exact: number, prefix: number, method: number, headers: number, query: number];

export interface RankedMatch {
  readonly match: MatchInit;
  readonly rank: Precedence;
  /** As a span is named after it. */
  readonly path: string;
}

/** Spec: Gateway API HTTPRouteMatch. */
export function byPrecedence(a: Precedence, b: Precedence): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at < 0 ? 0 : (b[at] ?? 0) - (a[at] ?? 0);
}

export const EVERYTHING: RankedMatch = {
  match: { pathSpecifier: { case: "prefix", value: "/" }, caseSensitive: true },
  rank: [0, 1, 0, 0, 0],
  path: "/",
};

/** A text by the `type` Gateway API gives it; undefined for a type nobody knows. */
function stringBy(type: string, value: string): StringInit | undefined {
  if (type === "" || type === "Exact") return { matchPattern: { case: "exact", value } };
  return type === "RegularExpression" && isPattern(value)
    ? { matchPattern: { case: "safeRegex", value: { regex: value } } }
    : undefined;
}

/** One `matches[]` of an HTTPRoute. Undefined: some of it is not understood, so it may match nothing. */
export function httpMatch(item: Fields): RankedMatch | undefined {
  const path = pathOf(item["path"]);
  const headers = headersOf(item);
  const query = queryOf(item);
  const { method } = item;
  if (!path || !headers || !query || (method !== undefined && typeof method !== "string")) return undefined;
  const byMethod: readonly HeaderInit[] =
    method === undefined ? [] : [headerIs(":method", { matchPattern: { case: "exact", value: method } })];
  return {
    match: {
      pathSpecifier: path.specifier,
      caseSensitive: true,
      headers: [...byMethod, ...headers],
      queryParameters: [...query],
    },
    rank: [path.exact, path.prefix, byMethod.length, headers.length, query.length],
    path: path.shown,
  };
}

interface PathPart {
  readonly specifier: NonNullable<MatchInit["pathSpecifier"]>;
  readonly exact: number;
  readonly prefix: number;
  readonly shown: string;
}

function pathOf(given: unknown): PathPart | undefined {
  if (given === undefined || given === null) return pathOf({});
  if (!isRecord(given)) return undefined;
  const type = given["type"] ?? "PathPrefix";
  const value = given["value"] ?? "/";
  if (typeof value !== "string") return undefined;
  switch (type) {
    case "Exact":
      return { specifier: { case: "path", value }, exact: 1, prefix: 0, shown: value };
    case "PathPrefix":
      return prefixPart(value);
    case "RegularExpression":
      if (!isPattern(value)) return undefined;
      return { specifier: { case: "safeRegex", value: { regex: value } }, exact: 0, prefix: 0, shown: value };
    default:
      return undefined;
  }
}

/** Whole segments: `/a` is no prefix of `/ab`, and its own trailing slash says nothing. */
function prefixPart(value: string): PathPart | undefined {
  const bare = value.replace(/\/+$/, "");
  // No path has these: they begin the query and the fragment.
  if (/[?#]/.test(bare)) return undefined;
  if (bare === "") return { specifier: { case: "prefix", value: "/" }, exact: 0, prefix: 1, shown: "/" };
  return {
    specifier: { case: "pathSeparatedPrefix", value: bare },
    exact: 0,
    prefix: bare.length + 1,
    shown: bare,
  };
}

const headerIs = (name: string, matcher: StringInit): HeaderInit => ({
  name,
  headerMatchSpecifier: { case: "stringMatch", value: matcher },
});

/** The first of several entries of one name counts. */
function headersOf(item: Fields): readonly HeaderInit[] | undefined {
  return named(item["headers"], (name) => name.toLowerCase(), headerIs);
}

function queryOf(item: Fields): readonly QueryInit[] | undefined {
  return named(
    item["queryParams"],
    (name) => name,
    (name, matcher): QueryInit => ({
      name,
      queryParameterMatchSpecifier: { case: "stringMatch", value: matcher },
    }),
  );
}

function named<T>(
  list: unknown,
  normal: (name: string) => string,
  build: (name: string, matcher: StringInit) => T,
): readonly T[] | undefined {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) return undefined;
  const built = new Map<string, T>();
  for (const each of list as readonly unknown[]) {
    const matcher = isRecord(each) ? stringBy(textAt(each, "type"), textAt(each, "value")) : undefined;
    const name = isRecord(each) ? normal(textAt(each, "name")) : "";
    if (!matcher || name === "") return undefined;
    if (!built.has(name)) built.set(name, build(name, matcher));
  }
  return [...built.values()];
}

/** One `matches[]` of a GRPCRoute. Spec: Gateway API GRPCRouteMatch; a method is a POST to `/service/method`. */
export function grpcMatch(item: Fields): RankedMatch | undefined {
  const path = grpcPath(item["method"]);
  const headers = headersOf(item);
  if (!path || !headers) return undefined;
  return {
    match: { pathSpecifier: path.specifier, caseSensitive: true, headers: [...headers] },
    rank: [path.exact, path.prefix, 0, headers.length, 0],
    path: path.shown,
  };
}

function grpcPath(given: unknown): PathPart | undefined {
  if (given === undefined || given === null) return prefixPart("/");
  if (!isRecord(given)) return undefined;
  const [service, method, type] = [textAt(given, "service"), textAt(given, "method"), textAt(given, "type") || "Exact"];
  if (service === "" && method === "") return prefixPart("/");
  if (type === "RegularExpression") {
    const regex = `/${service || "[^/]+"}/${method || "[^/]+"}`;
    if (!isPattern(regex)) return undefined;
    return { specifier: { case: "safeRegex", value: { regex } }, exact: 0, prefix: service.length, shown: regex };
  }
  if (type !== "Exact") return undefined;
  if (service !== "" && method !== "") {
    const value = `/${service}/${method}`;
    return { specifier: { case: "path", value }, exact: value.length, prefix: 0, shown: value };
  }
  if (service !== "") {
    return {
      specifier: { case: "prefix", value: `/${service}/` },
      exact: 0,
      prefix: service.length + 2,
      shown: `/${service}/`,
    };
  }
  const regex = `/[^/]+/${method.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&")}`;
  return { specifier: { case: "safeRegex", value: { regex } }, exact: 0, prefix: 0, shown: regex };
}

/** The matches of a rule; a rule without any matches everything. */
export function matchesOf(
  rule: Fields,
  read: (item: Fields) => RankedMatch | undefined,
): readonly (RankedMatch | undefined)[] {
  const list = rule["matches"];
  if (list === undefined || list === null || (Array.isArray(list) && list.length === 0)) return [EVERYTHING];
  if (!Array.isArray(list)) return [undefined];
  const records = recordsAt(rule, "matches");
  return records.length === list.length ? records.map(read) : [...records.map(read), undefined];
}
