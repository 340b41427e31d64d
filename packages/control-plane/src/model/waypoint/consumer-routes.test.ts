/** Routes of clients' namespaces for a service of another one. Spec: GEP-1294, "Namespace boundaries". */
import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { type Route, RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { admitted, MAX_NAMESPACE_BYTES, MAX_SERVICE_BYTES } from "./consumer-routes.ts";
import { asJson, policyYaml, routeYaml, SHOP, serviceYaml, TestWaypoint, vip, waypointPod } from "./test-waypoint.ts";

const WEB = vip("web");
const TO_WEB = "backendRefs: [{ name: web, namespace: shop, port: 80 }]";
const OWN = serviceYaml("own", "10.96.1.1").replace("namespace: shop", "namespace: bank");
const OWN_CLUSTER = "outbound|80|~pods|own.bank.svc.cluster.local";

interface RouteInit {
  readonly name?: string;
  readonly namespace?: string;
  readonly kind?: string;
  /** More of the parentRef. */
  readonly ref?: string;
  readonly meta?: string;
}

/** A route of `bank`, unless said otherwise, for service `web` of `shop`. */
const consumer = (rules: string, init: RouteInit = {}): string => {
  const { name = "r", namespace = "bank", kind = "HTTPRoute", ref = "", meta = "" } = init;
  return routeYaml(name, "web", rules, meta)
    .replace("kind: HTTPRoute", `kind: ${kind}`)
    .replace("namespace: shop", `namespace: ${namespace}`)
    .replace("name: web }", `name: web, namespace: shop${ref} }`);
};
const grant = (to: string, kind = "HTTPRoute", namespace = "shop"): string =>
  `apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: { name: g, namespace: ${namespace} }\nspec: { from: [{ group: gateway.networking.k8s.io, kind: ${kind}, namespace: bank }], to: [{ group: "", kind: Service, name: ${to} }] }\n---\n`;

const names = (routes: readonly Route[]) => routes.map(({ name }) => name);
const json = (route: Route | undefined) =>
  (route ? asJson(RouteSchema, route) : {}) as Record<string, Record<string, unknown>>;
const conditionsOf = (waypoint: TestWaypoint, key: string) =>
  waypoint.statuses.get(key as ObjectKey)?.parents?.[0]?.conditions ?? [];
const verdicts = (waypoint: TestWaypoint, key = "HTTPRoute/bank/r") =>
  conditionsOf(waypoint, key).map(({ type, status, reason }) => `${type} ${status} ${reason}`);
const messageOf = (waypoint: TestWaypoint, type: string, key = "HTTPRoute/bank/r") =>
  conditionsOf(waypoint, key).find((each) => each.type === type)?.message;

describe("a consumer route", () => {
  it("holds for clients of its namespace instead of the producer's, and for nobody else", () => {
    const waypoint = new TestWaypoint(
      SHOP + routeYaml("mine", "web", "{ }") + consumer("{ matches: [{ path: { value: /a } }] }"),
    );
    expect(names(waypoint.routesFor(WEB, "bank"))).toEqual(["bank.r.0"]);
    for (const other of ["shop", "other", "bank2", "ban"]) {
      expect(names(waypoint.routesFor(WEB, other))).toEqual(["shop.mine.0"]);
    }
    expect(verdicts(waypoint)).toEqual([
      "Accepted True Accepted",
      "ResolvedRefs True ResolvedRefs",
      "ResolvedWaypoints True ResolvedWaypoints",
    ]);
    expect(messageOf(waypoint, "Accepted")).toBe("holds for clients of namespace bank alone");
    expect(waypoint.statuses.get("HTTPRoute/bank/r" as ObjectKey)?.parents?.[0]?.enforcedBy).toEqual(["shop/wp"]);
  });

  it("asks for the proven peer, under every name of the trust domain", () => {
    const config = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata: { mesh: "trustDomainAliases: [old.example]" }\n---\n`;
    const waypoint = new TestWaypoint(SHOP + config + consumer("{ }"));
    expect(asJson(RouteConfigurationSchema, waypoint.routeTable(WEB))).toMatchObject({
      virtualHosts: [{ matcher: { matcherTree: { input: { typedConfig: { key: "io.istio.peer_principal" } } } } }],
    });
    for (const domain of ["cluster.local", "old.example"]) {
      expect(names(waypoint.routesFor(WEB, "bank", domain))).toEqual(["bank.r.0"]);
    }
    expect(names(waypoint.routesFor(WEB, "bank", "foreign.example"))).toEqual(["default"]);
  });

  it("is ordered among those of its namespace as producers' are, and puts VirtualServices aside, too", () => {
    const virtual = `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v, namespace: shop }\nspec: { hosts: [web], http: [{ route: [{ destination: { host: next } }] }] }\n---\n`;
    const waypoint = new TestWaypoint(
      SHOP +
        virtual +
        consumer("{ matches: [{ path: { value: /a } }, { path: { value: /a/b } }] }", { name: "young" }) +
        consumer("{ matches: [{ path: { value: /a } }] }", { name: "old", meta: ", creationTimestamp: '2020'" }) +
        consumer("{ }", { namespace: "third" }),
    );
    expect(names(waypoint.routesFor(WEB, "bank"))).toEqual(["bank.young.0", "bank.old.0", "bank.young.0"]);
    expect(names(waypoint.routesFor(WEB, "third"))).toEqual(["third.r.0"]);
    expect(waypoint.routesFor(WEB, "shop")).toHaveLength(1);
  });

  it("gives way to a stronger kind of its own namespace only", () => {
    const waypoint = new TestWaypoint(
      SHOP + routeYaml("mine", "web", "{ }") + consumer("{ }", { name: "g", kind: "GRPCRoute" }) + consumer("{ }"),
    );
    expect(names(waypoint.routesFor(WEB, "bank"))).toEqual(["bank.g.0"]);
    expect(names(waypoint.routesFor(WEB, "shop"))).toEqual(["shop.mine.0"]);
    expect(verdicts(waypoint)).toContain("Accepted False Conflicted");
    expect(verdicts(waypoint, "HTTPRoute/shop/mine")).toContain("Accepted True Accepted");
  });

  it("holds on the port that it names", () => {
    const ports = serviceYaml("web", "10.96.0.1", {
      ports: "{ name: http, port: 80 }, { name: http-alt, port: 8080 }",
    });
    const waypoint = new TestWaypoint(SHOP + ports + consumer("{ }", { ref: ", port: 8080" }));
    expect(waypoint.routeTable(WEB).virtualHosts[0]?.matcher).toBeUndefined();
    expect(names(waypoint.routesFor(vip("web", 8080), "bank"))).toEqual(["bank.r.0"]);
  });

  it("is a producer's where it is the waypoint's namespace", () => {
    const elsewhere = SHOP.replace(
      "istio.io/use-waypoint: wp",
      "istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: bank",
    )
      .replace("metadata: { name: wp, namespace: shop }", "metadata: { name: wp, namespace: bank }")
      .replace("protocol: HBONE }", "protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }")
      .replace("wp.shop.svc", "wp.bank.svc");
    const waypoint = new TestWaypoint(elsewhere + consumer(`{ ${TO_WEB} }`), "bank/wp");
    expect(names(waypoint.routes(WEB))).toEqual(["bank.r.0"]);
  });

  it("without a waypoint has no effect, and says whose is needed", () => {
    const waypoint = new TestWaypoint(serviceYaml("web", "10.96.0.1") + consumer("{ }"));
    expect(verdicts(waypoint)).toEqual([
      "Accepted True Accepted",
      "ResolvedRefs True ResolvedRefs",
      "ResolvedWaypoints False WaypointMissing",
    ]);
    expect(messageOf(waypoint, "ResolvedWaypoints")).toMatch(
      /the waypoint of their parent, which label istio.io\/use-waypoint on it or on namespace shop names/,
    );
  });

  it("costs one resource when it changes, and none of anybody else's", () => {
    const waypoint = new TestWaypoint(SHOP + waypointPod("wp-2") + OWN + consumer("{ }"));
    const delta = waypoint.apply(consumer("{ matches: [{ method: PUT }] }"));
    expect(delta.upserted.map(({ name }) => name)).toEqual([WEB]);
    expect(waypoint.remove(consumer("{ }")).upserted.map(({ name }) => name)).toEqual([WEB]);
    expect(names(waypoint.routes(WEB))).toEqual(["default"]);
  });

  it("carries the policies attached to it, on it alone", () => {
    const policy = policyYaml("p", "action: DENY, rules: [{ to: [{ operation: { methods: [PUT] } }] }]")
      .replace("namespace: shop", "namespace: bank")
      .replace('group: "", kind: Service, name: web', "group: gateway.networking.k8s.io, kind: HTTPRoute, name: r");
    const waypoint = new TestWaypoint(SHOP + policy + consumer("{ }"));
    const filters = waypoint.http(WEB).httpFilters.map(({ name }) => name);
    expect(filters).toContain("ambit.route_rbac.deny");
    expect(Object.keys(waypoint.routesFor(WEB, "bank")[0]?.typedPerFilterConfig ?? {})).toEqual([
      "ambit.route_rbac.deny",
    ]);
    expect(waypoint.routesFor(WEB, "shop")[0]?.typedPerFilterConfig).toEqual({});
  });
});

describe("case 55: where a consumer route sends", () => {
  const clusterOf = (waypoint: TestWaypoint, name = WEB) =>
    json(waypoint.routesFor(name, "bank")[0])["route"]?.["cluster"];
  const HEADERS = "{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-role, value: admin }] } }";
  const REWRITE = "{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /admin } } }";
  const RESPONSE = "{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: a, value: b }] } }";
  const otherIn = (namespace: string) =>
    serviceYaml("other", "10.96.7.7").replace("namespace: shop", `namespace: ${namespace}`);

  it.each([
    ["the parent, when it names nobody", "{ }", WEB],
    ["the parent, when it names it", `{ ${TO_WEB} }`, WEB],
    ["the parent, answers being changed", `{ filters: [${RESPONSE}] }`, WEB],
    ["services of its own namespace", "{ backendRefs: [{ name: own, port: 80 }] }", OWN_CLUSTER],
    [
      "the same by hostname",
      "{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: own.bank.svc.cluster.local, port: 80 }] }",
      OWN_CLUSTER,
    ],
    [
      "its own, requests being changed",
      `{ filters: [${HEADERS}], backendRefs: [{ name: own, port: 80 }] }`,
      OWN_CLUSTER,
    ],
  ])("may be %s", (_, rule, cluster) => {
    const waypoint = new TestWaypoint(SHOP + OWN + consumer(rule));
    expect(clusterOf(waypoint)).toBe(cluster);
    expect(verdicts(waypoint)).toContain("ResolvedRefs True ResolvedRefs");
  });

  it.each([
    [
      "another service of the parent's namespace",
      "{ backendRefs: [{ name: next, namespace: shop, port: 80 }] }",
      /no ReferenceGrant in shop/,
    ],
    [
      "a third namespace",
      "{ backendRefs: [{ name: other, namespace: third, port: 80 }] }",
      /no ReferenceGrant in third/,
    ],
    [
      "another namespace's by hostname",
      "{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: next.shop.svc.cluster.local, port: 80 }] }",
      /Service shop\/next: no ReferenceGrant/,
    ],
    [
      "a host of its own that is no Service",
      "{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: x.example, port: 80 }] }",
      /ServiceEntry bank\/x: only Services/,
    ],
    ["the parent, requests being changed", `{ filters: [${HEADERS}] }`, /RequestHeaderModifier would change requests/],
    ["the parent, paths being changed", `{ filters: [${REWRITE}], ${TO_WEB} }`, /URLRewrite would change requests/],
    [
      "the parent, a backend's filter changing requests",
      `{ backendRefs: [{ name: web, namespace: shop, port: 80, filters: [${HEADERS}] }] }`,
      /RequestHeaderModifier would change/,
    ],
  ])("may not be %s without a grant", (_, rule, message) => {
    const entry = `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { name: x, namespace: bank }\nspec: { hosts: [x.example], ports: [{ number: 80, name: http, protocol: HTTP }], resolution: STATIC, endpoints: [{ address: 127.0.0.1 }] }\n---\n`;
    const waypoint = new TestWaypoint(SHOP + OWN + otherIn("third") + entry + consumer(rule));
    const action = json(waypoint.routesFor(WEB, "bank")[0])["route"];
    expect(JSON.stringify(action)).toMatch(/"(cluster|name)":"UnknownService"/);
    expect(action?.["clusterNotFoundResponseCode"]).toBe("INTERNAL_SERVER_ERROR");
    expect(verdicts(waypoint)).toContain("ResolvedRefs False RefNotPermitted");
    expect(messageOf(waypoint, "ResolvedRefs")).toMatch(message);
  });

  it("may be what the other namespace grants, changed requests included", () => {
    const granted = new TestWaypoint(SHOP + grant("web") + consumer(`{ filters: [${REWRITE}], ${TO_WEB} }`));
    expect(clusterOf(granted)).toBe(WEB);
    const implied = new TestWaypoint(SHOP + grant("web") + consumer(`{ filters: [${REWRITE}] }`));
    expect(clusterOf(implied)).toBe(WEB);
    const next = new TestWaypoint(
      SHOP + grant("next") + consumer("{ backendRefs: [{ name: next, namespace: shop, port: 80 }] }"),
    );
    expect(clusterOf(next)).toBe(vip("next"));
    const otherKind = new TestWaypoint(SHOP + grant("web", "GRPCRoute") + consumer(`{ filters: [${REWRITE}] }`));
    expect(clusterOf(otherKind)).toBe("UnknownService");
  });

  it("is the very port that was asked for: policies judge by it", () => {
    const ports = serviceYaml("web", "10.96.0.1", {
      ports: "{ name: http, port: 80 }, { name: http-alt, port: 8080 }",
    });
    const waypoint = new TestWaypoint(SHOP + ports + consumer(`{ ${TO_WEB} }`));
    expect([clusterOf(waypoint), clusterOf(waypoint, vip("web", 8080))]).toEqual([WEB, "UnknownService"]);
    expect(messageOf(waypoint, "ResolvedRefs")).toMatch(/permits to send what came for port 8080 to port 80/);
    const named = new TestWaypoint(SHOP + ports + consumer(`{ ${TO_WEB} }`, { ref: ", port: 80" }));
    expect(verdicts(named)).toContain("ResolvedRefs True ResolvedRefs");
  });

  it.each([
    ["a DENY", "action: DENY, rules: [{}]", "", false],
    ["an ALLOW", "action: ALLOW, rules: [{}]", "", false],
    ["an AUDIT", "action: AUDIT, rules: [{}]", "", true],
    ["a dry run", "action: DENY, rules: [{}]", ", annotations: { istio.io/dry-run: 'true' }", true],
  ])("is not the parent where %s guards routes of the producer that it would go around", (_, rules, meta, reaches) => {
    const guard = policyYaml("guard", rules, meta).replace(
      'group: "", kind: Service, name: web',
      "group: gateway.networking.k8s.io, kind: HTTPRoute, name: mine",
    );
    const rule = "{ backendRefs: [{ name: web, namespace: shop, port: 80 }, { name: own, port: 80 }] }";
    const waypoint = new TestWaypoint(SHOP + OWN + guard + routeYaml("mine", "web", "{ }") + consumer(rule));
    expect(json(waypoint.routesFor(WEB, "bank")[0])["route"]?.["weightedClusters"]).toMatchObject({
      clusters: [{ name: reaches ? WEB : "UnknownService" }, { name: OWN_CLUSTER }],
    });
    if (!reaches) expect(messageOf(waypoint, "ResolvedRefs")).toMatch(/AuthorizationPolicy shop\/guard guards routes/);
  });

  it("is judged by the policies of the service as all is", () => {
    const policy = policyYaml("p", "action: DENY, rules: [{ to: [{ operation: { paths: [/admin] } }] }]");
    const [before, after] = ["", consumer("{ backendRefs: [{ name: own, port: 80 }] }")].map((more) =>
      new TestWaypoint(SHOP + OWN + policy + more).http(WEB).httpFilters.map((each) => JSON.stringify(each, bigints)),
    );
    expect(after).toEqual(before);
  });

  it("mirrors to its own namespace, and to nobody else's service without a grant", () => {
    const mirror = (name: string, namespace: string) =>
      `{ type: RequestMirror, requestMirror: { backendRef: { name: ${name}, namespace: ${namespace}, port: 80 } } }`;
    const rule = `{ filters: [${mirror("own", "bank")}, ${mirror("web", "shop")}] }`;
    const waypoint = new TestWaypoint(SHOP + OWN + consumer(rule));
    expect(json(waypoint.routesFor(WEB, "bank")[0])["route"]?.["requestMirrorPolicies"]).toMatchObject([
      { cluster: OWN_CLUSTER },
    ]);
    expect(messageOf(waypoint, "ResolvedRefs")).toMatch(/more requests than clients make/);
  });

  it("says when a backend is behind another waypoint, which alone may reach it", () => {
    const own = OWN.replace(
      "name: own, namespace: bank",
      "name: own, namespace: bank, labels: { istio.io/use-waypoint: theirs }",
    );
    const rule = "{ backendRefs: [{ name: own, port: 80 }] }";
    const waypoint = new TestWaypoint(SHOP + own + consumer(rule));
    expect(verdicts(waypoint)).toContain("PartiallyInvalid True UnsupportedValue");
    expect(messageOf(waypoint, "PartiallyInvalid")).toBe(
      "Service bank/own is behind a waypoint of its own and refuses shop/wp: requests to it fail",
    );
    waypoint.apply(OWN);
    expect(verdicts(waypoint)).not.toContain("PartiallyInvalid True UnsupportedValue");
  });

  it("is pods of its own namespace, and no address that somebody wrote down", () => {
    const slice = `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: s, namespace: bank, labels: { kubernetes.io/service-name: own } }\naddressType: IPv4\nports: [{ name: http, port: 8080 }]\nendpoints: [{ addresses: [127.0.0.1] }]\n---\n`;
    const entry = `apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: e, namespace: bank, labels: { app: own, networking.istio.io/tunnel: http } }\nspec: { address: 10.0.0.1, labels: { app: own, networking.istio.io/tunnel: http } }\n---\n`;
    const pod = `apiVersion: v1\nkind: Pod\nmetadata: { name: own-1, namespace: bank, labels: { app: own } }\nspec: { nodeName: node1, containers: [{ name: c }] }\nstatus: { phase: Running, podIP: 10.0.5.5, podIPs: [{ ip: 10.0.5.5 }], conditions: [{ type: Ready, status: "True" }] }\n---\n`;
    const waypoint = new TestWaypoint(
      SHOP + OWN + slice + entry + pod + consumer("{ backendRefs: [{ name: own, port: 80 }] }"),
    );
    const endpoints = waypoint.endpoints(OWN_CLUSTER).endpoints.flatMap(({ lbEndpoints }) => lbEndpoints);
    expect(endpoints.map((each) => JSON.stringify(each, bigints))).toEqual([expect.stringContaining("10.0.5.5")]);
    waypoint.remove(consumer("{ }"));
    expect(() => waypoint.cluster(OWN_CLUSTER)).toThrow();
  });

  const bigints = (_key: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
});

describe("connections of consumers", () => {
  const TCP = serviceYaml("web", "10.96.0.1", { ports: "{ name: tcp, port: 80 }" });
  const tcpRoute = (refs: string, init: RouteInit = {}) =>
    consumer(`{ backendRefs: [${refs}] }`, { kind: "TCPRoute", ...init }).replace("k8s.io/v1\n", "k8s.io/v1alpha2\n");
  const clusters = (waypoint: TestWaypoint, chain: string) =>
    JSON.stringify(waypoint.chain(chain).filters.at(-1)?.configType.value, (_key, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : typeof value === "bigint" ? 0 : value,
    );

  it("have a chain of their own, chosen by the proven peer", () => {
    const waypoint = new TestWaypoint(SHOP + TCP + OWN + tcpRoute("{ name: own, port: 80 }"));
    const own = "inbound-vip|80|tcp/~bank|web.shop.svc.cluster.local";
    expect(clusters(waypoint, own)).toContain(OWN_CLUSTER);
    expect(clusters(waypoint, vip("web", 80, "tcp"))).toContain(vip("web", 80, "tcp"));
    const matcher = JSON.stringify(waypoint.listener("main_internal").filterChainMatcher, (_key, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : typeof value === "bigint" ? 0 : value,
    );
    expect(matcher).toContain("spiffe://cluster.local/ns/bank/");
    expect(matcher).toContain("io.istio.peer_principal");
    expect(verdicts(waypoint, "TCPRoute/bank/r")).toContain("Accepted True Accepted");
  });

  it("may go where requests may, and nowhere else", () => {
    const waypoint = new TestWaypoint(
      SHOP + TCP + tcpRoute("{ name: web, namespace: shop, port: 80 }, { name: next, namespace: shop, port: 80 }"),
    );
    const config = clusters(waypoint, "inbound-vip|80|tcp/~bank|web.shop.svc.cluster.local");
    expect(config).toContain(vip("web", 80, "tcp"));
    expect(config).toContain("UnknownService");
    expect(config).not.toContain("|next.");
    expect(verdicts(waypoint, "TCPRoute/bank/r")).toContain("ResolvedRefs False RefNotPermitted");
  });
});

describe("how much a namespace may add", () => {
  const route = (namespace: string, name: string, bytes: number, year = 2020) => ({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name, namespace, creationTimestamp: `${year}` },
    spec: { rules: [{ name: "x".repeat(bytes) }] },
  });
  const namesIn = ({ groups }: ReturnType<typeof admitted>) =>
    groups.map(({ namespace, routes }) => [namespace, routes.map(({ metadata }) => metadata.name)]);

  it("is bounded: older routes hold, and nobody is pushed out by another namespace", () => {
    const half = MAX_NAMESPACE_BYTES / 2;
    const routes = [
      route("bank", "young", half, 2022),
      route("bank", "old", half - 4096, 2020),
      route("bank", "small", 10, 2023),
      route("other", "its", half, 2024),
    ];
    const { beyond, ...rest } = admitted(routes);
    expect(namesIn({ beyond, ...rest })).toEqual([
      ["bank", ["old", "young", "small"]],
      ["other", ["its"]],
    ]);
    const crowded = admitted([...routes, route("bank", "older", half, 2019)]);
    expect(namesIn(crowded)[0]).toEqual(["bank", ["older", "old", "small"]]);
    expect([...crowded.beyond]).toEqual([["HTTPRoute/bank/young", "namespace"]]);
  });

  it("is bounded for all of them together", () => {
    const count = MAX_SERVICE_BYTES / MAX_NAMESPACE_BYTES + 1;
    const all = Array.from({ length: count }, (_, index) =>
      route(`n${index}`, "r", MAX_NAMESPACE_BYTES - 2048, 2000 + index),
    );
    const { groups, beyond } = admitted(all);
    expect(groups).toHaveLength(count - 1);
    expect([...beyond]).toEqual([[`HTTPRoute/n${count - 1}/r`, "service"]]);
  });

  it("counts what each match of a rule becomes", () => {
    const matches = Array.from({ length: 128 }, (_, index) => ({ path: { value: `/${index}` } }));
    const many = {
      ...route("bank", "r", 0),
      spec: { rules: [{ matches, name: "x".repeat(MAX_NAMESPACE_BYTES / 100) }] },
    };
    expect(admitted([many]).beyond.size).toBe(1);
  });

  it("keeps the configuration small, however many routes a namespace makes", () => {
    const waypoint = new TestWaypoint(SHOP + consumer("{ }", { namespace: "modest", name: "r" }));
    const flood = Array.from({ length: 1_000 }, (_, index) => consumer("{ }", { name: `r${index}` }));
    waypoint.apply(flood.join(""));
    expect(waypoint.routesFor(WEB, "bank").length).toBeLessThanOrEqual(256);
    expect(names(waypoint.routesFor(WEB, "modest"))).toEqual(["modest.r.0"]);
    const table = waypoint.model.resources().find((each) => each.kind === "envoy" && each.name === WEB);
    expect(table?.kind === "envoy" && table.value.length).toBeLessThan(MAX_NAMESPACE_BYTES);
    const refused = flood.filter((_, index) =>
      verdicts(waypoint, `HTTPRoute/bank/r${index}`).includes("Accepted False LimitExceeded"),
    );
    expect(refused.length).toBeGreaterThan(700);
  });

  it("is said in the status of what is left out", () => {
    const big = consumer(`{ name: ${"x".repeat(MAX_NAMESPACE_BYTES)} }`);
    const waypoint = new TestWaypoint(SHOP + big);
    expect(names(waypoint.routesFor(WEB, "bank"))).toEqual(["default"]);
    expect(verdicts(waypoint)).toContain("Accepted False LimitExceeded");
    expect(messageOf(waypoint, "Accepted")).toMatch(/of namespace bank for Service shop\/web are larger than 256 KiB/);
  });
});
