import { RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { TcpProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { asJson, routeYaml, SHOP, serviceYaml, TestWaypoint, unpacked, vip } from "../test-waypoint.ts";

const virtual = (spec: string, more = "name: v, namespace: shop"): string =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { ${more} }\nspec: { hosts: [web], ${spec} }\n---\n`;
const TO = "route: [{ destination: { host: next } }]";
const routesOf = (http: string, more = "") =>
  new TestWaypoint(SHOP + virtual(`http: [${http}]`) + more).routes(vip("web"));
const one = (rule: string) =>
  asJson(RouteSchema, routesOf(`{ ${rule} }`)[0] as never) as Record<string, Record<string, unknown>>;

describe("matches of a VirtualService", () => {
  it.each([
    ["uri: { exact: /a }", { path: "/a", caseSensitive: true }],
    ["uri: { prefix: /a }, ignoreUriCase: true", { prefix: "/a", caseSensitive: false }],
    ['uri: { regex: "/a.*" }', { safeRegex: { regex: "/a.*" } }],
    ["headers: { a: { exact: b } }", { headers: [{ name: "a", stringMatch: { exact: "b" } }] }],
    ["headers: { a: {} }", { headers: [{ name: "a", presentMatch: true }] }],
    [
      "withoutHeaders: { a: { prefix: b } }",
      { headers: [{ name: "a", invertMatch: true, treatMissingHeaderAsEmpty: true }] },
    ],
    ["method: { exact: GET }", { headers: [{ name: ":method" }] }],
    ["queryParams: { q: { exact: a } }", { queryParameters: [{ name: "q", stringMatch: { exact: "a" } }] }],
    [
      '"headers": { "@request.auth.claims[a][b]": { exact: c } }',
      {
        dynamicMetadata: [
          { filter: "envoy.filters.http.jwt_authn", path: [{ key: "payload" }, { key: "a" }, { key: "b" }] },
        ],
      },
    ],
  ])("{ %s }", (match, expected) => {
    expect(one(`match: [{ ${match} }], ${TO}`)["match"]).toMatchObject(expected);
  });

  it.each([
    ["source labels, which a waypoint does not know", "sourceLabels: { app: a }"],
    ["another port", "port: 81"],
    ["another namespace than the waypoint's", "sourceNamespace: bank"],
    ["a gateway", "gateways: [g]"],
    ["case 35: a pattern that is none", 'uri: { regex: "(" }'],
    ["a header that cannot be one", '"headers": { "a b": { exact: c } }'],
  ])("are never true with %s", (_what, match) => {
    expect(routesOf(`{ match: [{ ${match} }], ${TO} }`)).toEqual([]);
  });

  it("keep the order they are written in", () => {
    const names = routesOf(
      `{ name: a, match: [{ uri: { prefix: / } }], ${TO} }, { name: b, match: [{ uri: { exact: /x } }], ${TO} }`,
    );
    expect(names.map(({ name }) => name)).toEqual(["a", "b"]);
  });
});

describe("what a VirtualService does", () => {
  it("splits, with headers for a destination", () => {
    const rule =
      "route: [{ destination: { host: web }, weight: 90 }, { destination: { host: next }, weight: 10, headers: { response: { add: { k: v } } } }]";
    expect(one(rule)["route"]?.["weightedClusters"]).toMatchObject({
      clusters: [
        { name: vip("web"), weight: 90 },
        { name: vip("next"), weight: 10, responseHeadersToAdd: [{ header: { key: "k", value: "v" } }] },
      ],
    });
  });

  it("sends to a subset, and to a host that does not exist (503, not 500)", () => {
    expect(one("route: [{ destination: { host: next, subset: v1 } }]")["route"]?.["cluster"]).toBe(
      "inbound-vip|80|http/v1|next.shop.svc.cluster.local",
    );
    const lost = one("route: [{ destination: { host: gone.example } }]")["route"];
    expect([lost?.["cluster"], lost?.["clusterNotFoundResponseCode"]]).toEqual([
      "outbound|80||gone.example",
      undefined,
    ]);
  });

  it.each([
    [`timeout: 5s, ${TO}`, { timeout: "5s" }],
    [`rewrite: { uri: /n, authority: h.example }, ${TO}`, { prefixRewrite: "/n", hostRewriteLiteral: "h.example" }],
    [
      `rewrite: { uriRegexRewrite: { match: "/a(.)", rewrite: '/\\1' } }, ${TO}`,
      { regexRewrite: { substitution: "/\\1" } },
    ],
    [
      `retries: { attempts: 3, retryOn: "5xx,503", perTryTimeout: 2s }, ${TO}`,
      {
        retryPolicy: {
          retryOn: "5xx,retriable-status-codes",
          retriableStatusCodes: [503],
          numRetries: 3,
          perTryTimeout: "2s",
        },
      },
    ],
    [
      `mirror: { host: next }, mirrorPercentage: { value: 1 }, ${TO}`,
      {
        requestMirrorPolicies: [
          { cluster: vip("next"), runtimeFraction: { defaultValue: { numerator: 10_000, denominator: "MILLION" } } },
        ],
      },
    ],
  ])("{ %s }", (rule, expected) => {
    expect(one(rule)["route"]).toMatchObject(expected);
  });

  it("redirects and answers by itself", () => {
    expect(one("redirect: { uri: /q, authority: o.example, redirectCode: 302 }")["redirect"]).toEqual({
      hostRedirect: "o.example",
      pathRedirect: "/q",
      responseCode: "FOUND",
    });
    expect(one("directResponse: { status: 418, body: { string: teapot } }")["directResponse"]).toEqual({
      status: 418,
      body: { inlineString: "teapot" },
    });
  });

  it("injects faults", () => {
    const [route] = routesOf(
      `{ fault: { delay: { fixedDelay: 1s, percentage: { value: 0.1 } }, abort: { httpStatus: 503 } }, ${TO} }`,
    );
    expect(unpacked(HTTPFaultSchema, route?.typedPerFilterConfig["envoy.filters.http.fault"])).toMatchObject({
      delay: { faultDelaySecifier: { value: { seconds: 1n } }, percentage: { numerator: 1_000 } },
      abort: { errorType: { case: "httpStatus", value: 503 }, percentage: { numerator: 1_000_000 } },
    });
  });

  it("case 41: leaves out header values that no proxy would take", () => {
    const rule = `headers: { request: { set: { ok: "%DOWNSTREAM_REMOTE_ADDRESS%", bad: "%NOTHING%", odd: "50%" } } }, ${TO}`;
    expect(one(rule)["requestHeadersToAdd"]).toMatchObject([{ header: { key: "ok" } }]);
  });

  it("comes after the Gateway API's routes", () => {
    const names = routesOf(`{ name: vs, ${TO} }`, routeYaml("r", "web", "{ matches: [{ path: { value: /a } }] }")).map(
      ({ name }) => name,
    );
    expect(names).toEqual(["shop.r.0", "vs"]);
  });
});

describe("where a VirtualService holds", () => {
  it("case 55: not for a host of another namespace, and says so", () => {
    const foreign = virtual(`http: [{ name: stolen, ${TO} }]`, "name: v, namespace: bank").replace(
      "hosts: [web]",
      "hosts: [web.shop.svc.cluster.local]",
    );
    const waypoint = new TestWaypoint(SHOP + foreign);
    expect(waypoint.routes(vip("web"))[0]?.name).toBe("default");
    expect(waypoint.conditions.get("VirtualService/bank/v" as ObjectKey)).toMatchObject([
      { status: "False", reason: "NotAllowed" },
    ]);
  });

  it("not when it is for gateways only", () => {
    expect(
      new TestWaypoint(SHOP + virtual(`gateways: [g], http: [{ name: v, ${TO} }]`)).routes(vip("web"))[0]?.name,
    ).toBe("default");
  });
});

describe("connections", () => {
  const TCP = serviceYaml("web", "10.96.0.1", { ports: "{ name: tcp-db, port: 80 }" });
  const clustersOf = (yaml: string) => {
    const filter = new TestWaypoint(SHOP + TCP + yaml).chain(vip("web", 80, "tcp")).filters.at(-1)?.configType.value;
    const { clusterSpecifier } = unpacked(TcpProxySchema, filter as never);
    return clusterSpecifier.case === "cluster"
      ? clusterSpecifier.value
      : clusterSpecifier.value?.clusters.map(({ name, weight }) => [name, weight]);
  };
  const route = (kind: string, refs: string, name = "t") =>
    `apiVersion: gateway.networking.k8s.io/v1\nkind: ${kind}\nmetadata: { name: ${name}, namespace: shop }\nspec: { parentRefs: [{ group: "", kind: Service, name: web }], rules: [{ backendRefs: [${refs}] }] }\n---\n`;

  it("go to the service itself without a route", () => {
    expect(clustersOf("")).toBe(vip("web", 80, "tcp"));
  });

  it("follow a TCPRoute by weight, and a TLSRoute before it", () => {
    const tcp = route("TCPRoute", "{ name: web, port: 80, weight: 9 }, { name: gone, port: 1, weight: 1 }");
    expect(clustersOf(tcp)).toEqual([
      [vip("web", 80, "tcp"), 9],
      ["UnknownService", 1],
    ]);
    expect(clustersOf(tcp + route("TLSRoute", "{ name: web, port: 80 }"))).toBe(vip("web", 80, "tcp"));
  });

  it("follow a VirtualService's tcp rules", () => {
    expect(
      clustersOf(
        virtual(
          "tcp: [{ match: [{ port: 80 }], route: [{ destination: { host: next.shop.svc.cluster.local, port: { number: 80 } } }] }]",
        ),
      ),
    ).toBe(vip("next", 80, "tcp"));
  });

  it("case 56: follow the older of two TCPRoutes; the younger says that it does not count", () => {
    const yaml =
      SHOP +
      TCP +
      route("TCPRoute", "{ name: web, port: 80 }", "a") +
      route("TCPRoute", "{ name: web, port: 80 }", "b");
    const verdict = new TestWaypoint(yaml).statuses.get("TCPRoute/shop/b" as ObjectKey)?.parents?.[0]?.conditions[0];
    expect(verdict).toMatchObject({ status: "False", reason: "Conflicted" });
  });
});
