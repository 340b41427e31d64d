import { formatYaml, parseKubeFile } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { parseReplicas, parseTrafficType, waypointGateway } from "./gateway-object.ts";

describe("waypointGateway", () => {
  it("is one HBONE listener of our class and nothing else, unless something was asked for", () => {
    expect(waypointGateway({ namespace: "shop", name: "waypoint" })).toEqual({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "waypoint", namespace: "shop" },
      spec: { gatewayClassName: "ambit-waypoint", listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
    });
  });

  it("carries type, revision, replicas and class", () => {
    const gateway = waypointGateway({
      namespace: "shop",
      name: "front",
      className: "istio-waypoint",
      trafficType: "all",
      replicas: 0,
      revision: "canary",
    });
    expect(gateway).toMatchObject({
      metadata: {
        labels: { "istio.io/waypoint-for": "all", "istio.io/rev": "canary" },
        annotations: { "ambit.io/replicas": "0" },
      },
      spec: { gatewayClassName: "istio-waypoint" },
    });
  });

  it("is not named none, which means no waypoint", () => {
    expect(() => waypointGateway({ namespace: "shop", name: "none" })).toThrow(/no waypoint at all/);
  });

  it("is YAML that reads back as itself", () => {
    const gateway = waypointGateway({ namespace: "shop", name: "w", trafficType: "none", replicas: 3 });
    const { objects, problems } = parseKubeFile("generated.yaml", formatYaml(gateway));
    expect([objects.map(({ object }) => object), problems]).toEqual([[gateway], []]);
  });
});

describe("parseReplicas", () => {
  it.each([
    ["0", 0],
    ["100", 100],
    ["101", undefined],
    ["-1", undefined],
    ["1.5", undefined],
    ["", undefined],
  ])("reads %p as %p", (text, expected) => {
    expect(parseReplicas(text)).toBe(expected);
  });
});

describe("parseTrafficType", () => {
  it("knows Istio's four", () => {
    expect(["service", "workload", "all", "none", "Service", ""].map(parseTrafficType)).toEqual([
      "service",
      "workload",
      "all",
      "none",
      undefined,
      undefined,
    ]);
  });
});
