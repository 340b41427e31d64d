import type { KubeObject } from "@ambit/shared/kube";
import type { PodStatus } from "@ambit/shared/lab-client";
import { describe, expect, it } from "@jest/globals";
import { renderWaypointList, renderWaypointStatus } from "../render/waypoints.ts";
import { missingParts, type WaypointState, waypointState } from "./waypoint-state.ts";

const PROGRAMMED = { type: "Programmed", status: "True", reason: "Programmed", message: "", lastTransitionTime: "T1" };
const gateway = (conditions: readonly object[], annotations: Record<string, string> = {}): KubeObject => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { name: "waypoint", namespace: "shop", annotations },
  spec: { gatewayClassName: "ambit-waypoint" },
  status: { conditions, addresses: [{ type: "IPAddress", value: "10.96.1.1" }] },
});
const podObject = (uid: string, namespace = "shop", managed = true): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: uid,
    namespace,
    uid,
    labels: {
      "gateway.networking.k8s.io/gateway-name": "waypoint",
      ...(managed ? { "gateway.istio.io/managed": "istio.io-mesh-controller" } : {}),
    },
  },
});
const podStatus = (uid: string, change: Partial<PodStatus> = {}): PodStatus => ({
  namespace: "shop",
  name: uid,
  node: "node1",
  ip: "10.1.0.9",
  uid,
  phase: "Running",
  ready: true,
  enrolled: false,
  restarts: 0,
  pid: 1,
  ...change,
});
const stateOf = (
  object: KubeObject,
  objects: readonly KubeObject[] = [podObject("a")],
  pods = [podStatus("a")],
): WaypointState => waypointState(object, objects, pods);

describe("waypointState", () => {
  it("counts the pods made for the Gateway and no others", () => {
    const objects = [podObject("a"), podObject("b", "elsewhere"), podObject("c", "shop", false)];
    const pods = ["a", "b", "c"].map((uid) => podStatus(uid));
    expect(stateOf(gateway([]), objects, pods).pods.map(({ name }) => name)).toEqual(["a"]);
  });

  it("does not count a pod on its way out", () => {
    expect(stateOf(gateway([]), undefined, [podStatus("a", { phase: "Terminating" })]).pods).toEqual([]);
  });
});

describe("missingParts", () => {
  it("is nothing once it is programmed and its pods are ready", () => {
    expect(missingParts(stateOf(gateway([PROGRAMMED])))).toEqual([]);
  });

  it.each([
    ["nobody has looked", gateway([]), undefined, /no condition Programmed/],
    [
      "it is not programmed",
      gateway([{ ...PROGRAMMED, status: "False", reason: "AddressNotUsable", message: "no endpoint" }]),
      undefined,
      /AddressNotUsable: no endpoint/,
    ],
    ["a pod is not ready", gateway([PROGRAMMED]), [podStatus("a", { ready: false })], /0 of 1 pods/],
    ["a pod is missing", gateway([PROGRAMMED], { "ambit.io/replicas": "3" }), undefined, /1 of 3 pods/],
  ])("says that %s", (_what, object, pods, expected) => {
    const parts = missingParts(stateOf(object, undefined, pods));
    expect(parts).toHaveLength(1);
    expect(parts[0]).toMatch(expected);
  });
});

describe("tables", () => {
  it("list as istioctl does, with the namespace when there may be several", () => {
    expect(renderWaypointList([stateOf(gateway([PROGRAMMED]))], true)).toBe(
      "NAMESPACE  NAME      REVISION  TRAFFIC TYPE  PROGRAMMED  READY\nshop       waypoint  default   service       True        1/1\n",
    );
    expect(renderWaypointList([], false)).toBe("no waypoints found\n");
  });

  it("show conditions with the time since which they hold, and pods", () => {
    const text = renderWaypointStatus([stateOf(gateway([PROGRAMMED]))]);
    expect(text).toMatch(/shop +waypoint +Programmed +True +T1 +Programmed/);
    expect(text).toMatch(/shop +waypoint +a +ready +0 +node1 +10\.1\.0\.9/);
  });
});
