/** What a verified token puts into the request. Pure. Spec: Istio JWTRule, outputClaimToHeaders, outputPayloadToHeader */
import type { HeaderList } from "@ambit/shared/http2";
import { wireText } from "../route/wire-text.ts";
import type { JwtAuthentication, JwtProvider } from "./model.ts";
import type { ParsedJwt } from "./parse-jwt.ts";

/** A field value that cannot be read as anything else: no control character, no blank at an end. RFC 9110 section 5.5 */
const SENDABLE = /^(?![\t ])[\t\x20-\x7e\x80-\xff]*(?<![\t ])$/;

/** The headers that claims are put into; nobody else may fill them, so they are taken off every request. */
export function claimHeaderNames(authentication: JwtAuthentication): readonly string[] {
  const names = new Set<string>();
  for (const { payloadHeader, claimHeaders } of authentication.providers.values()) {
    if (payloadHeader !== undefined) names.add(payloadHeader);
    for (const { header } of claimHeaders) names.add(header);
  }
  return [...names];
}

/** A claim that is missing, no text, number or boolean, or that no header can hold, is left out. */
export function claimHeaders(provider: JwtProvider, jwt: ParsedJwt): HeaderList {
  const headers: (readonly [string, string])[] = [];
  if (provider.payloadHeader !== undefined) headers.push([provider.payloadHeader, jwt.payload]);
  for (const { header, claim } of provider.claimHeaders) {
    const value = headerValue(claimAt(jwt.claims, claim));
    if (value !== undefined) headers.push([header, value]);
  }
  return headers;
}

function headerValue(claim: unknown): string | undefined {
  if (typeof claim === "number" || typeof claim === "boolean") return String(claim);
  if (typeof claim !== "string") return undefined;
  const value = wireText(claim);
  return SENDABLE.test(value) ? value : undefined;
}

/** By its name, or by a path of names with dots between. */
function claimAt(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[part];
  }
  return value;
}

/** The claims as policies see them: those that are lists in one text, as lists. */
export function listedClaims(provider: JwtProvider, jwt: ParsedJwt): Readonly<Record<string, unknown>> {
  const lists = provider.spaceDelimitedClaims.flatMap((name) => {
    const claim = Object.hasOwn(jwt.claims, name) ? jwt.claims[name] : undefined;
    return typeof claim === "string" ? [[name, claim.split(" ").filter((one) => one !== "")] as const] : [];
  });
  return lists.length === 0 ? jwt.claims : { ...jwt.claims, ...Object.fromEntries(lists) };
}
