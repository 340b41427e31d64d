import { parseAuthority } from "@ambit/shared/net";
import type { GatewayAddress, Service, Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import { decideInbound } from "./inbound-decision.ts";
import { decidePassthrough } from "./passthrough-decision.ts";
import { address, buildMesh, buildService, buildWorkload, serving } from "./test-mesh-builder.ts";

const gateway = (ip: string): GatewayAddress => ({
  destination: { kind: "address", network: "", address: address(ip, 1).ip },
  hboneMtlsPort: 15008,
});

interface Row {
  readonly own?: Partial<Workload>;
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
}

function decide(authority: string, { own = {}, workloads = [], services = [] }: Row = {}): string {
  const self = buildWorkload("cart", "10.0.0.2", own);
  const parsed = parseAuthority(authority);
  if (!parsed.ok) return "unparsable";
  const input = { network: "", own: self, localIp: address("10.0.0.2", 1).ip, authority: parsed.value };
  const decision = decideInbound(buildMesh([self, ...workloads], services), input);
  return decision.kind === "deliver" ? `${decision.target.ip}:${decision.target.port}` : decision.code;
}

const cartService = buildService("cart", "10.96.0.1");
const db = buildWorkload("db", "10.0.0.7", { waypoint: gateway("10.0.0.2") });
const dbService = buildService("db", "10.96.0.7", { waypoint: gateway("10.0.0.2") });

describe("decideInbound", () => {
  it.each<[string, string, Row, string]>([
    ["accepts the dialled address", "10.0.0.2:80", {}, "10.0.0.2:80"],
    [
      "case 6: refuses another workload's address",
      "10.0.0.7:80",
      { workloads: [buildWorkload("db", "10.0.0.7")] },
      "HBONE_AUTHORITY_NOT_LOCAL",
    ],
    ["case 6: refuses an unknown address", "192.0.2.1:80", {}, "HBONE_AUTHORITY_NOT_LOCAL"],
    [
      "case 6: refuses the VIP of its own service",
      "10.96.0.1:80",
      { own: serving("cart"), services: [cartService] },
      "HBONE_AUTHORITY_NOT_LOCAL",
    ],
    ["case 8: refuses loopback", "127.0.0.1:80", {}, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["case 8: refuses link-local", "169.254.169.254:80", {}, "HBONE_AUTHORITY_NOT_LOCAL"],
    ["accepts a workload whose waypoint it is, on its own address", "10.0.0.7:80", { workloads: [db] }, "10.0.0.2:80"],
    ["accepts a service whose waypoint it is", "10.96.0.7:80", { services: [dbService] }, "10.0.0.2:80"],
    [
      "accepts a service whose weighted waypoint it is",
      "10.96.0.7:80",
      {
        services: [
          buildService("db", "10.96.0.7", { weightedWaypoints: [{ destination: gateway("10.0.0.2"), weight: 1 }] }),
        ],
      },
      "10.0.0.2:80",
    ],
    [
      "refuses a service whose waypoint is another",
      "10.96.0.7:80",
      {
        services: [buildService("db", "10.96.0.7", { waypoint: gateway("10.0.0.3") })],
        workloads: [buildWorkload("x", "10.0.0.3")],
      },
      "HBONE_AUTHORITY_NOT_LOCAL",
    ],
    [
      "accepts a service whose waypoint is a service it serves",
      "10.96.0.7:80",
      {
        own: serving("gw"),
        services: [
          buildService("gw", "10.96.0.9"),
          buildService("db", "10.96.0.7", {
            waypoint: {
              destination: { kind: "hostname", namespace: "shop", hostname: "gw.shop.svc.cluster.local" },
              hboneMtlsPort: 15008,
            },
          }),
        ],
      },
      "10.0.0.2:80",
    ],
    ["case 7: refuses 15001", "10.0.0.2:15001", {}, "LOOP_REFUSED"],
    ["case 7: refuses 15006", "10.0.0.2:15006", {}, "LOOP_REFUSED"],
    ["case 7: refuses 15008", "10.0.0.2:15008", {}, "LOOP_REFUSED"],
    [
      "maps a service's hostname to the target port",
      "cart.shop.svc.cluster.local:80",
      { own: serving("cart"), services: [cartService] },
      "10.0.0.2:8080",
    ],
    [
      "maps a named port by the endpoint's mapping",
      "cart.shop.svc.cluster.local:80",
      {
        own: { services: { "shop/cart.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 9090 }] } },
        services: [buildService("cart", "10.96.0.1", { ports: [{ servicePort: 80, targetPort: 0 }] })],
      },
      "10.0.0.2:9090",
    ],
    [
      "refuses a hostname's unknown port",
      "cart.shop.svc.cluster.local:81",
      { own: serving("cart"), services: [cartService] },
      "HBONE_AUTHORITY_UNRESOLVABLE",
    ],
    ["refuses an unknown hostname", "nowhere:80", {}, "HBONE_AUTHORITY_UNRESOLVABLE"],
    [
      "refuses the hostname of a service it does not serve",
      "db.shop.svc.cluster.local:80",
      { services: [buildService("db", "10.96.0.7")] },
      "HBONE_AUTHORITY_UNRESOLVABLE",
    ],
    [
      "accepts the hostname of a service whose waypoint it is",
      "db.shop.svc.cluster.local:80",
      { services: [dbService] },
      "10.0.0.2:80",
    ],
    [
      "refuses the hostname of a service hidden from its namespace",
      "db.other.svc:80",
      {
        own: { services: { "other/db.other.svc": [{ servicePort: 80, targetPort: 8080 }] } },
        services: [buildService("db", "", { namespace: "other", hostname: "db.other.svc", visibility: "Namespace" })],
      },
      "HBONE_AUTHORITY_UNRESOLVABLE",
    ],
    [
      "sends everything to the port of an application tunnel",
      "192.0.2.1:80",
      { own: { applicationTunnel: { protocol: "NONE", port: 15088 } } },
      "10.0.0.2:15088",
    ],
    [
      "refuses a PROXY application tunnel",
      "10.0.0.2:80",
      { own: { applicationTunnel: { protocol: "PROXY", port: 15088 } } },
      "HBONE_AUTHORITY_UNRESOLVABLE",
    ],
    [
      "case 7: refuses an application tunnel into the proxy",
      "10.0.0.2:80",
      { own: { applicationTunnel: { protocol: "NONE", port: 15008 } } },
      "LOOP_REFUSED",
    ],
  ])("%s", (_name, authority, row, expected) => {
    expect(decide(authority, row)).toBe(expected);
  });
});

describe("decidePassthrough", () => {
  it("delivers to the original destination", () => {
    expect(decidePassthrough(address("10.0.0.2", 80))).toEqual({ kind: "deliver", target: address("10.0.0.2", 80) });
  });
  it.each([15001, 15006, 15008, 15080])("case 7: refuses port %d", (port) => {
    expect(decidePassthrough(address("10.0.0.2", port))).toMatchObject({ kind: "refuse", code: "LOOP_REFUSED" });
  });
});
