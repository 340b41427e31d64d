import type { GatewayAddress, Service, Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import { decideOutbound, type OutboundDecision, type OutboundInput } from "./outbound-decision.ts";
import { address, buildMesh, buildService, buildWorkload, serving } from "./test-mesh-builder.ts";

const source = buildWorkload("web", "10.0.0.1");
const atAddress = (ip: string, port = 15008): GatewayAddress => ({
  destination: { kind: "address", network: "", address: address(ip, 1).ip },
  hboneMtlsPort: port,
});
const atHost = (name: string): GatewayAddress => ({
  destination: { kind: "hostname", namespace: "shop", hostname: `${name}.shop.svc.cluster.local` },
  hboneMtlsPort: 15008,
});

interface Row {
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly input?: Partial<OutboundInput>;
}

function decide(to: string, port: number, { workloads = [], services = [], input = {} }: Row = {}): OutboundDecision {
  return decideOutbound(buildMesh([source, ...workloads], services), {
    network: "",
    source,
    downstreamIp: address("10.0.0.1", 1).ip,
    destination: address(to, port),
    resolved: new Map(),
    random: () => 0,
    loadOf: () => 0,
    ...input,
  });
}

/** The decision in one line: kind, then where to and as what. */
function story(decision: OutboundDecision): string {
  if (decision.kind === "refuse") return `refuse ${decision.code}`;
  if (decision.kind === "needs-lookup") return `lookup ${decision.hostname}`;
  if (decision.kind === "passthrough") return `passthrough ${decision.target.ip}:${decision.target.port}`;
  const hops = decision.hops.map((hop) =>
    hop.kind === "hbone"
      ? `hbone ${hop.nextHop.ip}:${hop.nextHop.port} as ${hop.authority}`
      : `plaintext ${hop.nextHop.ip}:${hop.nextHop.port}`,
  );
  return hops.join(", then ");
}

const cart = buildWorkload("cart", "10.0.0.2", { node: "node2" });
const waypoint = buildWorkload("waypoint", "10.0.0.9");
const cartService = buildService("cart", "10.96.0.1");

describe("decideOutbound", () => {
  it.each<[string, string, number, Row, string]>([
    ["an unknown address passes through", "192.0.2.1", 443, {}, "passthrough 192.0.2.1:443"],
    [
      "a workload that speaks HBONE on another node",
      "10.0.0.2",
      80,
      { workloads: [cart] },
      "hbone 10.0.0.2:15008 as 10.0.0.2:80",
    ],
    [
      "one on our own node goes the same way",
      "10.0.0.2",
      80,
      { workloads: [{ ...cart, node: "node1" }] },
      "hbone 10.0.0.2:15008 as 10.0.0.2:80",
    ],
    [
      "a workload without HBONE",
      "10.0.0.2",
      80,
      { workloads: [{ ...cart, protocol: "TCP" }] },
      "plaintext 10.0.0.2:80",
    ],
    [
      "an unhealthy workload called directly",
      "10.0.0.2",
      80,
      { workloads: [{ ...cart, status: "Unhealthy" }] },
      "hbone 10.0.0.2:15008 as 10.0.0.2:80",
    ],
    [
      "a host-network workload is unknown by address",
      "10.0.0.2",
      80,
      { workloads: [{ ...cart, networkMode: "HostNetwork" }] },
      "passthrough 10.0.0.2:80",
    ],
    [
      "the application's own 15008 call",
      "10.0.0.2",
      15008,
      { workloads: [cart] },
      "hbone 10.0.0.2:15008 as 10.0.0.2:15008",
    ],
    ["IPv6", "fd00::2", 80, { workloads: [buildWorkload("six", "fd00::2")] }, "hbone fd00::2:15008 as [fd00::2]:80"],
    [
      "a workload of another network",
      "10.0.0.2",
      80,
      { workloads: [{ ...cart, network: "b" }], input: { network: "b" } },
      "refuse NETWORK_GATEWAY_UNAVAILABLE",
    ],
  ])("%s", (_name, ip, port, row, expected) => {
    expect(story(decide(ip, port, row))).toBe(expected);
  });

  it.each<[string, Row, string]>([
    [
      "goes to an endpoint on its target port",
      { workloads: [{ ...cart, ...serving("cart") }] },
      "hbone 10.0.0.2:15008 as 10.0.0.2:8080",
    ],
    [
      "has alternates, at most two",
      { workloads: ["2", "3", "4", "5"].map((n) => buildWorkload(`c${n}`, `10.0.0.${n}`, serving("cart"))) },
      "hbone 10.0.0.2:15008 as 10.0.0.2:8080, then hbone 10.0.0.3:15008 as 10.0.0.3:8080, then hbone 10.0.0.4:15008 as 10.0.0.4:8080",
    ],
    [
      "mixes tunnelled and plain endpoints",
      {
        workloads: [
          { ...cart, ...serving("cart") },
          buildWorkload("old", "10.0.0.3", { protocol: "TCP", ...serving("cart") }),
        ],
      },
      "hbone 10.0.0.2:15008 as 10.0.0.2:8080, then plaintext 10.0.0.3:8080",
    ],
    ["without endpoints is refused, not passed through", {}, "refuse NO_HEALTHY_UPSTREAM"],
    [
      "with only unhealthy endpoints is refused",
      { workloads: [{ ...cart, ...serving("cart"), status: "Unhealthy" }] },
      "refuse NO_HEALTHY_UPSTREAM",
    ],
    [
      "with endpoints of capacity 0 only is refused",
      { workloads: [{ ...cart, ...serving("cart"), capacity: 0 }] },
      "refuse NO_HEALTHY_UPSTREAM",
    ],
    [
      "reaches a host-network endpoint",
      { workloads: [{ ...cart, ...serving("cart"), networkMode: "HostNetwork", protocol: "TCP" }] },
      "plaintext 10.0.0.2:8080",
    ],
    [
      "uses an endpoint's own port mapping",
      {
        workloads: [
          { ...cart, services: { "shop/cart.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 9999 }] } },
        ],
      },
      "hbone 10.0.0.2:15008 as 10.0.0.2:9999",
    ],
    [
      "looks up an endpoint known by hostname",
      { workloads: [buildWorkload("ext", "", { hostname: "example.com", protocol: "TCP", ...serving("cart") })] },
      "lookup example.com",
    ],
    [
      "uses the answer of the lookup",
      {
        workloads: [buildWorkload("ext", "", { hostname: "example.com", protocol: "TCP", ...serving("cart") })],
        input: { resolved: new Map([["example.com", [address("192.0.2.7", 1).ip]]]) },
      },
      "plaintext 192.0.2.7:8080",
    ],
    [
      "is refused when the lookup found nothing",
      {
        workloads: [buildWorkload("ext", "", { hostname: "example.com", ...serving("cart") })],
        input: { resolved: new Map([["example.com", []]]) },
      },
      "refuse NO_HEALTHY_UPSTREAM",
    ],
    [
      "does not use a workload's waypoint",
      { workloads: [waypoint, { ...cart, ...serving("cart"), waypoint: atAddress("10.0.0.9") }] },
      "hbone 10.0.0.2:15008 as 10.0.0.2:8080",
    ],
    [
      "prefers endpoints of our network to those behind a gateway",
      {
        workloads: [
          buildWorkload("far", "", {
            network: "b",
            networkGateway: atAddress("10.9.9.9"),
            capacity: 100,
            ...serving("cart"),
          }),
          { ...cart, ...serving("cart") },
        ],
      },
      "hbone 10.0.0.2:15008 as 10.0.0.2:8080",
    ],
    [
      "is refused when all endpoints are behind a gateway",
      {
        workloads: [
          buildWorkload("far", "", { network: "b", networkGateway: atAddress("10.9.9.9"), ...serving("cart") }),
        ],
      },
      "refuse NETWORK_GATEWAY_UNAVAILABLE",
    ],
  ])("a service %s", (_name, row, expected) => {
    expect(story(decide("10.96.0.1", 80, { services: [cartService], ...row }))).toBe(expected);
  });

  it("refuses a service port that is not declared", () => {
    const workloads = [{ ...cart, ...serving("cart") }];
    expect(story(decide("10.96.0.1", 81, { services: [cartService], workloads }))).toBe(
      "refuse SERVICE_PORT_UNDECLARED",
    );
  });

  it("passes through to a service that says so, whatever its endpoints", () => {
    const loadBalancing = { mode: "Passthrough", routingPreferences: [], healthPolicy: "AllowAll" } as const;
    const services = [{ ...cartService, loadBalancing }];
    expect(story(decide("10.96.0.1", 81, { services }))).toBe("passthrough 10.96.0.1:81");
  });

  it("balances a VIP that is also a workload's address as the service", () => {
    const workloads = [buildWorkload("twin", "10.96.0.1"), { ...cart, ...serving("cart") }];
    expect(story(decide("10.96.0.1", 80, { services: [cartService], workloads }))).toBe(
      "hbone 10.0.0.2:15008 as 10.0.0.2:8080",
    );
  });

  it("expects exactly the endpoint's identity and what the service lists", () => {
    const listed = "spiffe://cluster.local/ns/shop/sa/alias";
    const services = [{ ...cartService, subjectAltNames: [listed, "not-a-spiffe-id"] }];
    const decision = decide("10.96.0.1", 80, { services, workloads: [{ ...cart, ...serving("cart") }] });
    expect(decision.kind === "forward" && decision.hops[0]?.kind === "hbone" && decision.hops[0].expected).toEqual([
      listed,
      "spiffe://cluster.local/ns/shop/sa/cart",
    ]);
  });
});

describe("decideOutbound through waypoints", () => {
  const through = "hbone 10.0.0.9:15008 as 10.96.0.1:80";
  it.each<[string, Row, string]>([
    ["by address", { workloads: [waypoint], services: [{ ...cartService, waypoint: atAddress("10.0.0.9") }] }, through],
    [
      "by the hostname of a service",
      {
        workloads: [
          { ...waypoint, services: { "shop/gw.shop.svc.cluster.local": [{ servicePort: 15008, targetPort: 15008 }] } },
        ],
        services: [
          { ...cartService, waypoint: atHost("gw") },
          buildService("gw", "10.96.0.9", { ports: [{ servicePort: 15008, targetPort: 15008 }] }),
        ],
      },
      through,
    ],
    [
      "by the hostname of a workload",
      {
        workloads: [{ ...waypoint, hostname: "gw.shop.svc.cluster.local" }],
        services: [{ ...cartService, waypoint: atHost("gw") }],
      },
      through,
    ],
    [
      "by weight",
      {
        workloads: [waypoint, buildWorkload("canary", "10.0.0.8")],
        services: [
          {
            ...cartService,
            weightedWaypoints: [
              { destination: atAddress("10.0.0.8"), weight: 0 },
              { destination: atAddress("10.0.0.9"), weight: 1 },
            ],
          },
        ],
      },
      through,
    ],
    [
      "although the service has endpoints and no such port",
      {
        workloads: [waypoint, { ...cart, ...serving("cart") }],
        services: [{ ...cartService, ports: [], waypoint: atAddress("10.0.0.9") }],
      },
      through,
    ],
    [
      "case 42: that is unknown, and so refuses",
      {
        workloads: [{ ...cart, ...serving("cart") }],
        services: [{ ...cartService, waypoint: atAddress("10.0.0.77") }],
      },
      "refuse WAYPOINT_UNAVAILABLE",
    ],
    [
      "case 42: that is scaled to zero, and so refuses",
      {
        workloads: [{ ...cart, ...serving("cart") }],
        services: [
          { ...cartService, waypoint: atHost("gw") },
          buildService("gw", "10.96.0.9", { ports: [{ servicePort: 15008, targetPort: 15008 }] }),
        ],
      },
      "refuse WAYPOINT_UNAVAILABLE",
    ],
    [
      "case 42: of another namespace that does not exist",
      { services: [{ ...cartService, waypoint: atHost("nowhere") }] },
      "refuse WAYPOINT_UNAVAILABLE",
    ],
  ])("a service's waypoint, %s", (_name, row, expected) => {
    expect(story(decide("10.96.0.1", 80, row))).toBe(expected);
  });

  it("names the waypoint and the reason when it refuses", () => {
    const decision = decide("10.96.0.1", 80, { services: [{ ...cartService, waypoint: atHost("gw") }] });
    expect(decision).toMatchObject({
      message:
        "waypoint shop/gw.shop.svc.cluster.local:15008 of service shop/cart.shop.svc.cluster.local is unavailable: no service or workload has that name",
    });
  });

  it("a workload's waypoint is used when the workload is called directly", () => {
    const workloads = [waypoint, { ...cart, waypoint: atAddress("10.0.0.9") }];
    expect(story(decide("10.0.0.2", 80, { workloads }))).toBe("hbone 10.0.0.9:15008 as 10.0.0.2:80");
  });

  it("a workload's missing waypoint refuses", () => {
    const workloads = [{ ...cart, waypoint: atAddress("10.0.0.77") }];
    expect(story(decide("10.0.0.2", 80, { workloads }))).toBe("refuse WAYPOINT_UNAVAILABLE");
  });

  it("the waypoint itself reaches its workload directly", () => {
    const workloads = [waypoint, { ...cart, waypoint: atAddress("10.0.0.9") }];
    const input = { source: waypoint, downstreamIp: address("10.0.0.9", 1).ip };
    expect(story(decide("10.0.0.2", 80, { workloads, input }))).toBe("hbone 10.0.0.2:15008 as 10.0.0.2:80");
  });

  it("another pod with the waypoint's identity does not", () => {
    const pretender = buildWorkload("pretender", "10.0.0.66", { serviceAccount: "waypoint" });
    const workloads = [waypoint, pretender, { ...cart, waypoint: atAddress("10.0.0.9") }];
    const input = { source: pretender, downstreamIp: address("10.0.0.66", 1).ip };
    expect(story(decide("10.0.0.2", 80, { workloads, input }))).toBe("hbone 10.0.0.9:15008 as 10.0.0.2:80");
  });

  it("the source's own waypoint has no effect", () => {
    const input = { source: { ...source, waypoint: atAddress("10.0.0.9") } };
    expect(story(decide("10.0.0.2", 80, { workloads: [waypoint, cart], input }))).toBe(
      "hbone 10.0.0.2:15008 as 10.0.0.2:80",
    );
  });

  it("a waypoint on another network refuses", () => {
    const far = { ...waypoint, network: "b" };
    const destination = { kind: "address" as const, network: "b", address: address("10.0.0.9", 1).ip };
    const services = [{ ...cartService, waypoint: { destination, hboneMtlsPort: 15008 } }];
    expect(story(decide("10.96.0.1", 80, { workloads: [far], services }))).toBe("refuse NETWORK_GATEWAY_UNAVAILABLE");
  });
});

describe("decideOutbound and loops", () => {
  it.each([
    ["127.0.0.1", 15001],
    ["127.0.0.1", 15006],
    ["127.0.0.1", 15008],
    ["127.0.0.1", 15080],
    ["::1", 15001],
    ["10.0.0.1", 15001],
    ["10.0.0.1", 15008],
  ])("case 7: refuses %s:%d, a listener of our own pod", (ip, port) => {
    expect(story(decide(ip, port))).toBe("refuse LOOP_REFUSED");
  });

  it("passes other ports of loopback", () => {
    expect(story(decide("127.0.0.1", 8080))).toBe("passthrough 127.0.0.1:8080");
  });
});

describe("decideOutbound and address families", () => {
  const dual = buildWorkload("dual", "10.0.0.2", {
    addresses: [address("10.0.0.2", 1).ip, address("fd00::2", 1).ip],
    ...serving("cart"),
  });
  it.each<[string, Service["ipFamilies"], string, string]>([
    ["the dialled family", "Dual", "10.96.0.1", "hbone 10.0.0.2:15008 as 10.0.0.2:8080"],
    ["the dialled family, IPv6", "Dual", "fd00:96::1", "hbone fd00::2:15008 as [fd00::2]:8080"],
    ["the only family the service allows", "IPv6", "10.96.0.1", "hbone fd00::2:15008 as [fd00::2]:8080"],
    ["any family when nothing is said", "Automatic", "fd00:96::1", "hbone fd00::2:15008 as [fd00::2]:8080"],
  ])("a dual-stack endpoint is reached by %s", (_name, ipFamilies, vip, expected) => {
    const vips = ["10.96.0.1", "fd00:96::1"].map((ip) => ({ network: "", address: address(ip, 1).ip }));
    expect(story(decide(vip, 80, { workloads: [dual], services: [{ ...cartService, ipFamilies, vips }] }))).toBe(
      expected,
    );
  });

  it("an endpoint with no address the service allows is refused", () => {
    const services = [{ ...cartService, ipFamilies: "IPv6" as const }];
    expect(story(decide("10.96.0.1", 80, { workloads: [{ ...cart, ...serving("cart") }], services }))).toBe(
      "refuse NO_HEALTHY_UPSTREAM",
    );
  });

  it("a directly dialled address of a workload is used as it is", () => {
    expect(story(decide("fd00::2", 80, { workloads: [dual] }))).toBe("hbone fd00::2:15008 as [fd00::2]:80");
  });
});
