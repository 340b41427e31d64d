import { describe, expect, it } from "@jest/globals";
import { pod, TestMesh } from "./test-objects.ts";

const COUNT = 1_000;
const manyPods = Array.from({ length: COUNT }, (_, i) =>
  pod(`p${i}`, { ip: `10.0.${i >> 8}.${i & 255}`, labels: `app: app${i % 100}` }),
).join("");
const service = (port: number): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: app7, namespace: shop }\nspec: { selector: { app: app7 }, ports: [{ port: ${port} }] }\n---\n`;
const policy = (rules: string, selector = "app: app7"): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: x, namespace: shop }\nspec: { selector: { matchLabels: { ${selector} } }, action: DENY, rules: [${rules}] }\n---\n`;

describe("the cost of a change", () => {
  const mesh = new TestMesh(
    `apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n---\n${manyPods}${service(80)}${policy("{}")}`,
  );

  it("is one workload for one pod's label", () => {
    const delta = mesh.apply(pod("p5", { ip: "10.0.0.5", labels: "app: app5, version: v2" }));
    expect([delta.compiled, delta.upserted.map(({ name }) => name)]).toEqual([1, ["Kubernetes//Pod/shop/p5"]]);
  });

  it("is nothing at all for a change that nobody reads", () => {
    expect(mesh.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a, namespace: shop }\n").compiled).toBe(0);
    const sameNode = "apiVersion: v1\nkind: Node\nmetadata: { name: node1 }\nstatus: { conditions: [] }\n";
    mesh.apply(sameNode);
    expect(mesh.apply(sameNode.replace("[]", "[{ type: Ready, status: 'True' }]")).compiled).toBe(0);
  });

  it("is a service and its own endpoints for a service's port", () => {
    const delta = mesh.apply(service(81));
    expect([delta.compiled, delta.upserted.length]).toEqual([11, 11]);
  });

  it("is one policy for a policy's rules, and its workloads too for its selector", () => {
    expect(mesh.apply(policy("{ to: [{ operation: { ports: ['80'] } }] }"))).toMatchObject({
      compiled: 1,
      removed: [],
    });
    expect(mesh.apply(policy("{}", "app: app8")).compiled).toBe(21);
  });

  it("is one policy for the status that we write on it", () => {
    const written = policy("{}", "app: app8").replace(
      "---",
      "status: { conditions: [{ type: Accepted, status: 'True' }] }\n---",
    );
    expect(mesh.apply(written).compiled).toBe(0);
  });

  it("is every workload only for what concerns every workload", () => {
    const delta = mesh.apply(
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: n, namespace: shop }\nspec: { mtls: { mode: STRICT } }\n",
    );
    expect(delta.upserted.length).toBe(COUNT + 1);
  });

  it("is little time for 1 000 pods at once", () => {
    const startedAt = performance.now();
    const fresh = new TestMesh();
    const parsedAt = performance.now();
    fresh.apply(manyPods);
    expect(fresh.names().length).toBe(COUNT);
    expect(performance.now() - parsedAt + (parsedAt - startedAt)).toBeLessThan(15_000);
  });
});

describe("MeshModel", () => {
  it("takes away what a removed object made, and its conditions", () => {
    const mesh = new TestMesh(pod("p", { labels: "app: app7" }) + policy("{}"));
    const delta = mesh.remove(policy("{}"));
    expect(delta.removed).toMatchObject([{ kind: "policy", name: "shop/x" }]);
    expect([...delta.statuses]).toEqual([["AuthorizationPolicy/shop/x", { conditions: [] }]]);
    expect(mesh.pod("p")?.authorizationPolicies).toEqual([]);
  });

  it("ignores the removal of what it never knew", () => {
    expect(new TestMesh().remove(pod("p"))).toMatchObject({ upserted: [], removed: [] });
  });

  it("serves one resource when two objects make it, and the other once the first is gone", () => {
    const gateway = (name: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: shop, labels: { topology.istio.io/network: n1 } }
spec: { gatewayClassName: x, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
status: { addresses: [{ value: 192.0.2.1 }] }
---
`;
    const mesh = new TestMesh(gateway("b") + gateway("a"));
    const uid = "NetworkGateway/n1/192.0.2.1/15008";
    expect(mesh.workload(uid)?.name).toBe("a");
    mesh.remove(gateway("a"));
    expect(mesh.workload(uid)?.name).toBe("b");
  });
});
