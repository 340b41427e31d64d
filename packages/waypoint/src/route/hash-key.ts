/** What a request is hashed by, so that equal requests reach the same endpoint. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import type { IpAddress } from "@ambit/shared/net";
import type { Random } from "@ambit/shared/time";
import { parseQuery } from "./match-route.ts";
import { valuesOf } from "./matcher.ts";
import type { HashPolicy } from "./model.ts";

export interface HashFacts {
  readonly headers: HeaderList;
  readonly query: string;
  readonly sourceIp: IpAddress;
}

export interface HashKey {
  /** Undefined: no policy found anything to hash by, and any endpoint will do. */
  readonly key: string | undefined;
  /** Values of Set-Cookie for the response: cookies that were made here because the request had none. */
  readonly setCookies: readonly string[];
}

/**
 * Joins what the policies find, in order; after a terminal policy that completed a key, the rest is not asked.
 * Equal keys mean equal findings: each is preceded by its length.
 *
 * Parity: Envoy HashPolicyImpl. Differs: the key is the text to hash, the balancer chooses the function.
 */
export function hashKey(policies: readonly HashPolicy[], facts: HashFacts, random: Random): HashKey {
  const setCookies: string[] = [];
  let key: string | undefined;
  for (const policy of policies) {
    const found = find(policy, facts, random, setCookies);
    if (found !== undefined) key = `${key ?? ""}${found.length}:${found}`;
    if (policy.terminal && key !== undefined) break;
  }
  return { key, setCookies };
}

function find(policy: HashPolicy, facts: HashFacts, random: Random, setCookies: string[]): string | undefined {
  switch (policy.kind) {
    case "header":
      // Sorted: the order of repeated fields carries no meaning that a client relies on.
      return valuesOf(facts.headers, policy.name).toSorted().join("\0") || undefined;
    case "cookie":
      return cookieOf(facts.headers, policy.name) ?? freshCookie(policy, random, setCookies);
    case "source-ip":
      return facts.sourceIp;
    case "query":
      return parseQuery(facts.query).get(policy.name) || undefined;
    default:
      return policy satisfies never;
  }
}

/** The first non-empty cookie of a name. */
export function cookieOf(headers: HeaderList, name: string): string | undefined {
  for (const pair of valuesOf(headers, "cookie").flatMap((value) => value.split(";"))) {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, "$1");
    if (value !== "") return value;
  }
  return undefined;
}

function freshCookie(
  policy: Extract<HashPolicy, { readonly kind: "cookie" }>,
  random: Random,
  setCookies: string[],
): string | undefined {
  if (policy.ttlSeconds === undefined) return undefined;
  const value = Array.from({ length: 4 }, () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0"),
  ).join("");
  const lifetime = policy.ttlSeconds > 0 ? `; Max-Age=${policy.ttlSeconds}` : "";
  const path = policy.path === "" ? "" : `; Path=${policy.path}`;
  const more = (policy.attributes ?? []).map(
    (attribute) => `; ${attribute.name}${attribute.value && `=${attribute.value}`}`,
  );
  setCookies.push(`${policy.name}="${value}"${lifetime}${path}${more.join("")}; HttpOnly`);
  return value;
}
