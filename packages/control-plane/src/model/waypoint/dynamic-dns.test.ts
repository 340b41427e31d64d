import { Cluster_DiscoveryType, Cluster_LbPolicy } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterConfigSchema } from "@ambit/envoy-api/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster";
import { FilterConfigSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy";
import { HttpProtocolOptionsSchema } from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { SHOP, TestWaypoint, unpacked } from "./test-waypoint.ts";

const entry = (ports: string, host = "*.example.org"): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside, namespace: shop }
spec: { hosts: ["${host}"], addresses: [240.7.7.7], resolution: DYNAMIC_DNS, ports: [${ports}] }
---
`;
const HTTP = "{ number: 80, name: http, protocol: HTTP }";
const NAME = "inbound-vip|80|http|*.example.org";
const rule = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: tls, namespace: shop }
spec: { host: "*.example.org", trafficPolicy: { tls: { mode: SIMPLE } } }
---
`;

describe("a wildcard with DYNAMIC_DNS", () => {
  it("leads each request to the host that it names, if the wildcard covers it", () => {
    const waypoint = new TestWaypoint(SHOP + entry(HTTP));
    const { clusterDiscoveryType, lbPolicy } = waypoint.cluster(NAME);
    expect(lbPolicy).toBe(Cluster_LbPolicy.CLUSTER_PROVIDED);
    if (clusterDiscoveryType.case !== "clusterType") throw new Error("expected a type of its own");
    const cache = { dnsCacheConfig: "dns-cache|*.example.org" };
    const { clusterImplementationSpecifier } = unpacked(ClusterConfigSchema, clusterDiscoveryType.value.typedConfig);
    expect(clusterImplementationSpecifier).toMatchObject({ value: { name: cache.dnsCacheConfig } });
    const filter = waypoint.http(NAME).httpFilters.at(-2)?.configType;
    const { implementationSpecifier } = unpacked(
      FilterConfigSchema,
      filter?.case === "typedConfig" ? filter.value : undefined,
    );
    expect(implementationSpecifier).toMatchObject({ value: { name: cache.dnsCacheConfig } });
    expect(waypoint.routeTable(NAME)).toMatchObject({
      ignorePortInHostMatching: true,
      virtualHosts: [{ domains: ["*.example.org"] }],
    });
  });

  it("verifies TLS by the host that the request names", () => {
    const { typedExtensionProtocolOptions: options } = new TestWaypoint(SHOP + entry(HTTP) + rule).cluster(NAME);
    expect(
      unpacked(HttpProtocolOptionsSchema, options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]),
    ).toMatchObject({ upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: true } });
  });

  it("is for requests: connections name no host, and lead nowhere", () => {
    const waypoint = new TestWaypoint(SHOP + entry("{ number: 443, name: tls, protocol: TLS }"));
    expect(() => waypoint.cluster("inbound-vip|443|tcp|*.example.org")).toThrow(/no Cluster/);
    expect(waypoint.conditions.get("ServiceEntry/shop/outside" as ObjectKey)).toContainEqual(
      expect.objectContaining({ status: "False", message: expect.stringContaining("spec.ports tls (443)") }),
    );
  });

  it("is not what resolution NONE means: there, whoever dials an address of the entry reaches that address", () => {
    const none = new TestWaypoint(SHOP + entry(HTTP).replace("DYNAMIC_DNS", "NONE"));
    expect(none.cluster(NAME).clusterDiscoveryType).toEqual({
      case: "type",
      value: Cluster_DiscoveryType.ORIGINAL_DST,
    });
    expect(none.routeTable(NAME).virtualHosts[0]?.domains).toEqual(["*"]);
  });

  it("is no other than DNS for one host", () => {
    const name = "inbound-vip|80|http|a.example.org";
    const waypoint = new TestWaypoint(SHOP + entry(HTTP, "a.example.org"));
    expect(waypoint.cluster(name).clusterDiscoveryType.case).toBe("type");
    expect(waypoint.routeTable(name).virtualHosts[0]?.domains).toEqual(["*"]);
  });
});
