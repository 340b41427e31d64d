/** Where a request holds tokens, and the request without one. Pure. Spec: Istio JWTRule, fromHeaders to fromCookies */
import type { HeaderList } from "@ambit/shared/http2";
import { asciiLowerCase, valuesOf } from "../route/matcher.ts";
import type { AuthenticationRequest, JwtProvider, RequestChanges } from "./model.ts";

type Places = Pick<JwtProvider, "fromHeaders" | "fromQuery" | "fromCookies">;

const DEFAULT_PLACES: Places = {
  fromHeaders: [{ name: "authorization", prefix: "Bearer " }],
  fromQuery: ["access_token"],
  fromCookies: [],
};

/** A provider that names no place looks at the two usual ones. */
function placesOf(provider: Places): Places {
  const { fromHeaders, fromQuery, fromCookies } = provider;
  return fromHeaders.length + fromQuery.length + fromCookies.length === 0 ? DEFAULT_PLACES : provider;
}

/** The tokens at a provider's places, each once; an empty text is a token, too, and a bad one. */
export function findTokens(request: AuthenticationRequest, provider: Places): readonly string[] {
  const { fromHeaders, fromQuery, fromCookies } = placesOf(provider);
  const tokens = new Set<string>();
  for (const { name, prefix } of fromHeaders) {
    for (const value of valuesOf(request.headers, name)) {
      if (hasPrefix(value, prefix)) tokens.add(value.slice(prefix.length).trim());
    }
  }
  for (const [name, value] of queryPairs(request.query)) if (fromQuery.includes(name)) tokens.add(value);
  for (const crumbs of valuesOf(request.headers, "cookie")) {
    for (const [name, value] of cookiePairs(crumbs)) if (fromCookies.includes(name)) tokens.add(value);
  }
  return [...tokens];
}

/** Takes the token out of every place of its provider. */
export function withoutToken(request: AuthenticationRequest, provider: Places): RequestChanges {
  const { fromHeaders, fromQuery, fromCookies } = placesOf(provider);
  const held = fromHeaders.filter(({ name, prefix }) =>
    valuesOf(request.headers, name).some((value) => hasPrefix(value, prefix)),
  );
  const cookies = withoutCookies(request.headers, fromCookies);
  return {
    remove: [...new Set(held.map(({ name }) => name)), ...(cookies === undefined ? [] : ["cookie"])],
    add: cookies ?? [],
    query: withoutParameters(request.query, fromQuery),
  };
}

/** Differs: Envoy compares the case and finds the prefix anywhere; schemes have no case (RFC 9110 section 11.1). */
const hasPrefix = (value: string, prefix: string): boolean =>
  asciiLowerCase(value.slice(0, prefix.length)) === asciiLowerCase(prefix);

/** undefined: nothing to take out. */
function withoutParameters(query: string, names: readonly string[]): string | undefined {
  if (query === "" || names.length === 0) return undefined;
  const pairs = query.split("&");
  const kept = pairs.filter((pair) => !names.includes(queryPair(pair)[0]));
  return kept.length === pairs.length ? undefined : kept.join("&");
}

function withoutCookies(headers: HeaderList, names: readonly string[]): HeaderList | undefined {
  if (names.length === 0) return undefined;
  const values = valuesOf(headers, "cookie");
  const kept = values.map((value) =>
    value
      .split(";")
      .filter((crumb) => !names.includes(cookiePair(crumb)[0]))
      .join(";")
      .trim(),
  );
  if (kept.every((value, index) => value === values[index])) return undefined;
  return kept.filter((value) => value !== "").map((value) => ["cookie", value] as const);
}

const queryPairs = (query: string): (readonly [string, string])[] =>
  query === "" ? [] : query.split("&").map(queryPair);

function queryPair(pair: string): readonly [string, string] {
  const equals = pair.indexOf("=");
  return equals < 0 ? [decoded(pair), ""] : [decoded(pair.slice(0, equals)), decoded(pair.slice(equals + 1))];
}

const cookiePairs = (crumbs: string): (readonly [string, string])[] => crumbs.split(";").map(cookiePair);

function cookiePair(crumb: string): readonly [string, string] {
  const equals = crumb.indexOf("=");
  return equals < 0 ? ["", ""] : [crumb.slice(0, equals).trim(), crumb.slice(equals + 1).trim()];
}

function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
