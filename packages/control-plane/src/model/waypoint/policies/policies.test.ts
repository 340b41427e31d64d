import { PolicySchema, RBAC_Action } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import { ExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import { JwtAuthenticationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { RBACPerRouteSchema, RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { RBACSchema as TcpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import type { ObjectKey } from "@ambit/shared/kube";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  asJson,
  gatewayYaml,
  policyYaml,
  routeYaml,
  SHOP,
  serviceYaml,
  TestWaypoint,
  unpacked,
  vip,
} from "../test-waypoint.ts";
import { rbacRules } from "./rules.ts";

const compile = (rules: unknown, more: { readonly action?: "ALLOW" | "DENY"; readonly http?: boolean } = {}) => {
  const problems: string[] = [];
  const compiled = rbacRules(rules, {
    namespace: "shop",
    trustDomains: ["cluster.local", "old.example"],
    towards: more.action === "DENY" ? "over" : "under",
    http: more.http ?? true,
    onProblem: (field) => problems.push(field),
  });
  const policies = compiled.map(([, policy]) => asJson(PolicySchema, create(PolicySchema, policy)) as never);
  return { policies, problems };
};
const sourceOf = (source: unknown) => idsOf(compile([{ from: [{ source }] }]).policies);
const operationOf = (operation: unknown) => rulesOf(compile([{ to: [{ operation }] }]).policies);
const whenOf = (key: string, values: string[]) => compile([{ when: [{ key, values }] }]).policies;
const idsOf = (policies: { principals: { andIds: { ids: unknown[] } }[] }[]) => policies[0]?.principals[0]?.andIds.ids;
const rulesOf = (policies: { permissions: { andRules: { rules: unknown[] } }[] }[]) =>
  policies[0]?.permissions[0]?.andRules.rules;
const peer = (stringMatch: unknown) => ({ filterState: { key: "io.istio.peer_principal", stringMatch } });
const anyOf = (...ids: unknown[]) => [{ orIds: { ids } }];

describe("sources of a rule", () => {
  it.each([
    [
      "principals",
      "cluster.local/ns/a/sa/b",
      [peer({ exact: "spiffe://cluster.local/ns/a/sa/b" }), peer({ exact: "spiffe://old.example/ns/a/sa/b" })],
    ],
    ["principals", "other/ns/a*", [peer({ prefix: "spiffe://other/ns/a" })]],
    ["principals", "*/sa/b", [peer({ suffix: "/sa/b" })]],
    ["principals", "*", [peer({ prefix: "spiffe://" })]],
    ["namespaces", "a.b*", [peer({ safeRegex: { regex: ".*/ns/a\\.b.*/.*" } })]],
    ["serviceAccounts", "a.b", [peer({ safeRegex: { regex: "spiffe://.+/ns/shop/(.+/|)sa/a\\.b(/.+)?" } })]],
    ["serviceAccounts", "x/y", [peer({ safeRegex: { regex: "spiffe://.+/ns/x/(.+/|)sa/y(/.+)?" } })]],
    ["trustDomains", "td", [peer({ prefix: "spiffe://td/" })]],
    ["trustDomains", "*.td", [peer({ safeRegex: { regex: "spiffe://[^/]*\\.td/.*" } })]],
    ["ipBlocks", "10.0.0.0/8", [{ directRemoteIp: { addressPrefix: "10.0.0.0", prefixLen: 8 } }]],
    ["remoteIpBlocks", "fd00::1", [{ remoteIp: { addressPrefix: "fd00::1", prefixLen: 128 } }]],
  ])("case 34: %s %j", (field, value, expected) => {
    expect(sourceOf({ [field]: [value] })).toEqual(anyOf(...expected));
  });

  it("splits a request principal at its last slash", () => {
    const claim = (name: string, matcher: unknown) => ({
      metadata: {
        filter: "envoy.filters.http.jwt_authn",
        path: [{ key: "payload" }, { key: name }],
        value: {
          orMatch: { valueMatchers: [{ stringMatch: matcher }, { listMatch: { oneOf: { stringMatch: matcher } } }] },
        },
      },
    });
    const both = (iss: unknown, sub: unknown) => anyOf({ andIds: { ids: [claim("iss", iss), claim("sub", sub)] } });
    const some = { safeRegex: { regex: ".+" } };
    expect(sourceOf({ requestPrincipals: ["https://i.example/a/s"] })).toEqual(
      both({ exact: "https://i.example/a" }, { exact: "s" }),
    );
    expect(sourceOf({ requestPrincipals: ["*"] })).toEqual(both(some, some));
    expect(sourceOf({ requestPrincipals: ["i/*"] })).toEqual(both({ exact: "i" }, some));
  });

  it("excepts by a negated list", () => {
    expect(sourceOf({ notNamespaces: ["a"] })).toEqual([
      { notId: { orIds: { ids: [peer({ safeRegex: { regex: ".*/ns/a/.*" } })] } } },
    ]);
  });
});

describe("operations of a rule", () => {
  const any = (...rules: unknown[]) => [{ orRules: { rules } }];
  it.each([
    [
      "hosts",
      "Example.com",
      { header: { name: ":authority", stringMatch: { exact: "Example.com", ignoreCase: true } } },
    ],
    [
      "hosts",
      "*.example.com",
      { header: { name: ":authority", stringMatch: { suffix: ".example.com", ignoreCase: true } } },
    ],
    ["methods", "GET", { header: { name: ":method", stringMatch: { exact: "GET" } } }],
    ["paths", "/a*", { urlPath: { path: { prefix: "/a" } } }],
    ["ports", "80", { destinationPort: 80 }],
  ])("%s %j", (field, value, expected) => {
    expect(operationOf({ [field]: [value] })).toEqual(any(expected));
  });

  it("spells a path template as Envoy does", () => {
    expect(operationOf({ paths: ["/a/{*}/{**}"] })).toMatchObject(
      any({ uriTemplate: { typedConfig: { pathTemplate: "/a/*/**" } } }),
    );
  });

  it.each(["/a{*}", "/{**}/{*}", "a/{*}", "/{x}", "/a//{**}", "//{*}"])("does not take %j for a template", (path) => {
    expect(compile([{ to: [{ operation: { paths: [path] } }] }])).toEqual({
      policies: [],
      problems: ["spec.rules[0].to[0].operation.paths[0]"],
    });
  });
});

describe("conditions of a rule", () => {
  it.each([
    ["request.headers[X-User]", { header: { name: "x-user", stringMatch: { exact: "v" } } }],
    ["source.principal", peer({ exact: "spiffe://v" })],
  ])("%s is asked of the peer's side", (key, expected) => {
    expect(idsOf(whenOf(key, ["v"]))).toEqual(anyOf(expected));
  });

  it("reaches into nested claims", () => {
    expect(idsOf(whenOf("request.auth.claims[a][b]", ["v"]))).toMatchObject(
      anyOf({ metadata: { path: [{ key: "payload" }, { key: "a" }, { key: "b" }] } }),
    );
  });

  it.each([
    ["destination.port", "80", { destinationPort: 80 }],
    ["destination.ip", "10.0.0.1", { destinationIp: { addressPrefix: "10.0.0.1", prefixLen: 32 } }],
    ["connection.sni", "*.x", { requestedServerName: { suffix: ".x" } }],
  ])("%s is asked of the request's side", (key, value, expected) => {
    expect(rulesOf(whenOf(key, [value]))).toEqual([{ orRules: { rules: [expected] } }]);
  });
});

describe("what cannot be understood or asked", () => {
  const broken = [
    { from: "x" },
    { from: [{ source: { nobody: ["a"] } }] },
    { to: [{ operation: { ports: ["http"] } }] },
    { when: [{ key: "request.nothing", values: ["a"] }] },
    { form: [] },
  ];

  it.each(broken.map((rule) => [rule]))("case 43: lets an ALLOW match less and a DENY more: %j", (rule) => {
    expect(compile([rule]).policies).toEqual([]);
    const deny = compile([rule], { action: "DENY" });
    expect(deny.policies).toEqual([{ permissions: [{ any: true }], principals: [{ any: true }] }]);
    expect(deny.problems.length).toBeGreaterThan(0);
  });

  it("case 43: HTTP fields on a connection: an ALLOW rule goes, a DENY rule gets wider", () => {
    const rule = [{ from: [{ source: { namespaces: ["a"] } }], to: [{ operation: { methods: ["GET"] } }] }];
    expect(compile(rule, { http: false }).policies).toEqual([]);
    expect(idsOf(compile(rule, { action: "DENY", http: false }).policies)).toHaveLength(1);
  });

  it("never throws and never makes an ALLOW match everything that was not written so", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (rules) => {
        const { policies } = compile(rules);
        const writesAll = Array.isArray(rules) && rules.some((rule) => rule === null || JSON.stringify(rule) === "{}");
        const all = JSON.stringify({ permissions: [{ any: true }], principals: [{ any: true }] });
        if (!writesAll) expect(policies.map((each) => JSON.stringify(each))).not.toContain(all);
      }),
    );
  });
});

const filtersOf = (yaml: string, service = "web") => new TestWaypoint(SHOP + yaml).http(vip(service)).httpFilters;
const namesOf = (yaml: string) => filtersOf(yaml).map(({ name }) => name.replace("envoy.filters.http.", ""));

describe("the filters of a chain", () => {
  const MESH = `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    extensionProviders: [{ name: ext, envoyExtAuthzGrpc: { service: next.shop.svc.cluster.local, port: 80, timeout: 1s, failOpen: true } }]
---
`;
  const custom = policyYaml("c", "action: CUSTOM, provider: { name: ext }, rules: [{}]");
  const token = `apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: t, namespace: shop }\nspec: { targetRefs: [{ group: "", kind: Service, name: web }], jwtRules: [{ issuer: i, jwksUri: "https://k.example/jwks" }] }\n---\n`;

  it("case 33: stand in istiod's order", () => {
    const all = [
      policyYaml("a", "rules: [{}]"),
      policyYaml("d", "action: DENY, rules: [{}]"),
      policyYaml("u", "action: AUDIT"),
      custom,
      token,
      MESH,
    ];
    expect(namesOf(all.join(""))).toEqual([
      "rbac",
      "ext_authz",
      "jwt_authn",
      "rbac",
      "rbac",
      "rbac",
      "grpc_stats",
      "fault",
      "cors",
      "router",
    ]);
  });

  it("ask an external authorizer only about what its rules match", () => {
    const [rbac, authz] = filtersOf(MESH + custom);
    const shadow = unpacked(RBACSchema, rbac?.configType.value as never);
    expect([shadow.rules, Object.keys(shadow.shadowRules?.policies ?? {})]).toEqual([
      undefined,
      ["istio-ext-authz-ext-ns[shop]-policy[c]-rule[0]"],
    ]);
    expect(unpacked(ExtAuthzSchema, authz?.configType.value as never)).toMatchObject({
      failureModeAllow: true,
      services: { value: { targetSpecifier: { value: { clusterName: vip("next") } } } },
      filterEnabledMetadata: {
        value: { matchPattern: { value: { matchPattern: { value: "istio-ext-authz-ext-ns[" } } } },
      },
    });
  });

  it("case 38: refuse what an authorizer that does not exist would be asked about", () => {
    const [rbac] = filtersOf(custom);
    expect(unpacked(RBACSchema, rbac?.configType.value as never).rules?.action).toBe(RBAC_Action.DENY);
    const waypoint = new TestWaypoint(SHOP + custom);
    expect(waypoint.conditions.get("AuthorizationPolicy/shop/c" as ObjectKey)).toMatchObject([
      { status: "False", reason: "Invalid" },
    ]);
  });

  it("case 37: verify tokens without any key of our own in place of missing ones", () => {
    const bad = token.replace('jwksUri: "https://k.example/jwks"', "jwks: '{\"keys\":[]}'");
    for (const [yaml, uri] of [
      [token, "https://k.example/jwks"],
      [bad, "https://no-keys.invalid/"],
    ] as const) {
      const jwt = unpacked(JwtAuthenticationSchema, filtersOf(yaml)[0]?.configType.value as never);
      expect(jwt.providers["origins-0"]?.jwksSourceSpecifier).toMatchObject({
        case: "remoteJwks",
        value: { httpUri: { uri } },
      });
      expect(jwt).toMatchObject({ bypassCorsPreflight: true });
    }
  });

  it("observe a dry run and enforce nothing of it", () => {
    const dry = policyYaml("a", "rules: [{}]", ', annotations: { istio.io/dry-run: "true" }');
    const rbac = unpacked(RBACSchema, filtersOf(dry)[0]?.configType.value as never);
    expect([rbac.rules, rbac.shadowRulesStatPrefix]).toEqual([undefined, "istio_dry_run_allow_"]);
  });

  it("deny everything for an ALLOW policy that cannot match, on connections too", () => {
    const waypoint = new TestWaypoint(
      SHOP +
        serviceYaml("web", "10.96.0.1", { ports: "{ name: tcp, port: 80 }" }) +
        policyYaml("a", "rules: [{ to: [{ operation: { methods: [GET] } }] }]"),
    );
    const [rbac] = waypoint.chain(vip("web", 80, "tcp")).filters;
    const { rules, statPrefix } = unpacked(TcpRbacSchema, rbac?.configType.value as never);
    expect([rules?.action, statPrefix, Object.keys(rules?.policies ?? {})]).toEqual([
      RBAC_Action.ALLOW,
      "tcp.",
      ["ns[shop]-policy[a]-rule[0]"],
    ]);
    expect(rules?.policies["ns[shop]-policy[a]-rule[0]"]?.permissions[0]?.rule.case).toBe("notRule");
  });

  it.each([
    ["its Gateway", "{ group: gateway.networking.k8s.io, kind: Gateway, name: wp }", "shop", true],
    [
      "its class, from the root namespace",
      "{ group: gateway.networking.k8s.io, kind: GatewayClass, name: ambit-waypoint }",
      "istio-system",
      true,
    ],
    [
      "its class, from anywhere else",
      "{ group: gateway.networking.k8s.io, kind: GatewayClass, name: ambit-waypoint }",
      "shop",
      false,
    ],
    ["another service", '{ group: "", kind: Service, name: next }', "shop", false],
    ["a service of that name in another namespace", '{ group: "", kind: Service, name: web }', "bank", false],
  ])("hold for a service by %s", (_what, ref, namespace, holds) => {
    const yaml = policyYaml("p", "rules: [{}]")
      .replace(/\{ group: "", kind: Service, name: web \}/, ref)
      .replace("namespace: shop", `namespace: ${namespace}`);
    expect(namesOf(yaml).includes("rbac")).toBe(holds);
  });
});

describe("a policy on a rule of a route", () => {
  const route = routeYaml("r", "web", "{ name: pay, matches: [{ path: { value: /pay } }] }, { name: rest }");
  const ref = (section: string) => `{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: r${section} }`;
  const policy = (section: string) =>
    policyYaml("p", "action: DENY, rules: [{}]").replace(/\{ group: "", kind: Service, name: web \}/, ref(section));

  it("has a filter of its own, silent but on that rule", () => {
    const waypoint = new TestWaypoint(SHOP + route + policy(", sectionName: pay"));
    const filter = waypoint.http(vip("web")).httpFilters.find(({ name }) => name === "ambit.route_rbac.deny");
    expect(unpacked(RBACSchema, filter?.configType.value as never).rules).toBeUndefined();
    const configs = waypoint
      .routes(vip("web"))
      .map(({ typedPerFilterConfig }) => typedPerFilterConfig["ambit.route_rbac.deny"]);
    expect(configs.map((each) => each !== undefined)).toEqual([true, false]);
    expect(unpacked(RBACPerRouteSchema, configs[0]).rbac?.rules?.action).toBe(RBAC_Action.DENY);
  });

  it("holds for the whole route without a section, and says so when the rule does not exist", () => {
    const whole = new TestWaypoint(SHOP + route + policy(""));
    expect(
      whole.routes(vip("web")).every(({ typedPerFilterConfig }) => "ambit.route_rbac.deny" in typedPerFilterConfig),
    ).toBe(true);
    const lost = new TestWaypoint(SHOP + route + policy(", sectionName: nowhere"));
    expect(lost.conditions.get("AuthorizationPolicy/shop/p" as ObjectKey)).toMatchObject([
      { reason: "TargetNotFound" },
    ]);
  });
});

describe("the status of an attached policy", () => {
  const of = (yaml: string) =>
    new TestWaypoint(yaml).conditions
      .get("AuthorizationPolicy/shop/p" as ObjectKey)
      ?.map(({ status, reason }) => `${status} ${reason}`);

  it.each([
    ["enforced", SHOP + policyYaml("p", "rules: [{}]"), "True Accepted"],
    ["without its target", gatewayYaml() + policyYaml("p", "rules: [{}]"), "False TargetNotFound"],
    ["without a waypoint", serviceYaml("web", "10.96.0.1") + policyYaml("p", "rules: [{}]"), "False AncestorNotBound"],
    [
      "with a field nobody knows",
      SHOP + policyYaml("p", "rules: [{ when: [{ key: a.b, values: [c] }] }]"),
      "False PartiallyInvalid",
    ],
  ])("says that it is %s", (_what, yaml, expected) => {
    expect(of(yaml)).toEqual([expected]);
  });
});
