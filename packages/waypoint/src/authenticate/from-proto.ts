/** Envoy's jwt_authn filter as istiod emits it. Spec: envoy.extensions.filters.http.jwt_authn.v3 */

import type { DataSource } from "@ambit/envoy-api/envoy/config/core/v3/base";
import type {
  JwtAuthentication as ProtoAuthentication,
  JwtProvider as ProtoProvider,
  JwtRequirement as ProtoRequirement,
  RemoteJwks,
  RequirementRule,
} from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { err, ok, type Result } from "@ambit/shared/errors";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { asciiLowerCase } from "../route/matcher.ts";
import type { JwtAuthentication, JwtProvider, JwtRequirement } from "./model.ts";

const DEFAULT_CLOCK_SKEW_SECONDS = 60;
const DEFAULT_CACHE_MS = 600_000;
const DEFAULT_FETCH_MS = 5_000;
const MAX_FETCH_MS = 30_000;
const MAX_DEPTH = 32;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** @returns an error for whatever is not understood: the chain must not be served then */
export function jwtFromProto(proto: ProtoAuthentication): Result<JwtAuthentication> {
  if (proto.filterStateRules !== undefined) return err("jwt_authn: expected no filter state rules");
  const providers = new Map<string, JwtProvider>();
  for (const [name, one] of Object.entries(proto.providers)) {
    const provider = providerFromProto(name, one);
    if (!provider.ok) return err(`jwt_authn provider ${name}: ${provider.error}`);
    providers.set(name, provider.value);
  }
  const requirement = firstRule(proto, providers);
  if (!requirement.ok) return err(`jwt_authn rules: ${requirement.error}`);
  return ok({ providers, requirement: requirement.value, bypassesCorsPreflight: proto.bypassCorsPreflight });
}

function providerFromProto(name: string, proto: ProtoProvider): Result<JwtProvider> {
  const unknown = unknownPart(proto);
  if (unknown !== undefined) return err(unknown);
  const keys = keysFromProto(proto);
  if (!keys.ok) return keys;
  const headers = headerNames(proto);
  if (!headers.ok) return headers;
  return ok({
    name,
    issuer: proto.issuer,
    audiences: proto.audiences,
    keys: keys.value,
    ...headers.value,
    fromQuery: proto.fromParams,
    fromCookies: proto.fromCookies,
    forwardsToken: proto.forward,
    spaceDelimitedClaims: proto.normalizePayloadInMetadata?.spaceDelimitedClaims ?? [],
    clockSkewSeconds: proto.clockSkewSeconds === 0 ? DEFAULT_CLOCK_SKEW_SECONDS : proto.clockSkewSeconds,
  });
}

/** What would make tokens less acceptable than we could tell. */
function unknownPart(proto: ProtoProvider): string | undefined {
  if (proto.issuer === "") return "expected an issuer";
  if (proto.subjects !== undefined) return "expected no subjects";
  if (proto.requireExpiration) return "expected no require_expiration";
  if (proto.maxLifetime !== undefined) return "expected no max_lifetime";
  if (proto.padForwardPayloadHeader) return "expected no pad_forward_payload_header";
  return undefined;
}

function keysFromProto(proto: ProtoProvider): Result<JwtProvider["keys"]> {
  const source = proto.jwksSourceSpecifier;
  switch (source.case) {
    case "localJwks":
      return inlineKeys(source.value);
    case "remoteJwks":
      return remoteKeys(source.value);
    default:
      return err("expected local_jwks or remote_jwks");
  }
}

function inlineKeys({ specifier }: DataSource): Result<JwtProvider["keys"]> {
  switch (specifier.case) {
    case "inlineString":
      return ok({ kind: "inline", jwks: specifier.value });
    case "inlineBytes":
      return ok({ kind: "inline", jwks: Buffer.from(specifier.value).toString("utf8") });
    default:
      return err(`local_jwks: expected inline text, got ${specifier.case ?? "none"}`);
  }
}

function remoteKeys({ httpUri, cacheDuration }: RemoteJwks): Result<JwtProvider["keys"]> {
  if (httpUri === undefined || URL.parse(httpUri.uri)?.protocol !== "https:") {
    return err(`remote_jwks: expected an https URL, got "${httpUri?.uri.slice(0, 200) ?? ""}"`);
  }
  const timeoutMs = httpUri.timeout === undefined ? DEFAULT_FETCH_MS : durationMs(httpUri.timeout);
  const cacheMs = cacheDuration === undefined ? DEFAULT_CACHE_MS : durationMs(cacheDuration);
  if (timeoutMs <= 0 || cacheMs <= 0) return err("remote_jwks: expected durations above 0");
  return ok({ kind: "remote", uri: httpUri.uri, cacheMs, timeoutMs: Math.min(timeoutMs, MAX_FETCH_MS) });
}

function headerNames(
  proto: ProtoProvider,
): Result<Pick<JwtProvider, "fromHeaders" | "payloadHeader" | "claimHeaders">> {
  const fromHeaders = proto.fromHeaders.map(({ name, valuePrefix }) => ({
    name: asciiLowerCase(name),
    prefix: valuePrefix,
  }));
  const claimHeaders = proto.claimToHeaders.map(({ headerName, claimName }) => ({
    header: asciiLowerCase(headerName),
    claim: claimName,
  }));
  const payloadHeader = proto.forwardPayloadHeader === "" ? undefined : asciiLowerCase(proto.forwardPayloadHeader);
  const names = [...fromHeaders.map(({ name }) => name), ...claimHeaders.map(({ header }) => header)];
  if (payloadHeader !== undefined) names.push(payloadHeader);
  const bad = names.find((name) => !HEADER_NAME.test(name));
  return bad === undefined
    ? ok({ fromHeaders, payloadHeader, claimHeaders })
    : err(`header name "${bad.slice(0, 60)}"`);
}

type Providers = ReadonlyMap<string, JwtProvider>;

/** The first rule decides, and istiod's takes every path; one that does not cannot be told apart here. */
function firstRule(proto: ProtoAuthentication, providers: Providers): Result<JwtRequirement> {
  const [rule] = proto.rules;
  if (rule === undefined) return ok({ kind: "allow-missing-or-failed" });
  if (!matchesEverything(rule)) return err('expected a match of prefix "/"');
  const { requirementType: type } = rule;
  if (type.case === undefined) return ok({ kind: "allow-missing-or-failed" });
  const requirement = type.case === "requires" ? type.value : proto.requirementMap[type.value];
  if (requirement === undefined) return err(`no requirement of name "${String(type.value).slice(0, 60)}"`);
  return requirementFromProto(requirement, providers, MAX_DEPTH);
}

function matchesEverything({ match }: RequirementRule): boolean {
  if (match === undefined) return false;
  const { pathSpecifier: path, headers, queryParameters, runtimeFraction, grpc } = match;
  const isNarrow = headers.length + queryParameters.length > 0 || runtimeFraction !== undefined || grpc !== undefined;
  return path.case === "prefix" && path.value === "/" && !isNarrow;
}

function requirementFromProto(proto: ProtoRequirement, providers: Providers, depth: number): Result<JwtRequirement> {
  if (depth === 0) return err(`expected at most ${MAX_DEPTH} requirements inside one another`);
  const { requiresType: type } = proto;
  switch (type.case) {
    case "providerName":
      return known(type.value, providers, { kind: "provider", name: type.value });
    case "providerAndAudiences": {
      const { providerName: name, audiences } = type.value;
      return known(name, providers, { kind: "provider", name, audiences });
    }
    case "requiresAny":
      return listFromProto(type.value.requirements, providers, depth, "any");
    case "requiresAll":
      return listFromProto(type.value.requirements, providers, depth, "all");
    case "allowMissing":
      return ok({ kind: "allow-missing" });
    case "allowMissingOrFailed":
      return ok({ kind: "allow-missing-or-failed" });
    default:
      return err("expected a requirement that is known");
  }
}

const known = (name: string, providers: Providers, requirement: JwtRequirement): Result<JwtRequirement> =>
  providers.has(name) ? ok(requirement) : err(`no provider of name "${name.slice(0, 60)}"`);

function listFromProto(
  protos: readonly ProtoRequirement[],
  providers: Providers,
  depth: number,
  kind: "any" | "all",
): Result<JwtRequirement> {
  const of: JwtRequirement[] = [];
  for (const proto of protos) {
    const requirement = requirementFromProto(proto, providers, depth - 1);
    if (!requirement.ok) return requirement;
    of.push(requirement.value);
  }
  return of.length > 0 ? ok({ kind, of }) : err("expected requirements to combine, got none");
}
