import { type KubeObject, objectKey, type WaypointRuntime } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { gatewayAddresses, stepGateways } from "./gateways.ts";
import { parsePod } from "./pod.ts";

const RUNTIME: WaypointRuntime = {
  image: "none",
  command: ["sleep", "infinity"],
  controlPlane: "https://172.18.0.1:15012",
  rootCertificate: "/root.pem",
  token: "/token",
  clusterDomain: "cluster.local",
  env: {},
};

const gateway = (more: object = {}, gatewayClassName = "ambit-waypoint"): KubeObject => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { name: "waypoint", namespace: "shop", uid: "g1", ...more },
  spec: { gatewayClassName, listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
});
const step = (...objects: readonly KubeObject[]) => stepGateways(objects, RUNTIME);
const keys = (objects: readonly KubeObject[]): string[] => objects.map(objectKey);
const MADE = ["ServiceAccount/shop/waypoint", "Service/shop/waypoint", "Deployment/shop/waypoint"];

describe("stepGateways", () => {
  it.each(["ambit-waypoint", "istio-waypoint"])("makes what a Gateway of class %s needs", (className) => {
    const made = step(gateway({}, className));
    expect(keys(made.ensure)).toEqual(MADE);
    expect([made.remove, made.problems]).toEqual([[], []]);
  });

  it("leaves Gateways of other classes alone", () => {
    expect(step(gateway({}, "istio")).ensure).toEqual([]);
  });

  it("removes what it made when the Gateway is gone, or is no waypoint any more", () => {
    const { ensure } = step(gateway());
    expect(keys(step(...ensure).remove)).toEqual(MADE);
    expect(keys(step(gateway({}, "istio"), ...ensure).remove)).toEqual(MADE);
    expect(step(gateway(), ...ensure).remove).toEqual([]);
  });

  it("removes what an earlier Gateway of the same name left, before it makes its own", () => {
    const { ensure } = step(gateway());
    const next = step(gateway({ uid: "g2" }), ...ensure);
    expect([keys(next.remove), next.ensure, next.problems]).toEqual([MADE, [], []]);
    expect(keys(step(gateway({ uid: "g2" })).ensure)).toEqual(MADE);
  });

  it("never takes over what somebody else made, and says so", () => {
    const own: KubeObject = { apiVersion: "v1", kind: "Service", metadata: { name: "waypoint", namespace: "shop" } };
    const answer = step(gateway(), own);
    expect(keys(answer.ensure)).toEqual(["ServiceAccount/shop/waypoint", "Deployment/shop/waypoint"]);
    expect(answer.remove).toEqual([]);
    expect(answer.problems).toEqual(["Gateway shop/waypoint: Service shop/waypoint exists and is not its own"]);
  });

  it("does not fight over a name that two Gateways want", () => {
    const other = gateway({ name: "other", uid: "g2", annotations: { "gateway.istio.io/name-override": "waypoint" } });
    const { ensure } = step(gateway(), other);
    expect(ensure.map(({ metadata }) => metadata.ownerReferences?.[0]?.name)).toEqual([
      "waypoint",
      "waypoint",
      "waypoint",
    ]);
    const next = step(other, gateway(), ...ensure);
    expect([keys(next.ensure), next.remove]).toEqual([MADE, []]);
    expect(next.problems).toContain("Gateway shop/other: Deployment shop/waypoint exists and is not its own");
  });

  it("does not touch pods: they belong to the Deployment", () => {
    const pod = {
      ...gateway(),
      kind: "Pod",
      metadata: { ...step(gateway()).ensure[2]?.metadata, name: "p" },
    } as KubeObject;
    expect(step(pod).remove).toEqual([]);
  });
});

describe("gatewayAddresses", () => {
  const service = (): KubeObject => {
    const made = step(gateway()).ensure[1] as KubeObject;
    return { ...made, spec: { ...made.spec, clusterIP: "10.96.1.1", clusterIPs: ["10.96.1.1"] } };
  };
  const pod = (ready: boolean) =>
    parsePod({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "shop", labels: { "gateway.networking.k8s.io/gateway-name": "waypoint" } },
      status: {
        phase: "Running",
        podIPs: [{ ip: "10.1.0.2" }],
        conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      },
    });
  const addresses = (object: KubeObject, services: readonly KubeObject[], ready: boolean) =>
    gatewayAddresses(object, { services, pods: [pod(ready)], clusterDomain: "cluster.local" });
  const EXPECTED = {
    addresses: [
      { type: "IPAddress", value: "10.96.1.1" },
      { type: "Hostname", value: "waypoint.shop.svc.cluster.local" },
    ],
  };

  it("are there once a pod is ready, and are never withdrawn", () => {
    expect(addresses(gateway(), [service()], false)).toBeUndefined();
    expect(addresses(gateway(), [service()], true)).toEqual(EXPECTED);
    expect(addresses({ ...gateway(), status: EXPECTED }, [service()], false)).toEqual(EXPECTED);
  });

  it("are none without a service of the Gateway's own that has an address", () => {
    expect(addresses(gateway(), [], true)).toBeUndefined();
    expect(addresses(gateway({ uid: "g2" }), [service()], true)).toBeUndefined();
    const withoutAddress = step(gateway()).ensure[1] as KubeObject;
    expect(addresses(gateway(), [withoutAddress], true)).toBeUndefined();
  });
});
