/** RBAC filters as istiod writes them, and the requests they judge. */
import { RBACSchema as HttpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { UriTemplateMatchConfigSchema } from "@ambit/envoy-api/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import type { HeaderList } from "@ambit/shared/http2";
import { ipOf } from "@ambit/shared/net";
import { createRegistry, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { httpRulesFromProto } from "../src/policy/from-proto.ts";
import type { HttpAttributes, HttpAuthorization, PolicyAttributes, RuleSet } from "../src/policy/model.ts";

export const ANY = { any: true };
export const path = (pattern: JsonValue): JsonValue => ({ urlPath: { path: pattern } });
export const method = (name: string): JsonValue => ({ header: { name: ":method", stringMatch: { exact: name } } });
export const header = (name: string, stringMatch: JsonValue): JsonValue => ({ header: { name, stringMatch } });
export const port = (destinationPort: number): JsonValue => ({ destinationPort });
export const peer = (stringMatch: JsonValue): JsonValue => ({
  filterState: { key: "io.istio.peer_principal", stringMatch },
});
export const claim = (names: readonly string[], value: JsonValue): JsonValue => ({
  metadata: {
    filter: "envoy.filters.http.jwt_authn",
    path: ["payload", ...names].map((key) => ({ key })),
    value,
  },
});
export const notRule = (rule: JsonValue): JsonValue => ({ notRule: { orRules: { rules: [rule] } } });
export const notId = (id: JsonValue): JsonValue => ({ notId: { orIds: { ids: [id] } } });

export const uriTemplate = (pathTemplate: string): JsonValue => ({
  uriTemplate: {
    name: "uri-template",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
      pathTemplate,
    },
  },
});

export interface PolicySpec {
  readonly permissions?: JsonValue[];
  readonly principals?: JsonValue[];
}

export const policies = (specs: Readonly<Record<string, PolicySpec>>): JsonValue =>
  Object.fromEntries(
    Object.entries(specs).map(([name, { permissions, principals }]) => [
      `ns[shop]-policy[${name}]-rule[0]`,
      { permissions: permissions ?? [ANY], principals: principals ?? [ANY] },
    ]),
  );

export type Action = "ALLOW" | "DENY" | "LOG";

/** The rule sets of one filter that enforces; throws what the parser objects to. */
export function rules(action: Action, specs: Readonly<Record<string, PolicySpec>>): readonly RuleSet[] {
  return rulesOf({ rules: { action, policies: policies(specs) } });
}

export function rulesOf(json: JsonValue): readonly RuleSet[] {
  const sets = httpRulesFromProto(
    fromJson(HttpRbacSchema, json, { registry: createRegistry(UriTemplateMatchConfigSchema) }),
  );
  if (!sets.ok) throw new TypeError(sets.error);
  return sets.value;
}

export const authorization = (...sets: readonly (readonly RuleSet[])[]): HttpAuthorization => ({
  custom: [],
  rules: sets.flat(),
});

export const PEER = "spiffe://cluster.local/ns/shop/sa/cart";

/** A GET of `/` by the cart of the shop, unless told otherwise. */
export function request(
  http: Partial<HttpAttributes> & { readonly extra?: HeaderList } = {},
  connection: Partial<PolicyAttributes> = {},
): PolicyAttributes {
  const { method: verb = "GET", authority = "web.shop", path: target = "/", claims, extra = [] } = http;
  const pseudo: HeaderList = [
    [":method", verb],
    [":scheme", "http"],
    [":authority", authority],
    [":path", target],
  ];
  return {
    peerPrincipal: PEER,
    sourceIp: ipOf("10.0.0.7"),
    remoteIp: ipOf("10.0.0.7"),
    destinationIp: ipOf("10.96.0.1"),
    destinationPort: 80,
    sni: undefined,
    http: { method: verb, authority, path: target, headers: [...pseudo, ...extra], claims },
    ...connection,
  };
}
