import { type KubeObject, type ObjectKey, objectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { resourceId } from "./compile-object.ts";
import { isSilent, MeshModel } from "./index.ts";
import { MESH, objectsOf, pod } from "./test-objects.ts";

/** Every variant of a few objects that refer to each other in every way there is. */
const VARIANTS: readonly KubeObject[] = objectsOf(
  [
    ...["", "istio.io/use-waypoint: wp", "topology.istio.io/network: n1"].map(
      (labels) => `apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { ${labels} } }\n`,
    ),
    "apiVersion: v1\nkind: Namespace\nmetadata: { name: istio-system, labels: { topology.istio.io/network: n1 } }\n",
    ...["a", "b"].map(
      (zone) =>
        `apiVersion: v1\nkind: Node\nmetadata: { name: node1, labels: { topology.kubernetes.io/zone: ${zone} } }\n`,
    ),
    ...["app: web", "app: cart", "app: web, tier: x"].flatMap((labels) => [
      pod("p", { labels, meta: "uid: u1" }).replace("---", ""),
      pod("q", { labels, ip: "10.0.0.2" }).replace("---", ""),
    ]),
    pod("p", { labels: "app: web" }).replace("Running", "Failed").replace("---", ""),
    ...["app: web", "app: cart", "tier: x, app: web"].map(
      (selector) =>
        `apiVersion: v1\nkind: Service\nmetadata: { name: s, namespace: shop }\nspec: { selector: { ${selector} }, ports: [{ port: 80 }] }\n`,
    ),
    "apiVersion: v1\nkind: Service\nmetadata: { name: s, namespace: shop, labels: { istio.io/use-waypoint: wp } }\nspec: { ports: [{ name: http, port: 80 }] }\n",
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: e, namespace: shop, labels: { kubernetes.io/service-name: s } }\naddressType: IPv4\nports: [{ name: http, port: 81 }]\nendpoints: [{ addresses: [10.0.0.1], targetRef: { kind: Pod, name: p, uid: u1 } }, { addresses: [192.0.2.1] }]\n",
    ...["status: { addresses: [{ value: 10.1.1.1 }] }", ""].flatMap((status) =>
      ["istio.io/waypoint-for: all", ""].map(
        (labels) =>
          `apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: wp, namespace: shop, labels: { ${labels} } }\nspec: { gatewayClassName: c, listeners: [] }\n${status}\n`,
      ),
    ),
    ...["ambit-waypoint", "istio-waypoint"].map(
      (name) =>
        `apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: wp, namespace: shop }\nspec: { gatewayClassName: ${name}, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }\nstatus: { addresses: [{ value: 10.1.1.1 }] }\n`,
    ),
    pod("wp-1", { labels: "gateway.networking.k8s.io/gateway-name: wp" }).replace("---", ""),
    ...["s", "t"].map(
      (backend) =>
        `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r, namespace: shop }\nspec: { parentRefs: [{ group: "", kind: Service, name: s }], rules: [{ backendRefs: [{ name: ${backend}, port: 80 }] }] }\n`,
    ),
    "apiVersion: v1\nkind: Service\nmetadata: { name: t, namespace: shop, labels: { istio.io/use-waypoint: none } }\nspec: { selector: { app: cart }, clusterIP: 10.9.9.9, ports: [{ port: 80 }] }\n",
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: b, namespace: shop }\nspec: { targetRefs: [{ group: '', kind: Service, name: s }], rules: [{ to: [{ operation: { methods: [GET] } }] }] }\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: { name: c, labels: { istio.io/waypoint-for: workload } }\nspec: { controllerName: x }\n",
    ...["shop", "istio-system"].flatMap((namespace) =>
      ["selector: { matchLabels: { app: web } }", "action: DENY, rules: [{}]", "action: AUDIT"].map(
        (spec) =>
          `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: a, namespace: ${namespace} }\nspec: { ${spec} }\n`,
      ),
    ),
    ...["shop", "istio-system"].flatMap((namespace) =>
      [
        "mtls: { mode: STRICT }",
        "mtls: { mode: PERMISSIVE }",
        "selector: { matchLabels: { app: web } }, portLevelMtls: { 80: { mode: PERMISSIVE } }",
      ].map(
        (spec) =>
          `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: m, namespace: ${namespace} }\nspec: { ${spec} }\n`,
      ),
    ),
    ...["workloadSelector: { labels: { app: web } }", "endpoints: [{ address: 192.0.2.5 }]", 'exportTo: ["."]'].flatMap(
      (spec) =>
        ["x", "y"].map(
          (name) =>
            `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { name: ${name}, namespace: shop }\nspec: { hosts: [h.example.com, s.shop.svc.cluster.local], ports: [{ number: 80, name: http }], resolution: STATIC, ${spec} }\n`,
        ),
    ),
    "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: w, namespace: shop }\nspec: { address: 192.0.2.9, labels: { app: web } }\n",
  ].join("\n---\n"),
);

const KEYS = [...new Set(VARIANTS.map(objectKey))];

type Step = { readonly upserted: readonly KubeObject[]; readonly removed: readonly ObjectKey[] };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .subarray([...VARIANTS], { minLength: 1, maxLength: 4 })
      .map((upserted) => ({ upserted, removed: [] })),
  },
  {
    weight: 1,
    arbitrary: fc.subarray(KEYS, { minLength: 1, maxLength: 3 }).map((removed) => ({ upserted: [], removed })),
  },
);

const served = (model: MeshModel): Readonly<Record<string, unknown>> =>
  Object.fromEntries(model.resources().map((resource) => [resourceId(resource), resource.value]));

describe("the incremental model", () => {
  it("has variants of every kind it compiles", () => {
    expect(VARIANTS.length).toBeGreaterThan(40);
  });

  it("after any sequence of changes serves what a model made from scratch serves, and has said so in its deltas", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const model = new MeshModel(MESH);
        const objects = new Map<ObjectKey, KubeObject>();
        const told = new Map<string, unknown>();
        const conditions = new Map<ObjectKey, unknown>();
        for (const each of steps) {
          for (const key of each.removed) objects.delete(key);
          for (const object of each.upserted) objects.set(objectKey(object), object);
          const delta = model.apply(each);
          for (const resource of delta.removed) told.delete(resourceId(resource));
          for (const resource of delta.upserted) told.set(resourceId(resource), resource.value);
          for (const [key, status] of delta.statuses) {
            if (!isSilent(status)) conditions.set(key, status);
            else conditions.delete(key);
          }
        }
        const fresh = new MeshModel(MESH);
        const all = fresh.apply({ upserted: [...objects.values()], removed: [] });
        expect(served(model)).toEqual(served(fresh));
        expect(Object.fromEntries(told)).toEqual(served(fresh));
        expect(Object.fromEntries(conditions)).toEqual(Object.fromEntries([...all.statuses]));
      }),
      { numRuns: 150 },
    );
  });
});
