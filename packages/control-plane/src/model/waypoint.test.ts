import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { pod, TestMesh } from "./test-objects.ts";

const gateway = (more: { labels?: string; listeners?: string; status?: string; namespace?: string } = {}): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: wp, namespace: ${more.namespace ?? "shop"}, labels: { ${more.labels ?? ""} } }
spec: { gatewayClassName: istio-waypoint, listeners: [${more.listeners ?? "{ name: mesh, port: 15008, protocol: HBONE }"}] }
${more.status ?? "status: { addresses: [{ type: Hostname, value: wp.shop.svc.cluster.local }, { type: IPAddress, value: 10.1.0.9 }] }"}
---
`;
const namespace = (labels: string, name = "shop"): string =>
  `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name}, labels: { ${labels} } }\n---\n`;
const service = (labels = "", more = ""): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop, labels: { ${labels} }${more} }\nspec: { ports: [{ port: 80 }] }\n---\n`;
const USE = "istio.io/use-waypoint: wp";
const BOUND = {
  destination: { kind: "hostname", namespace: "shop", hostname: "wp.shop.svc.cluster.local" },
  hboneMtlsPort: 15008,
};
const REFUSED = {
  destination: { kind: "hostname", namespace: "shop", hostname: "wp.shop.waypoint.invalid" },
  hboneMtlsPort: 15008,
};
const SERVICE_KEY = "Service/shop/web" as ObjectKey;
const web = (mesh: TestMesh) => mesh.service("web.shop.svc.cluster.local");
const conditionOf = (mesh: TestMesh) => mesh.conditions.get(SERVICE_KEY)?.map(({ status, reason }) => [status, reason]);

describe("the waypoint of a service", () => {
  it.each([
    ["named by the service", service(USE)],
    ["named by its namespace", namespace(USE) + service()],
  ])("%s is bound", (_what, yaml) => {
    const mesh = new TestMesh(gateway() + yaml);
    expect(web(mesh)?.waypoint).toEqual(BOUND);
    expect(conditionOf(mesh)).toEqual([["True", "WaypointAccepted"]]);
  });

  it("is none when nobody names one, or the service opts out of its namespace's", () => {
    expect(web(new TestMesh(gateway() + service()))).not.toHaveProperty("waypoint");
    expect(web(new TestMesh(gateway() + namespace(USE) + service("istio.io/use-waypoint: none")))).not.toHaveProperty(
      "waypoint",
    );
    expect(conditionOf(new TestMesh(gateway() + service()))).toBeUndefined();
  });

  it.each([
    ["is missing", service(USE), "WaypointMissing"],
    ["of its namespace is missing", namespace(USE) + service(), "WaypointMissing"],
    ["has no address yet", gateway({ status: "" }) + service(USE), "WaypointNotReady"],
    [
      "is for workloads only",
      gateway({ labels: "istio.io/waypoint-for: workload" }) + service(USE),
      "WaypointTrafficType",
    ],
  ])("case 42: a waypoint that %s leaves the service unreachable, never directly reachable", (_what, yaml, reason) => {
    const mesh = new TestMesh(yaml);
    expect(web(mesh)?.waypoint).toEqual(REFUSED);
    expect(conditionOf(mesh)).toEqual([["False", reason]]);
  });

  it("case 42: a waypoint that is deleted closes the service, and one that comes opens it", () => {
    const mesh = new TestMesh(gateway() + service(USE));
    mesh.remove(gateway());
    expect(web(mesh)?.waypoint).toEqual(REFUSED);
    mesh.apply(gateway());
    expect(web(mesh)?.waypoint).toEqual(BOUND);
  });

  it.each([
    ["nothing: its own namespace only", "", false],
    ["All", "allowedRoutes: { namespaces: { from: All } }", true],
    [
      "a selector that matches",
      "allowedRoutes: { namespaces: { from: Selector, selector: { matchLabels: { team: a } } } }",
      true,
    ],
    [
      "a selector by name",
      "allowedRoutes: { namespaces: { from: Selector, selector: { matchLabels: { kubernetes.io/metadata.name: shop } } } }",
      true,
    ],
    [
      "a selector that does not match",
      "allowedRoutes: { namespaces: { from: Selector, selector: { matchLabels: { team: b } } } }",
      false,
    ],
  ])("case 42: of another namespace must admit the service: %s", (_what, allowed, admitted) => {
    const listeners = `{ name: mesh, port: 15008, protocol: HBONE${allowed && `, ${allowed}`} }`;
    const use = `${USE}, istio.io/use-waypoint-namespace: infra`;
    const mesh = new TestMesh(gateway({ namespace: "infra", listeners }) + namespace("team: a") + service(use));
    expect(conditionOf(mesh)).toEqual([
      admitted ? ["True", "WaypointAccepted"] : ["False", "WaypointAttachmentDenied"],
    ]);
    expect(web(mesh)?.waypoint?.destination).toMatchObject({
      namespace: "infra",
      hostname: admitted ? "wp.shop.svc.cluster.local" : "wp.infra.waypoint.invalid",
    });
  });

  it.each([
    ["everybody sees", "", "True"],
    ["only its namespace sees", 'exportTo: ["."], ', "False"],
  ])("case 42: of another namespace for an entry that %s: %#", (_what, exportTo, status) => {
    const listeners = "{ name: mesh, port: 15008, protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }";
    const labels = `${USE}, istio.io/use-waypoint-namespace: infra`;
    const entry = `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { name: e, namespace: shop, labels: { ${labels} } }\nspec: { ${exportTo}hosts: [e.example.com] }\n`;
    const mesh = new TestMesh(gateway({ namespace: "infra", listeners }) + entry);
    expect(mesh.conditions.get("ServiceEntry/shop/e" as ObjectKey)).toMatchObject([{ status }]);
  });

  it("splits traffic to a canary by weight, and leaves the primary alone when the canary cannot be used", () => {
    const canary = gateway().replaceAll("wp", "next");
    const labels = `${USE}, istio.io/use-waypoint-canary: next`;
    const weight = ", annotations: { istio.io/use-waypoint-canary-weight: '10' }";
    const mesh = new TestMesh(gateway() + canary + service(labels, weight));
    expect(web(mesh)?.weightedWaypoints.map((each) => each.weight)).toEqual([90, 10]);
    mesh.remove(canary);
    expect([web(mesh)?.weightedWaypoints, web(mesh)?.waypoint]).toEqual([[], BOUND]);
  });

  it("is never in front of a gateway's own service", () => {
    const mesh = new TestMesh(
      gateway() + namespace(USE) + service("gateway.istio.io/managed: istio.io-mesh-controller"),
    );
    expect(web(mesh)).not.toHaveProperty("waypoint");
  });
});

describe("the waypoint of a workload", () => {
  const ALL = "istio.io/waypoint-for: all";

  it("is bound when the Gateway is for workloads", () => {
    expect(new TestMesh(gateway({ labels: ALL }) + pod("p", { labels: USE })).pod("p")?.waypoint).toEqual(BOUND);
    expect(new TestMesh(gateway({ labels: ALL }) + namespace(USE) + pod("p")).pod("p")?.waypoint).toEqual(BOUND);
  });

  it("is none when it only inherits one for services", () => {
    expect(new TestMesh(gateway() + namespace(USE) + pod("p")).pod("p")).not.toHaveProperty("waypoint");
    expect(new TestMesh(namespace(USE) + pod("p")).pod("p")).not.toHaveProperty("waypoint");
  });

  it("case 42: closes a pod that names one it cannot have, and one whose Gateway for workloads lost its address", () => {
    expect(new TestMesh(pod("p", { labels: USE })).pod("p")?.waypoint).toEqual(REFUSED);
    expect(new TestMesh(gateway() + pod("p", { labels: USE })).pod("p")?.waypoint).toEqual(REFUSED);
    const lost = gateway({ labels: ALL, status: "" }) + namespace(USE) + pod("p");
    expect(new TestMesh(lost).pod("p")?.waypoint).toEqual(REFUSED);
  });

  it("is never in front of the waypoint's own pods, which may be handed their traffic instead", () => {
    const sandwiched = gateway({ labels: ALL }).replace(
      "labels:",
      "annotations: { ambient.istio.io/waypoint-inbound-binding: PROXY/15088 }, labels:",
    );
    const mesh = new TestMesh(
      sandwiched + namespace(USE) + pod("p", { labels: "gateway.networking.k8s.io/gateway-name: wp" }),
    );
    expect(mesh.pod("p")).toMatchObject({ applicationTunnel: { protocol: "PROXY", port: 15088 } });
    expect(mesh.pod("p")).not.toHaveProperty("waypoint");
  });

  it("takes the traffic type from the class when the Gateway says nothing", () => {
    const gatewayClass =
      "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: { name: istio-waypoint, labels: { istio.io/waypoint-for: workload } }\nspec: { controllerName: istio.io/mesh-controller }\n---\n";
    expect(new TestMesh(gatewayClass + gateway() + namespace(USE) + pod("p")).pod("p")?.waypoint).toEqual(BOUND);
  });
});
