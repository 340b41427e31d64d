/** Namespaces that share a waypoint: a route of one may not lead it past the policies of another's services. */
import { RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { asJson, SHOP, serviceYaml, TestWaypoint } from "../test-waypoint.ts";

const WEB = "inbound-vip|80|http|web.bank.svc.cluster.local";
const OTHER = "inbound-vip|80|http|other.third.svc.cluster.local";

/** A namespace whose services are behind the waypoint of namespace `shop`. */
const neighbour = (namespace: string, service: string, ip: string): string =>
  `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${namespace}, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: shop } }\n---\n` +
  serviceYaml(service, ip).replace("namespace: shop", `namespace: ${namespace}`);

const SHARED =
  SHOP.replace("protocol: HBONE", "protocol: HBONE, allowedRoutes: { namespaces: { from: All } }") +
  neighbour("bank", "web", "10.96.1.1") +
  neighbour("third", "other", "10.96.1.2");

const virtualService = (
  namespace: string,
  rule = "route: [{ destination: { host: other.third.svc.cluster.local } }]",
) =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v, namespace: ${namespace} }\nspec: { hosts: [web.bank.svc.cluster.local], http: [{ ${rule} }] }\n---\n`;

const httpRoute = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: v, namespace: bank }
spec:
  parentRefs: [{ group: "", kind: Service, name: web }]
  rules: [{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: other.third.svc.cluster.local, port: 80 }] }]
---
`;

const grant = (kind: string, group: string): string =>
  `apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: { name: g, namespace: third }\nspec: { from: [{ group: ${group}, kind: ${kind}, namespace: bank }], to: [{ group: "", kind: Service }] }\n---\n`;

const routeJson = (yaml: string): string =>
  JSON.stringify(new TestWaypoint(SHARED + yaml).routes(WEB).map((route) => asJson(RouteSchema, route)));

describe("a service of another namespace behind the same waypoint", () => {
  it.each([
    ["a VirtualService", virtualService("bank"), "VirtualService", "networking.istio.io"],
    ["a Hostname of an HTTPRoute", httpRoute, "HTTPRoute", "gateway.networking.k8s.io"],
  ])("is no destination of %s without a grant", (_, yaml, kind, group) => {
    expect(routeJson(yaml)).not.toContain(OTHER);
    expect(routeJson(yaml + grant(kind, group))).toContain(OTHER);
    expect(routeJson(yaml + grant("TCPRoute", group))).not.toContain(OTHER);
  });

  it("is no mirror of a VirtualService either", () => {
    const rule = "route: [{ destination: { host: web } }], mirror: { host: other.third.svc.cluster.local }";
    expect(routeJson(virtualService("bank", rule))).not.toContain(OTHER);
  });

  it("is one for the namespace of the waypoint", () => {
    expect(routeJson(virtualService("shop"))).toContain(OTHER);
  });

  it("is named in the status, as is what does not exist", () => {
    const conditionsOf = (yaml: string) =>
      new TestWaypoint(SHARED + yaml).conditions.get("VirtualService/bank/v" as ObjectKey);
    expect(conditionsOf(virtualService("bank"))).toMatchObject([
      { type: "Accepted", status: "True" },
      {
        type: "ResolvedRefs",
        status: "False",
        reason: "RefNotPermitted",
        message: "Service third/other: no ReferenceGrant in third permits it; requests there are answered 503",
      },
    ]);
    expect(conditionsOf(virtualService("bank", "route: [{ destination: { host: nobody } }]"))?.[1]).toMatchObject({
      reason: "BackendNotFound",
      message: expect.stringContaining("nobody.bank.svc.cluster.local"),
    });
    expect(conditionsOf(virtualService("bank", "route: [{ destination: { host: web } }]"))).toHaveLength(1);
  });
});
