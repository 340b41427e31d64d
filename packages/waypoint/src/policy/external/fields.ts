/** Header fields that go to and come from an authorizer. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import type { StringMatcher } from "../../route/matcher.ts";

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** RFC 9110 section 5.5: nothing that ends a line, no blank at an end. */
const VALUE = /^(?![\t ])[\t\x20-\x7e\x80-\xff]*(?<![\t ])$/;

/** Lower case, no pseudo-header. */
export const isFieldName = (name: string): boolean => NAME.test(name);
export const isFieldValue = (value: string): boolean => VALUE.test(value);

/**
 * Framing, one connection's own, and what routing and policy have already read: an authorizer may not change them.
 * Differs: Envoy lets it rewrite `:path` and `host`, so that what was judged is not what is sent.
 */
const OURS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export const isOurs = (name: string): boolean => name.startsWith(":") || OURS.has(name);

/** The one for whether the authorizer saw the whole body; a client's own is not passed on. */
export const PARTIAL_BODY = "x-envoy-auth-partial-body";

export const matchesAny = (matchers: readonly StringMatcher[], name: string): boolean =>
  matchers.some((matcher) => matcher.matches(name));

/** What an HTTP authorizer is sent of the headers when nothing else is said. */
const DEFAULT_HTTP_HEADERS: ReadonlySet<string> = new Set(["authorization"]);

/** The request's headers that the authorizer sees, without pseudo-headers. */
export function visibleHeaders(
  headers: HeaderList,
  allowed: readonly StringMatcher[] | undefined,
  disallowed: readonly StringMatcher[],
  kind: "grpc" | "http",
): HeaderList {
  const byDefault = (name: string): boolean => kind === "grpc" || DEFAULT_HTTP_HEADERS.has(name);
  return headers.filter(([name]) => {
    if (isOurs(name) || name === PARTIAL_BODY || matchesAny(disallowed, name)) return false;
    if (allowed === undefined) return byDefault(name);
    return matchesAny(allowed, name) || (kind === "http" && byDefault(name));
  });
}
