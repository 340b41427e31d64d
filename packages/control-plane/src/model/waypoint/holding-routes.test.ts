/** Kinds of route on one port: which holds, and what the others are told. Spec: GEP-1294, "Route types". */
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { routeYaml, SHOP, serviceYaml, TestWaypoint, vip } from "./test-waypoint.ts";

const BACKENDS = "{ backendRefs: [{ name: next, port: 80 }] }";
const route = (kind: string, name: string, ref = ""): string =>
  routeYaml(name, "web", BACKENDS)
    .replace("kind: HTTPRoute", `kind: ${kind}`)
    .replace("name: web }", `name: web${ref} }`);
const web = (ports: string): string => serviceYaml("web", "10.96.0.1", { ports });
const accepted = (waypoint: TestWaypoint, key: string) =>
  waypoint.statuses.get(key as ObjectKey)?.parents?.[0]?.conditions.find(({ type }) => type === "Accepted");
const tcpTargets = (waypoint: TestWaypoint): string => {
  const config = waypoint.chain(vip("web", 80, "tcp")).filters.at(-1)?.configType;
  return Buffer.from(config?.case === "typedConfig" ? config.value.value : []).toString("latin1");
};

const HTTP = "{ name: http, port: 80 }";
const TCP = "{ name: tcp, port: 80 }";
const UNDECLARED = "{ name: x, port: 80 }";

describe("case 56: a route that another kind puts aside", () => {
  it.each([
    ["HTTPRoute", "GRPCRoute", HTTP],
    ["HTTPRoute", "GRPCRoute", UNDECLARED],
    ["TCPRoute", "HTTPRoute", UNDECLARED],
    ["TCPRoute", "GRPCRoute", UNDECLARED],
    ["TLSRoute", "HTTPRoute", UNDECLARED],
    ["TCPRoute", "TLSRoute", TCP],
  ])("%s by %s on %s: says by whom, and comes back when that one goes", (loser, winner, ports) => {
    const waypoint = new TestWaypoint(SHOP + web(ports) + route(loser, "loser") + route(winner, "winner"));
    expect(accepted(waypoint, `${loser}/shop/loser`)).toMatchObject({
      status: "False",
      reason: "Conflicted",
      message: `port 80: ${winner} shop/winner holds there instead`,
    });
    expect(accepted(waypoint, `${winner}/shop/winner`)).toMatchObject({ status: "True", reason: "Accepted" });
    waypoint.remove(route(winner, "winner"));
    expect(accepted(waypoint, `${loser}/shop/loser`)).toMatchObject({ status: "True", message: "" });
  });

  it("has no effect: what is no request on a port with an HTTPRoute goes to the service itself", () => {
    const waypoint = new TestWaypoint(SHOP + web(UNDECLARED) + route("TCPRoute", "t"));
    expect(tcpTargets(waypoint)).toContain(vip("next", 80, "tcp"));
    waypoint.apply(route("HTTPRoute", "h"));
    expect(tcpTargets(waypoint)).not.toContain(vip("next", 80, "tcp"));
    expect(waypoint.routes(vip("web")).map(({ name }) => name)).toEqual(["shop.h.0"]);
  });

  it("on some of its ports says on which, and holds on the others", () => {
    const ports = `${HTTP}, { name: http-alt, port: 8080 }`;
    const waypoint = new TestWaypoint(
      SHOP + web(ports) + route("HTTPRoute", "h") + route("GRPCRoute", "g", ", port: 80"),
    );
    expect(accepted(waypoint, "HTTPRoute/shop/h")).toMatchObject({
      status: "True",
      message: "port 80: GRPCRoute shop/g holds there instead",
    });
    expect(waypoint.routes(vip("web", 8080))[0]?.name).toBe("shop.h.0");
  });

  it.each([
    ["HTTPRoute", TCP, /port 80 is of protocol tcp, where no requests are seen/],
    ["GRPCRoute", "{ name: tls, port: 80 }", /port 80 is of protocol tls/],
    ["TCPRoute", HTTP, /port 80 is of protocol http, which TCPRoutes do not route/],
  ])("%s on a port of another protocol holds nowhere, and says why", (kind, ports, message) => {
    const waypoint = new TestWaypoint(SHOP + web(ports) + route(kind, "r"));
    expect(accepted(waypoint, `${kind}/shop/r`)).toMatchObject({ status: "False", reason: "NoMatchingParent" });
    expect(accepted(waypoint, `${kind}/shop/r`)?.message).toMatch(message);
  });

  it("is no weaker for one that cannot hold there itself", () => {
    const waypoint = new TestWaypoint(SHOP + web(TCP) + route("HTTPRoute", "h") + route("TCPRoute", "t"));
    expect(accepted(waypoint, "TCPRoute/shop/t")).toMatchObject({ status: "True" });
    expect(tcpTargets(waypoint)).toContain(vip("next", 80, "tcp"));
  });
});
