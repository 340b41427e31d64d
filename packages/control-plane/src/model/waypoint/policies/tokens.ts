/** RequestAuthentications as one jwt_authn filter. Spec: Istio RequestAuthentication. */
import {
  JwtAuthenticationSchema,
  type JwtProviderSchema,
  type JwtRequirementSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { type KubeObject, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import type { HttpFilterInit } from "../guards.ts";
import { UNKNOWN_SERVICE } from "../names.ts";
import { duration, filter, type Init } from "../proto.ts";
import { isChangeable } from "../routes/header-changes.ts";
import { milliseconds } from "../time.ts";
import { hasPublicKey } from "./key-set.ts";

type Fields = Readonly<Record<string, unknown>>;
type ProviderInit = Init<typeof JwtProviderSchema>;
type RequirementInit = Init<typeof JwtRequirementSchema>;

/** Fetches of a key set: the URI, and the cluster an Envoy reaches it by. */
export type KeySetCluster = (uri: URL) => string;

const FETCH_TIMEOUT_MS = 5_000;
const CACHE_MS = 20 * 60_000;
const PAYLOAD = "payload";
/** Where keys are "fetched" from for a rule without usable ones: nothing is there, so no token of that issuer is good. */
const NO_KEYS = new URL("https://no-keys.invalid/");
const MAX_RULES = 64;

/** Nothing without a rule. Rules of several policies hold together: a token of any of their issuers is good. */
export function tokenFilters(policies: readonly KubeObject[], clusterOf: KeySetCluster): readonly HttpFilterInit[] {
  const rules = policies
    .flatMap(({ spec }) => recordsAt(spec, "jwtRules"))
    .filter((rule) => textAt(rule, "issuer") !== "");
  if (rules.length === 0) return [];
  const providers = rules
    .slice(0, MAX_RULES)
    .map((rule, index) => [`origins-${index}`, providerOf(rule, clusterOf)] as const);
  return [
    filter("envoy.filters.http.jwt_authn", JwtAuthenticationSchema, {
      providers: Object.fromEntries(providers),
      rules: [
        {
          match: { pathSpecifier: { case: "prefix", value: "/" } },
          requirementType: { case: "requires", value: requirementOf(providers.map(([name]) => name)) },
        },
      ],
      bypassCorsPreflight: true,
    }),
  ];
}

function providerOf(rule: Fields, clusterOf: KeySetCluster): ProviderInit {
  const fromHeaders = recordsAt(rule, "fromHeaders")
    .filter((each) => isChangeable(textAt(each, "name")) && !/[\0\r\n]/.test(textAt(each, "prefix")))
    .map((each) => ({ name: textAt(each, "name"), valuePrefix: textAt(each, "prefix") }));
  const payloadHeader = textAt(rule, "outputPayloadToHeader");
  const spaced = textsAt(rule, "spaceDelimitedClaims");
  return {
    issuer: textAt(rule, "issuer"),
    audiences: [...textsAt(rule, "audiences")],
    jwksSourceSpecifier: keysOf(rule, clusterOf),
    forward: rule["forwardOriginalToken"] === true,
    fromHeaders,
    fromParams: [...textsAt(rule, "fromParams")],
    fromCookies: [...textsAt(rule, "fromCookies")],
    forwardPayloadHeader: isChangeable(payloadHeader) ? payloadHeader : "",
    payloadInMetadata: PAYLOAD,
    normalizePayloadInMetadata: { spaceDelimitedClaims: ["scope", "permission", ...spaced] },
    claimToHeaders: recordsAt(rule, "outputClaimToHeaders")
      .filter((each) => isChangeable(textAt(each, "header")) && textAt(each, "claim") !== "")
      .map((each) => ({ headerName: textAt(each, "header"), claimName: textAt(each, "claim") })),
    clearRouteCache: true,
  };
}

/** Keys in the policy count before keys at a URI. Never a key of our own in place of missing ones. */
function keysOf(rule: Fields, clusterOf: KeySetCluster): NonNullable<ProviderInit["jwksSourceSpecifier"]> {
  const inline = textAt(rule, "jwks");
  if (inline !== "" && hasPublicKey(inline)) {
    return { case: "localJwks", value: { specifier: { case: "inlineString", value: inline } } };
  }
  const uri = inline === "" ? keySetUri(textAt(rule, "jwksUri")) : undefined;
  const cluster = uri ? clusterOf(uri) : UNKNOWN_SERVICE;
  const timeout = duration(milliseconds(rule["timeout"]) || FETCH_TIMEOUT_MS);
  return {
    case: "remoteJwks",
    value: {
      httpUri: { uri: (uri ?? NO_KEYS).href, httpUpstreamType: { case: "cluster", value: cluster }, timeout },
      cacheDuration: duration(CACHE_MS),
    },
  };
}

/** Undefined for what is no http or https URL. Where it leads is judged by the proxy, which resolves the name. */
export function keySetUri(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const uri = new URL(text);
  return uri.protocol === "https:" || uri.protocol === "http:" ? uri : undefined;
}

/** A good token of any issuer, or none at all: whether one is needed is for AuthorizationPolicies to say. */
function requirementOf(names: readonly string[]): RequirementInit {
  const missing: RequirementInit = { requiresType: { case: "allowMissing", value: {} } };
  const provider = (name: string): RequirementInit => ({ requiresType: { case: "providerName", value: name } });
  const any = (requirements: RequirementInit[]): RequirementInit => ({
    requiresType: { case: "requiresAny", value: { requirements } },
  });
  const [only] = names;
  if (names.length === 1 && only !== undefined) return any([provider(only), missing]);
  const all: RequirementInit = {
    requiresType: { case: "requiresAll", value: { requirements: names.map((name) => any([provider(name), missing])) } },
  };
  return any([...names.map(provider), all]);
}
