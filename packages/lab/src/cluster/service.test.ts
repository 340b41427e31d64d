import type { KubeObject } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { missingDefaults, serviceNeeds, withServiceAddresses } from "./defaults.ts";
import { type Pod, parsePod } from "./pod.ts";
import { endpointsOf, parseService, podsOfService, type ServicePort } from "./service.ts";

const service = (spec: Record<string, unknown>): KubeObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec,
});

function pod(
  name: string,
  change: { ready?: boolean; labels?: Record<string, string>; port?: number; phase?: string } = {},
): Pod {
  const status = change.ready === false ? "False" : "True";
  return parsePod({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", uid: name, labels: change.labels ?? { app: "web" } },
    spec: {
      containers: [{ name: "c", command: ["x"], ports: [{ name: "http", containerPort: change.port ?? 8080 }] }],
    },
    status: {
      phase: change.phase ?? "Running",
      podIPs: [{ ip: "10.1.0.2" }, { ip: "fd00:10:1::2" }],
      conditions: [{ type: "Ready", status }],
    },
  });
}

const SELECTOR = { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] };

describe("podsOfService", () => {
  it.each([
    ["a ready pod", pod("a"), SELECTOR, 1],
    ["no unready pod", pod("a", { ready: false }), SELECTOR, 0],
    [
      "an unready pod when the service publishes those",
      pod("a", { ready: false }),
      { ...SELECTOR, publishNotReadyAddresses: true },
      1,
    ],
    ["no pod of other labels", pod("a", { labels: { app: "x" } }), SELECTOR, 0],
    ["no pod that is over", pod("a", { phase: "Succeeded" }), SELECTOR, 0],
    ["no pod that is being deleted", { ...pod("a"), terminating: true }, SELECTOR, 0],
    ["nothing without a selector", pod("a"), { ports: [] }, 0],
    ["nothing with an empty selector", pod("a"), { selector: {}, ports: [] }, 0],
  ])("has %s", (_label, one, spec, count) => {
    expect(podsOfService(parseService(service(spec)), [one])).toHaveLength(count);
  });
});

describe("endpointsOf", () => {
  const port = parseService(service(SELECTOR)).ports[0] as ServicePort;

  it("resolves a named port on each pod by itself", () => {
    const found = endpointsOf(port, [pod("a"), pod("b", { port: 9090 })], 4);
    expect(found).toEqual([
      { ip: "10.1.0.2", port: 8080 },
      { ip: "10.1.0.2", port: 9090 },
    ]);
  });

  it("keeps address families apart", () => {
    expect(endpointsOf(port, [pod("a")], 6)).toEqual([{ ip: "fd00:10:1::2", port: 8080 }]);
  });

  it("leaves out pods that lack the named port", () => {
    expect(endpointsOf({ ...port, target: "grpc" }, [pod("a")], 4)).toEqual([]);
  });
});

describe("service addresses", () => {
  it.each([
    ["a plain one gets IPv4", {}, { wantsV4: true, wantsV6: false }],
    ["dual stack gets both", { ipFamilyPolicy: "PreferDualStack" }, { wantsV4: true, wantsV6: true }],
    ["IPv6 only gets IPv6", { ipFamilies: ["IPv6"] }, { wantsV4: false, wantsV6: true }],
    [
      "a given address is kept",
      { clusterIP: "10.96.0.20" },
      { wantsV4: false, wantsV6: false, clusterIps: ["10.96.0.20"] },
    ],
  ])("%s", (_label, spec, needs) => {
    expect(serviceNeeds(service(spec))).toMatchObject(needs);
  });

  it.each([{ clusterIP: "None" }, { type: "ExternalName", externalName: "x.example" }])("are not for %j", (spec) => {
    expect(serviceNeeds(service(spec))).toBeUndefined();
  });

  it("are written once and then left alone, with node ports where the type asks for them", () => {
    const before = service({ type: "NodePort", ports: [{ port: 80 }, { port: 81, nodePort: 31000 }] });
    const after = withServiceAddresses(before, ["10.96.1.0"], () => 30000);
    expect(after.spec).toMatchObject({
      clusterIP: "10.96.1.0",
      clusterIPs: ["10.96.1.0"],
      ports: [
        { port: 80, nodePort: 30000 },
        { port: 81, nodePort: 31000 },
      ],
    });
    expect(serviceNeeds(after)).toBeUndefined();
  });
});

describe("missingDefaults", () => {
  it("makes the namespace of an object and its default service account, once", () => {
    const objects = [service({})];
    const made = missingDefaults(objects);
    expect(made.map(({ kind, metadata }) => `${kind}/${metadata.namespace ?? ""}/${metadata.name}`)).toEqual(
      expect.arrayContaining(["Namespace//shop", "ServiceAccount/shop/default", "Namespace//default"]),
    );
    expect(missingDefaults([...objects, ...made])).toEqual([]);
  });
});
