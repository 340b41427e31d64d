/**
 * Cross-origin requests: which are answered here, and what is added to the others' responses. Pure.
 *
 * Spec: Fetch standard, CORS protocol; Gateway API HTTPCORSFilter. Parity: Envoy's cors filter
 * Differs: `Vary: origin` is added, since what is added depends on it; `*` with credentials, which browsers take for a
 * literal, becomes what the preflight asked for (Gateway API).
 */
import type { HeaderList } from "@ambit/shared/http2";
import { valuesOf } from "./matcher.ts";
import type { CorsPolicy } from "./model.ts";

export type CorsVerdict =
  /** Goes on untouched: not cross-origin, or from an origin that is not allowed (the browser withholds the answer). */
  | { readonly kind: "pass" }
  /** A preflight that is answered here with 200 and these fields; none when the origin is not allowed. */
  | { readonly kind: "answer"; readonly headers: HeaderList }
  /** Goes on; these fields are to be set on the response, replacing the application's, `vary` appended. */
  | { readonly kind: "decorate"; readonly set: HeaderList; readonly append: HeaderList };

const VARY: HeaderList = [["vary", "origin"]];

/** @param headers  of the request, without pseudo-headers or with */
export function decideCors(policy: CorsPolicy, method: string, headers: HeaderList): CorsVerdict {
  const origins = valuesOf(headers, "origin");
  const [origin] = origins;
  if (origin === undefined || origin === "") return { kind: "pass" };
  const [requestedMethod] = valuesOf(headers, "access-control-request-method");
  const isPreflight = method === "OPTIONS" && requestedMethod !== undefined && requestedMethod !== "";
  // Several origins are no origin: browsers send one, and a list must not be echoed.
  const isAllowed = origins.length === 1 && policy.allowOrigins.some((allowed) => allowed.matches(origin));
  if (isAllowed) {
    return isPreflight
      ? { kind: "answer", headers: preflightHeaders(policy, origin, headers) }
      : { kind: "decorate", set: actualHeaders(policy, origin), append: VARY };
  }
  return isPreflight && !policy.forwardsUnmatchedPreflights ? { kind: "answer", headers: [] } : { kind: "pass" };
}

function preflightHeaders(policy: CorsPolicy, origin: string, headers: HeaderList): HeaderList {
  const answer = [...originHeaders(policy, origin)];
  const methods = allowed(policy, policy.allowMethods, headers, "access-control-request-method");
  const names = allowed(policy, policy.allowHeaders, headers, "access-control-request-headers");
  if (methods !== "") answer.push(["access-control-allow-methods", methods]);
  if (names !== "") answer.push(["access-control-allow-headers", names]);
  if (policy.maxAge !== "") answer.push(["access-control-max-age", policy.maxAge]);
  return [...answer, ...exposedHeaders(policy), ...VARY];
}

const actualHeaders = (policy: CorsPolicy, origin: string): HeaderList => [
  ...originHeaders(policy, origin),
  ...exposedHeaders(policy),
];

/** Browsers read them from the response itself; Gateway API's conformance tests want them on preflights too, as Envoy has it. */
const exposedHeaders = (policy: CorsPolicy): HeaderList =>
  policy.exposeHeaders === "" ? [] : [["access-control-expose-headers", policy.exposeHeaders]];

function originHeaders(policy: CorsPolicy, origin: string): HeaderList {
  const credentials: HeaderList = policy.allowCredentials ? [["access-control-allow-credentials", "true"]] : [];
  return [["access-control-allow-origin", origin], ...credentials];
}

function allowed(policy: CorsPolicy, configured: string, headers: HeaderList, asked: string): string {
  return configured === "*" && policy.allowCredentials ? valuesOf(headers, asked).join(",") : configured;
}
