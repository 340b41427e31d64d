import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { pod } from "../test-objects.ts";
import { isPattern, isSubstitution } from "./pattern.ts";
import { protocolOf } from "./service-front.ts";
import {
  enrolledPod,
  gatewayYaml,
  namespaceYaml,
  policyYaml,
  SHOP,
  serviceYaml,
  TestWaypoint,
  vip,
} from "./test-waypoint.ts";
import { milliseconds } from "./time.ts";

describe("a Gateway", () => {
  const verdicts = (yaml: string) =>
    new TestWaypoint(yaml).conditions
      .get("Gateway/shop/wp" as ObjectKey)
      ?.map(({ type, status, reason }) => `${type} ${status} ${reason}`);

  it("is accepted and programmed once it has an address", () => {
    expect(verdicts(gatewayYaml())).toEqual(["Accepted True Accepted", "Programmed True Programmed"]);
    expect(verdicts(gatewayYaml().replace(/status:.*/, ""))).toContain("Programmed False AddressNotAssigned");
  });

  it("of another listener is not accepted", () => {
    expect(verdicts(gatewayYaml().replace("HBONE", "HTTP"))).toContain("Accepted False ListenersNotValid");
  });

  it("takes its configuration away with it", () => {
    const waypoint = new TestWaypoint(SHOP);
    waypoint.remove(gatewayYaml());
    expect(waypoint.model.resources().filter(({ kind }) => kind === "envoy")).toEqual([]);
  });
});

describe("case 42: pods of services behind different waypoints", () => {
  const second = gatewayYaml().replaceAll("name: wp", "name: other");
  const shared = serviceYaml("both", "10.96.0.3", { meta: ", labels: { istio.io/use-waypoint: other }" }).replace(
    "{ app: both }",
    "{ app: web }",
  );

  it("let either in, on its own ports", () => {
    const waypoint = new TestWaypoint(SHOP + second + shared.replace("targetPort: 8080", "targetPort: 9090"));
    const [key = ""] = waypoint.pod("web-1")?.authorizationPolicies ?? [];
    expect(key).toBe("shop/ambit-waypoint-required-both+web-on-web-1");
    expect(waypoint.policy(key)?.rules).toEqual([
      [[{ destinationPorts: [8080], notPrincipals: [{ kind: "exact", value: "cluster.local/ns/shop/sa/wp" }] }]],
      [[{ destinationPorts: [9090], notPrincipals: [{ kind: "exact", value: "cluster.local/ns/shop/sa/other" }] }]],
    ]);
  });

  it("let both in on a port of both", () => {
    const waypoint = new TestWaypoint(SHOP + second + shared);
    const [key = ""] = waypoint.pod("web-1")?.authorizationPolicies ?? [];
    expect(waypoint.policy(key)?.rules[0]?.[0]?.[0]?.notPrincipals).toHaveLength(2);
  });

  it("close named ports by their numbers", () => {
    const named = serviceYaml("web", "10.96.0.1", { ports: "{ name: http, port: 80, targetPort: web }" });
    const more = pod("web-2", { ip: "10.0.0.5", labels: "app: web" }).replace(
      "containers: [{ name: c }]",
      "containers: [{ name: c, ports: [{ name: web, containerPort: 8181 }] }]",
    );
    const waypoint = new TestWaypoint(SHOP + named + more);
    expect(waypoint.policy("shop/ambit-waypoint-required-web")?.rules[0]?.[0]?.[0]?.destinationPorts).toEqual([8181]);
  });

  it("stay open for a headless service that only inherits a waypoint it cannot have", () => {
    const headless = serviceYaml("peers", "None").replace("{ app: peers }", "{ app: db }");
    const waypoint = new TestWaypoint(
      namespaceYaml() + gatewayYaml() + headless + enrolledPod("db-1", "10.0.0.7", "db"),
    );
    expect(waypoint.pod("db-1")?.authorizationPolicies).toEqual([]);
  });
});

describe("workloads that ask for a waypoint themselves", () => {
  it("are reached through it by their own address, under the waypoint's own policies", () => {
    const all = gatewayYaml(", labels: { istio.io/waypoint-for: all }");
    const deny = policyYaml("d", "action: DENY, rules: [{}]").replace(
      /\{ group: "", kind: Service, name: web \}/,
      "{ group: gateway.networking.k8s.io, kind: Gateway, name: wp }",
    );
    const waypoint = new TestWaypoint(SHOP + all + deny);
    const listener = JSON.stringify(waypoint.listener("main_internal").filterChainMatcher, (_, value) =>
      value instanceof Uint8Array
        ? Buffer.from(value).toString("latin1")
        : typeof value === "bigint"
          ? Number(value)
          : value,
    );
    expect(listener).toContain("10.0.0.1");
    expect(waypoint.chain("direct-http").filters.map(({ name }) => name)).toEqual([
      "connect_authority",
      "envoy.filters.network.http_connection_manager",
    ]);
    expect(waypoint.chain("direct-tcp").filters.map(({ name }) => name)).toEqual([
      "connect_authority",
      "envoy.filters.network.rbac",
      "envoy.filters.network.tcp_proxy",
    ]);
  });
});

describe("the protocol of a port", () => {
  it.each([
    ["http", "", "http"],
    ["http-admin", "", "http"],
    ["grpc-web-x", "", "grpc-web"],
    ["mysql", "", "tcp"],
    ["https", "", "tls"],
    ["web", "", "undeclared"],
    ["", "", "undeclared"],
    ["tcp", "kubernetes.io/h2c", "http2"],
    ["tcp", "kubernetes.io/ws", "http"],
    ["http", "something.example/else", "tcp"],
  ])("%j with appProtocol %j is %s", (name, appProtocol, expected) => {
    expect(protocolOf(name, appProtocol)).toBe(expected);
  });

  it("is looked for on ports that do not say it, and on all of them where workloads are asked for themselves", () => {
    const ports = "{ name: what, port: 80 }, { name: http, port: 81 }, { name: tcp, port: 82 }";
    const services = SHOP + serviceYaml("web", "10.96.0.1", { ports });
    const disabledOn = (yaml: string) => {
      const { listenerFilters } = new TestWaypoint(yaml).listener("main_internal");
      return listenerFilters.find(({ name }) => name.endsWith("http_inspector"))?.filterDisabled?.rule;
    };
    expect(disabledOn(services)).toMatchObject({
      case: "orMatch",
      value: {
        rules: [81, 82].map((start) => ({ rule: { case: "destinationPortRange", value: { start, end: start + 1 } } })),
      },
    });
    expect(disabledOn(SHOP)).toMatchObject({ case: "destinationPortRange", value: { start: 80, end: 81 } });
    expect(disabledOn(services + gatewayYaml(", labels: { istio.io/waypoint-for: all }"))).toBeUndefined();
  });

  it("gives an undeclared port both chains, and HTTP and TCP ports one", () => {
    const ports = "{ name: what, port: 80 }, { name: http, port: 81 }, { name: tcp, port: 82 }";
    const chains = new TestWaypoint(SHOP + serviceYaml("web", "10.96.0.1", { ports }))
      .listener("main_internal")
      .filterChains.map(({ name }) => name);
    expect(chains.filter((name) => name.includes("|web."))).toEqual([
      vip("web", 80),
      vip("web", 80, "tcp"),
      vip("web", 81),
      vip("web", 82, "tcp"),
    ]);
  });
});

describe("texts that become configuration", () => {
  it.each([
    ["1h30m", 5_400_000],
    ["1.5s", 1_500],
    ["25ms", 25],
    ["0s", 0],
    ["", undefined],
    ["5", undefined],
    ["1s ", undefined],
    ["-1s", undefined],
    ["9999999999h", undefined],
  ])("duration %j", (text, expected) => {
    expect(milliseconds(text)).toBe(expected);
  });

  it.each([
    ["a+", true],
    ["(", false],
    ["(?=a)", false],
    ["\\1", false],
    ["(a{1000}){1000}", false],
    ["", false],
  ])("case 35: pattern %j", (text, expected) => {
    expect(isPattern(text)).toBe(expected);
  });

  it.each([
    ["(a)", "\\1", true],
    ["(a)", "\\2", false],
    ["a", "\\\\", true],
    ["a", "\\x", false],
    ["a", "x\\", false],
  ])("substitution of %j by %j", (pattern, substitution, expected) => {
    expect(isSubstitution(pattern, substitution)).toBe(expected);
  });
});
