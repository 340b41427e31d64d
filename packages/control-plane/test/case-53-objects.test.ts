/** Objects that are too much, that reach for what is another namespace's, or that contradict each other. */
import { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ADDRESS_TYPE_URL } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "@jest/globals";
import { routeYaml, SHOP, vip } from "../src/model/waypoint/test-waypoint.ts";
import { CLUSTER_TYPE_URL } from "../src/push/index.ts";
import type { DeltaClient } from "./delta-client.ts";
import { RunningControlPlane, subscribeAsWaypoint, waypointNode } from "./running-control-plane.ts";

let mesh: RunningControlPlane;
afterEach(() => mesh?.stop());

const pod = (name: string, ip: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec: { nodeName: node1, serviceAccountName: ${name}, containers: [{ name: c }] }
status: { phase: Running, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: "True" }] }
---
`;
const held = (name: string): string => `Kubernetes//Pod/shop/${name}`;

describe("objects that are too much", () => {
  const DEPTH = 100_000;
  const bomb = (): string => {
    const levels = Array.from(
      { length: 30 },
      (_, at) => `a${at}: &a${at} [${at === 0 ? "x" : `*a${at - 1}, *a${at - 1}`}]`,
    );
    return `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b, namespace: shop }\n${levels.join("\n")}\n`;
  };
  const principals = (count: number): string =>
    Array.from({ length: count }, (_, at) => `"cluster.local/ns/shop/sa/account-${at}"`).join(",");
  const policyOf = (count: number): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: big, namespace: shop }\nspec: { action: DENY, rules: [{ from: [{ source: { principals: [${principals(count)}] } }] }] }\n`;

  it.each<[string, () => string | Buffer]>([
    ["10^5 brackets", () => `kind: ${"[".repeat(DEPTH)}`],
    ["10^5 braces of JSON", () => `{"a":`.repeat(DEPTH)],
    ["10^5 braces of JSON that are closed", () => `${`{"a":`.repeat(DEPTH)}1${"}".repeat(DEPTH)}`],
    ["10^5 dashes", () => "- ".repeat(DEPTH)],
    ["an alias bomb", bomb],
    ["an alias of itself", () => "kind: &a { spec: *a }\n"],
    ["a merge bomb", () => `a: &a { k: v }\nb: { <<: [${"*a, ".repeat(50_000)}*a] }\n`],
    ["100 MB of blanks", () => Buffer.alloc(100 << 20, " ")],
    [
      "100 MB of one object",
      () =>
        Buffer.concat([Buffer.from("kind: ConfigMap\ndata: { a: "), Buffer.alloc(100 << 20, "x"), Buffer.from(" }\n")]),
    ],
    ["10 MB of NUL", () => Buffer.alloc(10 << 20)],
    ["10^5 documents", () => "---\n".repeat(DEPTH)],
  ])(
    "case 53: %s do not keep the rest from being served",
    async (_what, text) => {
      mesh = await RunningControlPlane.start({ "good.yaml": pod("web", "10.0.0.1") });
      const client = mesh.connect();
      client.subscribe();
      await eventually("the good one is there", () => client.held.has(held("web")));
      const before = process.memoryUsage().rss;
      await mesh.write("bad.yaml", text());
      await mesh.write("later.yaml", pod("cart", "10.0.0.2"));
      await eventually("the later one is there", () => client.held.has(held("cart")));
      expect(client.held.has(held("web"))).toBe(true);
      expect(process.memoryUsage().rss - before).toBeLessThan(1024 << 20);
    },
    60_000,
  );

  it("case 53: what cannot be read is said, with its file", async () => {
    mesh = await RunningControlPlane.start({
      "bomb.yaml": bomb(),
      "deep.yaml": `kind: ${"[".repeat(DEPTH)}`,
      "huge.yaml": Buffer.alloc(9 << 20, "x"),
    });
    await eventually(
      "all are told",
      async () => new Set((await mesh.told()).problems.map(({ file }) => file)).size === 3,
    );
    const reasons = (await mesh.told()).problems.map(({ reason }) => reason.length);
    expect(Math.max(...reasons)).toBeLessThan(1_000);
  });

  it("case 53: an object of more than 1 MB that is in order reaches its proxies", async () => {
    const text = policyOf(30_000);
    expect(text.length).toBeGreaterThan(1 << 20);
    mesh = await RunningControlPlane.start({ "good.yaml": pod("web", "10.0.0.1"), "policy.yaml": text });
    const client = mesh.connect();
    client.subscribe();
    await eventually("both are there", () => client.held.has("shop/big") && client.held.has(held("web")));
    expect(JSON.stringify(client.held.get("shop/big"))).toContain("account-29999");
  });

  it("case 53: an object that becomes too much keeps its last form", async () => {
    mesh = await RunningControlPlane.start({ "policy.yaml": policyOf(1) });
    const client = mesh.connect();
    client.subscribe();
    await eventually("it is there", () => client.held.has("shop/big"));
    const version = client.versions.get("shop/big");
    await mesh.write("policy.yaml", `${policyOf(1)}data: ${"[".repeat(DEPTH)}`);
    await eventually("it is told", async () => (await mesh.told()).problems.length > 0);
    await mesh.write("pod.yaml", pod("web", "10.0.0.1"));
    await eventually("the next is there", () => client.held.has(held("web")));
    expect(client.versions.get("shop/big")).toBe(version);
  });
});

/** The waypoint of shop, with all it is sent, by name. */
async function waypoint(): Promise<DeltaClient> {
  const client = mesh.connect("shop-wp-1-token");
  subscribeAsWaypoint(client, waypointNode("shop", "wp-1"), [vip("web"), vip("next")]);
  await eventually(
    "it has all",
    () => client.held.has("main_internal") && new Set(client.responses.map(({ typeUrl }) => typeUrl)).size === 4,
  );
  return client;
}

/** Everything it was ever sent. */
const textOf = (client: DeltaClient): string =>
  client.responses
    .flatMap(({ resources }) => resources)
    .map(({ resource }) => Buffer.from(resource?.value ?? []).toString("latin1"))
    .join("\n");

describe("objects that reach for another namespace", () => {
  const HOST = "web.shop.svc.cluster.local";
  const FOREIGN: Readonly<Record<string, string>> = {
    VirtualService: `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: steal, namespace: bank }\nspec: { hosts: [${HOST}], http: [{ route: [{ destination: { host: trap.bank.svc.cluster.local } }] }] }\n---\n`,
    DestinationRule: `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: steal, namespace: bank }\nspec: { host: ${HOST}, trafficPolicy: { connectionPool: { http: { http1MaxPendingRequests: 7777 } } } }\n---\n`,
    ServiceEntry: `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { name: steal, namespace: bank, creationTimestamp: "2000-01-01T00:00:00Z" }\nspec: { hosts: [${HOST}], addresses: [10.96.0.1], ports: [{ number: 80, name: http, protocol: HTTP }], resolution: STATIC, endpoints: [{ address: 10.66.66.66 }] }\n---\n`,
    AuthorizationPolicy: `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: steal, namespace: bank }\nspec: { targetRefs: [{ group: "", kind: Service, name: web }], action: ALLOW, rules: [{}] }\n---\n`,
    RequestAuthentication: `apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: steal, namespace: bank }\nspec: { targetRefs: [{ group: "", kind: Service, name: web }], jwtRules: [{ issuer: evil, jwks: '{"keys":[]}' }] }\n---\n`,
  };
  const TRAP =
    "apiVersion: v1\nkind: Service\nmetadata: { name: trap, namespace: bank }\nspec: { clusterIP: 10.96.6.6, selector: { app: trap }, ports: [{ name: http, port: 80 }] }\n---\n";

  it.each(Object.keys(FOREIGN))("case 55: a %s of another namespace changes nothing of a service", async (kind) => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP, "trap.yaml": TRAP }, ["shop/wp-1"]);
    const client = await waypoint();
    const node = mesh.connect();
    node.subscribe();
    const service = `shop/${HOST}`;
    await eventually("the node has the service", () => node.held.has(service));
    const before = [new Map(client.versions), node.versions.get(service)];
    await mesh.write("foreign.yaml", FOREIGN[kind] ?? "");
    await mesh.write("later.yaml", pod("later", "10.0.0.99"));
    await eventually("it was read", () => node.held.has(held("later")));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect([new Map(client.versions), node.versions.get(service)]).toEqual(before);
    expect(textOf(client)).not.toMatch(/trap\.bank|7777|10\.66\.66\.66|steal/);
  });

  it("case 55: an HTTPRoute of another namespace is for clients of that namespace, and changes nothing else", async () => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP, "trap.yaml": TRAP }, ["shop/wp-1"]);
    const client = await waypoint();
    const before = new Map(client.versions);
    const route = routeYaml("own", "web", "{ backendRefs: [{ name: trap, port: 80 }] }")
      .replace("namespace: shop", "namespace: bank")
      .replace("name: web }", "name: web, namespace: shop }");
    await mesh.write("foreign.yaml", route);
    await eventually("it is there", () => textOf(client).includes("spiffe://cluster.local/ns/bank/"));
    const changed = [...client.versions].filter(([name, version]) => before.get(name) !== version);
    const trap = "outbound|80|~pods|trap.bank.svc.cluster.local";
    expect([vip("web"), trap]).toEqual(expect.arrayContaining(changed.map(([name]) => name)));
  });

  it("case 55: what has no effect says so on itself", async () => {
    mesh = await RunningControlPlane.start({
      "shop.yaml": SHOP,
      "trap.yaml": TRAP,
      "foreign.yaml": FOREIGN["VirtualService"] ?? "",
    });
    const judged = async () => (await mesh.told()).conditions["VirtualService/bank/steal"];
    expect(await eventually("it is judged", judged)).toMatchObject([{ status: "False", reason: "NotAllowed" }]);
  });

  it("case 55: a route sends nothing to another namespace without its leave", async () => {
    const route = routeYaml("out", "web", "{ backendRefs: [{ name: trap, namespace: bank, port: 80 }] }");
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP, "trap.yaml": TRAP, "route.yaml": route }, [
      "shop/wp-1",
    ]);
    const client = await waypoint();
    expect(textOf(client)).not.toMatch(/trap\.bank/);
    await eventually("it says so", async () => (await mesh.admin("/debug/status")).includes("RefNotPermitted"));
    const grant = `apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: { name: g, namespace: bank }\nspec: { from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop }], to: [{ group: "", kind: Service }] }\n`;
    await mesh.write("grant.yaml", grant);
    await eventually("with leave it does", () => textOf(client).includes("trap.bank"));
  });
});

describe("objects that contradict each other", () => {
  const OLD = ', creationTimestamp: "2020-01-01T00:00:00Z"';
  const NEW = ', creationTimestamp: "2024-01-01T00:00:00Z"';
  const rule = (name: string, age: string, pending: number): string =>
    `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: ${name}, namespace: shop${age} }\nspec: { host: web, trafficPolicy: { connectionPool: { tcp: { maxConnections: ${pending} } } } }\n---\n`;
  const route = (name: string, age: string, header: string): string =>
    routeYaml(
      name,
      "web",
      `{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-by, value: ${header} }] } }], backendRefs: [{ name: web, port: 80 }] }`,
      age,
    );

  it.each([
    ["in order of their names", "a", "b"],
    ["against it", "b", "a"],
  ])("case 56: of two DestinationRules the older holds, %s, and the younger says so", async (_what, older, younger) => {
    mesh = await RunningControlPlane.start(
      { "shop.yaml": SHOP, "a.yaml": rule(younger, NEW, 5_555), "b.yaml": rule(older, OLD, 4_444) },
      ["shop/wp-1"],
    );
    const conditions = await eventually("both are judged", async () => {
      const told = (await mesh.told()).conditions;
      return told[`DestinationRule/shop/${younger}`] && told[`DestinationRule/shop/${older}`] ? told : undefined;
    });
    expect(conditions[`DestinationRule/shop/${younger}`]).toMatchObject([{ status: "False", reason: "Conflicted" }]);
    expect(conditions[`DestinationRule/shop/${older}`]).not.toContainEqual(
      expect.objectContaining({ reason: "Conflicted" }),
    );
    const client = await waypoint();
    const clusters = client.responses.filter(({ typeUrl }) => typeUrl === CLUSTER_TYPE_URL);
    const [web] = clusters.flatMap(({ resources }) => resources.filter(({ name }) => name === vip("web")));
    const cluster = fromBinary(ClusterSchema, web?.resource?.value ?? new Uint8Array());
    expect(cluster.circuitBreakers?.thresholds.map(({ maxConnections }) => maxConnections)).toEqual([4_444]);
  });

  it.each([
    ["in order of their names", "a", "b"],
    ["against it", "b", "a"],
  ])("case 56: of two HTTPRoutes for the same requests the older holds, %s", async (_what, older, younger) => {
    mesh = await RunningControlPlane.start(
      { "shop.yaml": SHOP, "a.yaml": route(younger, NEW, "younger"), "b.yaml": route(older, OLD, "older") },
      ["shop/wp-1"],
    );
    const client = await waypoint();
    const first = async (): Promise<string | undefined> => /older|younger/.exec(textOf(client))?.[0];
    await eventually("its routes are there", async () => (await first()) !== undefined);
    expect(await first()).toBe("older");
  });

  it("case 56: of two ServiceEntries for one host in a namespace the older holds, and the younger says so", async () => {
    const entry = (name: string, age: string, ip: string): string =>
      `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { name: ${name}, namespace: shop${age} }\nspec: { hosts: [api.example.com], addresses: [${ip}], ports: [{ number: 80, name: http, protocol: HTTP }], resolution: STATIC, endpoints: [{ address: ${ip} }] }\n---\n`;
    mesh = await RunningControlPlane.start({
      "se.yaml": entry("young", NEW, "10.5.0.2") + entry("zold", OLD, "10.5.0.1"),
    });
    const client = mesh.connect();
    client.subscribe();
    await eventually("the service is there", () => client.held.has("shop/api.example.com"));
    const service = JSON.stringify(client.held.get("shop/api.example.com"));
    expect(service).toContain("10.5.0.1");
    expect(service).not.toContain("10.5.0.2");
    const conditions = await eventually(
      "it is judged",
      async () => (await mesh.told()).conditions["ServiceEntry/shop/young"],
    );
    expect(conditions).toContainEqual(expect.objectContaining({ status: "False" }));
  });

  it.each(["shop", "istio-system"])(
    "case 56: of two PeerAuthentications for all of %s the older holds, and the younger does not say that it is enforced",
    async (namespace) => {
      const strictness = (name: string, age: string, mode: string): string =>
        `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: ${name}, namespace: ${namespace}${age} }\nspec: { mtls: { mode: ${mode} } }\n---\n`;
      const both = strictness("a-young", NEW, "PERMISSIVE") + strictness("old", OLD, "STRICT");
      mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1"), "pa.yaml": both });
      const client = mesh.connect();
      client.subscribe();
      await eventually("it is strict", () => JSON.stringify(client.held.get(held("web")))?.includes("static_strict"));
      const conditions = async () => (await mesh.told()).conditions;
      await eventually("the older is in force", async () => {
        expect((await conditions())[`PeerAuthentication/${namespace}/old`]).toMatchObject([{ status: "True" }]);
        return true;
      });
      expect((await conditions())[`PeerAuthentication/${namespace}/a-young`]).toMatchObject([
        { status: "False", reason: "Conflicted" },
      ]);
    },
  );

  it("case 56: of a VirtualService and an HTTPRoute for one service the HTTPRoute holds, whatever their age", async () => {
    const virtual = `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v, namespace: shop${OLD} }\nspec: { hosts: [web], http: [{ headers: { request: { set: { x-by: virtual } } }, route: [{ destination: { host: web } }] }] }\n---\n`;
    mesh = await RunningControlPlane.start(
      { "shop.yaml": SHOP, "v.yaml": virtual, "r.yaml": route("r", NEW, "route") },
      ["shop/wp-1"],
    );
    const client = await waypoint();
    await eventually("its routes are there", () => textOf(client).includes("x-by"));
    const by = [...textOf(client).matchAll(/x-by[^a-z]*(route|virtual)/g)].map(([, who]) => who);
    expect(by[0]).toBe("route");
  });

  it("case 56: the younger takes over when the older goes, and gives way when it comes back", async () => {
    mesh = await RunningControlPlane.start({
      "shop.yaml": SHOP,
      "old.yaml": rule("old", OLD, 1),
      "new.yaml": rule("new", NEW, 2),
    });
    const reasons = async () =>
      (await mesh.told()).conditions["DestinationRule/shop/new"]?.map(({ reason }) => reason) ?? [];
    await eventually("the younger gave way", async () => (await reasons()).includes("Conflicted"));
    await mesh.write("old.yaml", "");
    await eventually("it took over", async () => !(await reasons()).includes("Conflicted"));
    await mesh.write("old.yaml", rule("old", OLD, 1));
    await eventually("it gave way again", async () => (await reasons()).includes("Conflicted"));
  });

  it("case 56: nothing of it depends on the order in which files are read", async () => {
    const results: string[] = [];
    for (const names of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const files = {
        [`${names[0]}.yaml`]: route("x", OLD, "older"),
        [`${names[1]}.yaml`]: route("y", NEW, "younger"),
      };
      const running = await RunningControlPlane.start({ "shop.yaml": SHOP, ...files }, ["shop/wp-1"]);
      mesh = running;
      const client = await waypoint();
      await eventually("its routes are there", () => textOf(client).includes("younger"));
      results.push(JSON.stringify([...client.versions].sort()));
      expect(client.responses.some(({ typeUrl }) => typeUrl === ADDRESS_TYPE_URL)).toBe(false);
      await running.stop();
    }
    expect(results[0]).toBe(results[1]);
  });
});
