import { RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { CorsPolicySchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { asJson, routeYaml, SHOP, serviceYaml, TestWaypoint, unpacked, vip } from "../test-waypoint.ts";

const BACKEND = "backendRefs: [{ name: next, port: 80 }]";
const routesOf = (rules: string, more = "") =>
  new TestWaypoint(SHOP + routeYaml("r", "web", rules) + more).routes(vip("web"));
const json = (rules: string, more = "") => routesOf(rules, more).map((route) => asJson(RouteSchema, route));
const one = (rule: string, more = "") => json(`{ ${rule} }`, more)[0] as Record<string, Record<string, unknown>>;
const parentConditions = (yaml: string, key = "HTTPRoute/shop/r") =>
  new TestWaypoint(yaml).statuses.get(key as ObjectKey)?.parents?.[0]?.conditions ?? [];
const verdicts = (yaml: string, key?: string) =>
  parentConditions(yaml, key).map(({ type, status, reason }) => `${type} ${status} ${reason}`);

describe("matches of an HTTPRoute", () => {
  it.each([
    ["nothing", "", { prefix: "/" }],
    ["a prefix of whole segments", "path: { value: /v2/ }", { pathSeparatedPrefix: "/v2" }],
    ["the root", "path: { type: PathPrefix, value: / }", { prefix: "/" }],
    ["an exact path", "path: { type: Exact, value: /x }", { path: "/x" }],
    ["a pattern", "path: { type: RegularExpression, value: /x.* }", { safeRegex: { regex: "/x.*" } }],
    ["a method", "method: PUT", { headers: [{ name: ":method", stringMatch: { exact: "PUT" } }] }],
    [
      "headers, the first of a name",
      'headers: [{ name: Version, value: "1" }, { name: version, value: "2" }]',
      { headers: [{ name: "version", stringMatch: { exact: "1" } }] },
    ],
    [
      "query parameters",
      "queryParams: [{ name: Q, value: a }]",
      { queryParameters: [{ name: "Q", stringMatch: { exact: "a" } }] },
    ],
  ])("by %s", (_what, match, expected) => {
    expect(one(`matches: [{ ${match} }], ${BACKEND}`)["match"]).toMatchObject(expected);
  });

  it("are ordered: exact path, longest prefix, method, headers, query, then age, then order", () => {
    const older = routeYaml(
      "a-older",
      "web",
      `{ matches: [{ method: GET }], ${BACKEND} }`,
      ", creationTimestamp: '2020'",
    );
    const rules = [
      `{ matches: [{ queryParams: [{ name: q, value: a }] }], ${BACKEND} }`,
      `{ matches: [{ headers: [{ name: h, value: a }] }], ${BACKEND} }`,
      `{ matches: [{ method: GET }], ${BACKEND} }`,
      `{ matches: [{ path: { value: /a } }], ${BACKEND} }`,
      `{ matches: [{ path: { value: /a/b } }], ${BACKEND} }`,
      `{ matches: [{ path: { type: Exact, value: /x } }], ${BACKEND} }`,
      `{ ${BACKEND} }`,
    ].join(", ");
    expect(routesOf(rules, older).map(({ name }) => name)).toEqual([
      "shop.r.5",
      "shop.r.4",
      "shop.r.3",
      "shop.a-older.0",
      "shop.r.2",
      "shop.r.1",
      "shop.r.0",
      "shop.r.6",
    ]);
  });

  it("case 35: a pattern that is none matches nothing, and says so", () => {
    const yaml =
      SHOP + routeYaml("r", "web", `{ matches: [{ path: { type: RegularExpression, value: "(" } }], ${BACKEND} }`);
    expect(new TestWaypoint(yaml).routes(vip("web"))).toEqual([]);
    expect(verdicts(yaml)).toContain("PartiallyInvalid True UnsupportedValue");
  });

  it("of a GRPCRoute are paths of methods, and its presence puts HTTPRoutes aside", () => {
    const grpc = `apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: { name: g, namespace: shop }\nspec: { parentRefs: [{ group: "", kind: Service, name: web }], rules: [{ matches: [{ method: { service: a.B, method: C } }, { method: { service: a.B } }, { method: { method: D } }], ${BACKEND} }] }\n---\n`;
    const yaml = SHOP + grpc + routeYaml("r", "web", `{ ${BACKEND} }`);
    const paths = new TestWaypoint(yaml).routes(vip("web")).map(({ match }) => match?.pathSpecifier);
    expect(paths).toMatchObject([
      { case: "path", value: "/a.B/C" },
      { case: "prefix", value: "/a.B/" },
      { case: "safeRegex", value: { regex: "/[^/]+/D" } },
    ]);
    expect(verdicts(yaml)).toContain("Accepted False Conflicted");
  });
});

describe("backends of an HTTPRoute", () => {
  it("share by weight; weight 0 is never there, and nothing but 0 is answered 500", () => {
    const split =
      "backendRefs: [{ name: web, port: 80, weight: 9 }, { name: next, port: 80 }, { name: gone, port: 80, weight: 0 }]";
    expect(one(split)["route"]?.["weightedClusters"]).toEqual({
      clusters: [
        { name: vip("web"), weight: 9 },
        { name: vip("next"), weight: 1 },
      ],
    });
    expect(one("backendRefs: [{ name: web, port: 80, weight: 0 }]")["directResponse"]).toEqual({ status: 500 });
    expect(one("backendRefs: []")["directResponse"]).toEqual({ status: 500 });
  });

  it("that are not named are the parent's own endpoints", () => {
    expect(one("matches: [{ method: GET }]")["route"]?.["cluster"]).toBe(vip("web"));
  });

  it.each([
    ["that does not exist", "{ name: gone, port: 80 }", "BackendNotFound"],
    ["of a port that does not exist", "{ name: next, port: 81 }", "BackendNotFound"],
    ["of another kind", "{ kind: Thing, name: next, port: 80 }", "InvalidKind"],
    ["of a namespace that grants nothing", "{ name: other, namespace: bank, port: 80 }", "RefNotPermitted"],
  ])("%s is answered 500, and said", (_what, ref, reason) => {
    const yaml = SHOP + routeYaml("r", "web", `{ backendRefs: [${ref}] }`);
    const [route] = new TestWaypoint(yaml).routes(vip("web")).map((each) => asJson(RouteSchema, each)) as never[];
    expect(route).toMatchObject({
      route: { cluster: "UnknownService", clusterNotFoundResponseCode: "INTERNAL_SERVER_ERROR" },
    });
    expect(verdicts(yaml)).toContain(`ResolvedRefs False ${reason}`);
  });

  it("of another namespace need a ReferenceGrant there, and get a cluster of their own", () => {
    const grant = `apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: { name: g, namespace: bank }\nspec: { from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop }], to: [{ group: "", kind: Service, name: other }] }\n---\n`;
    const other = serviceYaml("other", "10.96.9.9").replace("namespace: shop", "namespace: bank");
    const yaml =
      SHOP + other + grant + routeYaml("r", "web", "{ backendRefs: [{ name: other, namespace: bank, port: 80 }] }");
    const waypoint = new TestWaypoint(yaml);
    const name = "outbound|80||other.bank.svc.cluster.local";
    expect(waypoint.routes(vip("web"))[0]?.action.value).toMatchObject({ clusterSpecifier: { value: name } });
    expect(waypoint.cluster(name).transportSocketMatches.map((each) => each.name)).toEqual([
      "hbone",
      "tlsMode-disabled",
    ]);
    waypoint.remove(grant);
    expect(() => waypoint.cluster(name)).toThrow();
  });

  it("change headers and the host by themselves", () => {
    const filters =
      "filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: a, value: b }] } }, { type: URLRewrite, urlRewrite: { hostname: h.example } }]";
    expect(one(`backendRefs: [{ name: next, port: 80, ${filters} }]`)["route"]?.["weightedClusters"]).toMatchObject({
      clusters: [
        {
          name: vip("next"),
          requestHeadersToAdd: [{ header: { key: "a", value: "b" }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" }],
          hostRewriteLiteral: "h.example",
        },
      ],
    });
  });
});

describe("what a rule of an HTTPRoute does", () => {
  const filter = (body: string, match = "") => one(`${match} filters: [{ ${body} }], ${BACKEND}`);

  it("changes headers, values being text", () => {
    const route = filter(
      "type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-A, value: 100% }], add: [{ name: b, value: c }], remove: [d, ':path'] }",
    );
    expect(route).toMatchObject({
      requestHeadersToAdd: [
        { header: { key: "X-A", value: "100%%" }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" },
        { header: { key: "b", value: "c" } },
      ],
      requestHeadersToRemove: ["d"],
    });
  });

  it.each([
    ["prefix by prefix", "/one", { type: "ReplacePrefixMatch", value: "/two" }, { prefixRewrite: "/two" }],
    [
      "prefix by nothing",
      "/one",
      { type: "ReplacePrefixMatch", value: "/" },
      { regexRewrite: { pattern: { regex: "^/one(/?)(.*)" }, substitution: "/\\2" } },
    ],
    [
      "whole path",
      "/one",
      { type: "ReplaceFullPath", value: "/two" },
      { regexRewrite: { pattern: { regex: "/.*" }, substitution: "/two" } },
    ],
  ])("rewrites a path: %s", (_what, prefix, { type, value }, expected) => {
    const field = type === "ReplaceFullPath" ? "replaceFullPath" : "replacePrefixMatch";
    const route = filter(
      `type: URLRewrite, urlRewrite: { path: { type: ${type}, ${field}: ${value} } }`,
      `matches: [{ path: { value: ${prefix} } }],`,
    );
    expect(route["route"]).toMatchObject(expected);
  });

  it.each([
    ["hostname and status", "hostname: e.example, statusCode: 301", { hostRedirect: "e.example" }],
    ["scheme, with its port", "scheme: https", { schemeRedirect: "https", portRedirect: 443, responseCode: "FOUND" }],
    ["scheme and port", "scheme: https, port: 8443", { portRedirect: 8443 }],
    ["308", "statusCode: 308", { responseCode: "PERMANENT_REDIRECT" }],
    ["a full path", "path: { type: ReplaceFullPath, replaceFullPath: /y }", { pathRedirect: "/y" }],
    ["a prefix", "path: { type: ReplacePrefixMatch, replacePrefixMatch: /y }", { prefixRewrite: "/y" }],
  ])("redirects: %s", (_what, body, expected) => {
    expect(filter(`type: RequestRedirect, requestRedirect: { ${body} }`)["redirect"]).toMatchObject(expected);
  });

  it("mirrors all, a percentage, a fraction, or nobody", () => {
    const mirror = (share: string) =>
      `{ type: RequestMirror, requestMirror: { backendRef: { name: next, port: 80 }${share} } }`;
    const shares = ["", ", percent: 10", ", fraction: { numerator: 1, denominator: 1000 }", ", percent: 0"];
    const route = one(`filters: [${shares.map(mirror).join(", ")}], ${BACKEND}`);
    const policies = route["route"]?.["requestMirrorPolicies"] as {
      runtimeFraction: { defaultValue: { numerator: number } };
    }[];
    expect(policies.map((each) => each.runtimeFraction.defaultValue.numerator)).toEqual([1_000_000, 100_000, 1_000]);
  });

  it("answers preflights", () => {
    const cors =
      'type: CORS, cors: { allowOrigins: ["https://*.example.com"], allowMethods: [GET, PUT], allowCredentials: true, maxAge: 60 }';
    const [route] = routesOf(`{ filters: [{ ${cors} }], ${BACKEND} }`);
    const config = unpacked(CorsPolicySchema, route?.typedPerFilterConfig["envoy.filters.http.cors"]);
    expect(config).toMatchObject({ allowMethods: "GET,PUT", maxAge: "60", allowCredentials: true });
    expect(config.allowOriginStringMatch[0]?.matchPattern.value).toMatchObject({
      regex: "https://[^/]+\\.example\\.com",
    });
  });

  it.each([
    ["the request's", "timeouts: { request: 3s }", "3s", undefined],
    ["a try's, where there are no retries", "timeouts: { backendRequest: 1s }", "1s", undefined],
    ["both", "timeouts: { request: 3s, backendRequest: 500ms }, retry: { codes: [503] }", "3s", "0.500s"],
    ["none", "timeouts: { request: 0s }", "0s", undefined],
  ])("limits time: %s", (_what, fields, timeout, perTry) => {
    const action = one(`${fields}, ${BACKEND}`)["route"] as {
      timeout: string;
      retryPolicy: { perTryTimeout?: string };
    };
    expect([action.timeout, action.retryPolicy.perTryTimeout]).toEqual([timeout, perTry]);
  });

  it("retries as asked, as Istio does when nobody asks, and never when told so", () => {
    expect(
      one(`retry: { codes: [500, 503], attempts: 5, backoff: 25ms }, ${BACKEND}`)["route"]?.["retryPolicy"],
    ).toMatchObject({
      retryOn: "connect-failure,refused-stream,unavailable,cancelled,reset,retriable-status-codes",
      numRetries: 5,
      retriableStatusCodes: [500, 503],
      retryBackOff: { baseInterval: "0.025s" },
    });
    expect(one(BACKEND)["route"]?.["retryPolicy"]).toMatchObject({ numRetries: 2 });
    expect(one(`retry: { attempts: 0 }, ${BACKEND}`)["route"]).not.toHaveProperty("retryPolicy");
  });

  it("is answered 500 with a filter nobody knows: passing over it would do something else", () => {
    const route = filter("type: ExtensionRef, extensionRef: { group: g, kind: k, name: n }");
    expect(route["directResponse"]).toEqual({ status: 500 });
  });

  it("is called by its name", () => {
    expect(routesOf(`{ name: checkout, ${BACKEND} }`)[0]?.name).toBe("shop.r.checkout");
  });
});

describe("where an HTTPRoute holds", () => {
  const TWO_PORTS = serviceYaml("web", "10.96.0.1", {
    ports: "{ name: http, port: 80 }, { name: http-alt, port: 8080 }",
  });
  const on = (ref: string) =>
    new TestWaypoint(
      SHOP + TWO_PORTS + routeYaml("r", "web", `{ ${BACKEND} }`).replace("name: web }", `name: web, ${ref} }`),
    );

  it.each([
    ["port: 8080", ["default", "shop.r.0"]],
    ["sectionName: http", ["shop.r.0", "default"]],
  ])("with %s on that port only", (ref, expected) => {
    const waypoint = on(ref);
    expect([80, 8080].map((port) => waypoint.routes(vip("web", port))[0]?.name)).toEqual(expected);
  });

  it("with a port that is none nowhere, and says so", () => {
    const yaml = SHOP + routeYaml("r", "web", `{ ${BACKEND} }`).replace("name: web }", "name: web, port: 99 }");
    expect(verdicts(yaml)).toContain("Accepted False NoMatchingParent");
  });

  it("without a waypoint nowhere, and says so", () => {
    const plain = serviceYaml("web", "10.96.0.1") + routeYaml("r", "web", `{ ${BACKEND} }`);
    expect(verdicts(plain)).toContain("ResolvedWaypoints False WaypointMissing");
  });
});
