import { describe, expect, it } from "@jest/globals";
import { pod, TestMesh } from "./test-objects.ts";

describe("a pod as a workload", () => {
  it("carries everything a node proxy needs", () => {
    const mesh = new TestMesh(`
apiVersion: v1
kind: Node
metadata:
  name: node1
  labels: { topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a, topology.istio.io/subzone: rack1 }
---
${pod("web-1", {
  labels: "app: web, version: v2, pod-template-hash: abc",
  meta: "annotations: { ambient.istio.io/redirection: enabled }, ownerReferences: [{ kind: ReplicaSet, name: web-abc, controller: true }]",
  status: "podIP: 10.0.0.9",
})}
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, clusterIP: 10.1.0.1, ports: [{ port: 80, targetPort: 8080 }] }
`);
    expect(mesh.pod("web-1")).toEqual({
      uid: "Kubernetes//Pod/shop/web-1",
      name: "web-1",
      namespace: "shop",
      serviceAccount: "web-1",
      trustDomain: "cluster.local",
      addresses: ["10.0.0.1"],
      hostname: "",
      network: "",
      networkMode: "Standard",
      protocol: "HBONE",
      nativeTunnel: false,
      node: "node1",
      clusterId: "Kubernetes",
      canonicalName: "web",
      canonicalRevision: "v2",
      workloadName: "web",
      workloadType: "pod",
      status: "Healthy",
      locality: { region: "eu", zone: "eu-a", subzone: "rack1" },
      capacity: 1,
      authorizationPolicies: [],
      services: { "shop/web.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 8080 }] },
    });
  });

  it.each([
    ["has finished", pod("p").replace("Running", "Succeeded")],
    ["has failed", pod("p").replace("Running", "Failed")],
    ["has no address yet", pod("p").replace("podIPs: [{ ip: 10.0.0.1 }], ", "")],
    ["has an address that is none", pod("p", { ip: "nowhere" })],
  ])("is absent when it %s", (_what, yaml) => {
    expect(new TestMesh(yaml).pod("p")).toBeUndefined();
  });

  it("is there before it is ready, because it may already open connections", () => {
    const pending = new TestMesh(pod("p").replace("Running", "Pending").replace('"True"', '"False"'));
    expect(pending.pod("p")?.status).toBe("Unhealthy");
    const terminating = new TestMesh(pod("p", { meta: "deletionTimestamp: 2026-01-01T00:00:00Z" }));
    expect(terminating.pod("p")?.status).toBe("Unhealthy");
  });

  it.each([
    ["nothing", "", "", "TCP", false],
    ["captured", "", "annotations: { ambient.istio.io/redirection: enabled }", "HBONE", false],
    ["not captured yet", "", "annotations: { ambient.istio.io/redirection: pending }", "TCP", false],
    ["speaking HBONE itself", 'networking.istio.io/tunnel: "http"', "", "HBONE", true],
  ])("%s: protocol %s", (_what, labels, meta, protocol, nativeTunnel) => {
    expect(new TestMesh(pod("p", { labels, meta })).pod("p")).toMatchObject({ protocol, nativeTunnel });
  });

  it("marks pods on the host's network, whose address is not theirs alone", () => {
    expect(new TestMesh(pod("p", { spec: "hostNetwork: true" })).pod("p")?.networkMode).toBe("HostNetwork");
  });

  it.each([
    ["its label", "service.istio.io/workload-name: given", "", "given"],
    [
      "its Deployment",
      "pod-template-hash: h1",
      "ownerReferences: [{ kind: ReplicaSet, name: web-h1, controller: true }]",
      "web",
    ],
    ["its CronJob", "", "ownerReferences: [{ kind: Job, name: backup-28000000, controller: true }]", "backup"],
    [
      "its DeploymentConfig",
      "deploymentconfig: dc",
      "ownerReferences: [{ kind: ReplicationController, name: dc-1, controller: true }]",
      "dc",
    ],
    [
      "its controller",
      "",
      "generateName: set-, ownerReferences: [{ kind: StatefulSet, name: set, controller: true }]",
      "set",
    ],
    [
      "itself without a generated name",
      "",
      "ownerReferences: [{ kind: StatefulSet, name: set, controller: true }]",
      "p",
    ],
    ["itself without a controller", "", "generateName: x-, ownerReferences: [{ kind: Node, name: node1 }]", "p"],
  ])("is named after %s", (_what, labels, meta, expected) => {
    expect(new TestMesh(pod("p", { labels, meta })).pod("p")?.workloadName).toBe(expected);
  });

  it.each([
    ["service.istio.io/canonical-name: a, app.kubernetes.io/name: b, app: c", "a"],
    ["app.kubernetes.io/name: b, app: c", "b"],
    ["app: c", "c"],
    ["", "p"],
  ])("labels %j: canonical name %s", (labels, expected) => {
    expect(new TestMesh(pod("p", { labels })).pod("p")?.canonicalName).toBe(expected);
  });

  it("takes the network from the root namespace's label, else from the configuration", () => {
    const root =
      "apiVersion: v1\nkind: Namespace\nmetadata: { name: istio-system, labels: { topology.istio.io/network: n1 } }\n---\n";
    expect(new TestMesh(root + pod("p"), { network: "n0" }).pod("p")?.network).toBe("n1");
    expect(new TestMesh(pod("p"), { network: "n0" }).pod("p")?.network).toBe("n0");
  });

  it("names the gateway of its network when there is one", () => {
    const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: ew, namespace: istio-system, labels: { topology.istio.io/network: n1 } }
spec: { gatewayClassName: istio-east-west, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
status: { addresses: [{ value: 192.0.2.1 }] }
---
`;
    const mesh = new TestMesh(gateway + pod("p"), { network: "n1" });
    expect(mesh.pod("p")?.networkGateway).toEqual({
      destination: { kind: "address", network: "n1", address: "192.0.2.1" },
      hboneMtlsPort: 15008,
    });
    expect(mesh.workload("NetworkGateway/n1/192.0.2.1/15008")).toMatchObject({
      protocol: "HBONE",
      namespace: "istio-system",
    });
  });
});

describe("services of a pod", () => {
  const service = (name: string, spec: string): string =>
    `apiVersion: v1\nkind: Service\nmetadata: { name: ${name}, namespace: shop }\nspec: { ${spec} }\n---\n`;
  const HTTP_POD = pod("p", { labels: "app: web, tier: front", spec: "" }).replace(
    "{ name: c }",
    "{ name: c, ports: [{ name: http, containerPort: 8080 }, { name: dns, containerPort: 53, protocol: UDP }] }",
  );

  it("are those of its namespace whose whole selector matches", () => {
    const mesh = new TestMesh(
      HTTP_POD +
        service("both", "selector: { app: web, tier: front }, ports: [{ port: 80 }]") +
        service("other", "selector: { app: web, tier: back }, ports: [{ port: 80 }]") +
        service("none", "ports: [{ port: 80 }]") +
        service("elsewhere", "selector: { app: web }, ports: [{ port: 80 }]").replace(
          "namespace: shop",
          "namespace: b",
        ),
    );
    expect(mesh.pod("p")?.services).toEqual({
      "shop/both.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 80 }],
    });
  });

  it("resolve named ports on the pod, TCP only, and leave out those it does not have", () => {
    const ports =
      "[{ name: a, port: 80, targetPort: http }, { name: b, port: 53, targetPort: dns }, { name: c, port: 1, targetPort: nope }]";
    const mesh = new TestMesh(HTTP_POD + service("web", `selector: { app: web }, ports: ${ports}`));
    expect(mesh.pod("p")?.services).toEqual({
      "shop/web.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 8080 }],
    });
    expect(mesh.service("web.shop.svc.cluster.local")?.ports).toEqual([
      { servicePort: 80, targetPort: 0 },
      { servicePort: 53, targetPort: 0 },
      { servicePort: 1, targetPort: 0 },
    ]);
  });

  it("come from an EndpointSlice for a Service without selector, for the pod of that UID only", () => {
    const slice = (uid: string): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: s1, namespace: shop, labels: { kubernetes.io/service-name: manual } }
addressType: IPv4
endpoints: [{ addresses: [10.0.0.1], targetRef: { kind: Pod, name: p, namespace: shop, uid: ${uid} } }]
ports: [{ name: http, port: 8081 }]
---
`;
    const manual = service("manual", "ports: [{ name: http, port: 80 }]");
    const known = pod("p", { meta: "uid: u1" });
    expect(new TestMesh(known + manual + slice("u1")).pod("p")?.services).toEqual({
      "shop/manual.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 8081 }],
    });
    expect(new TestMesh(known + manual + slice("u2")).pod("p")?.services).toEqual({});
  });
});

describe("endpoints that are no pods", () => {
  it("become workloads without identity on shared addresses", () => {
    const mesh = new TestMesh(`
apiVersion: v1
kind: Service
metadata: { name: db, namespace: shop }
spec: { ports: [{ name: sql, port: 5432 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: db-1, namespace: shop, labels: { kubernetes.io/service-name: db } }
addressType: IPv4
endpoints:
  - { addresses: [192.0.2.1] }
  - { addresses: [192.0.2.2], conditions: { ready: false } }
  - { addresses: [10.0.0.1], targetRef: { kind: Pod, name: p } }
ports: [{ name: sql, port: 15432 }]
`);
    const prefix = "Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-1";
    expect(mesh.workload(`${prefix}/192.0.2.1`)).toMatchObject({
      networkMode: "HostNetwork",
      status: "Healthy",
      protocol: "TCP",
      authorizationPolicies: [],
      services: { "shop/db.shop.svc.cluster.local": [{ servicePort: 5432, targetPort: 15432 }] },
    });
    expect(mesh.workload(`${prefix}/192.0.2.2`)?.status).toBe("Unhealthy");
    expect(mesh.workload(`${prefix}/10.0.0.1`)).toBeUndefined();
  });
});
