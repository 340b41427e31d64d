import type { KubeObject } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { parsePod } from "./pod.ts";
import { schedulePods } from "./schedule.ts";

const node = (name: string, labels: Record<string, string> = {}, spec = {}): KubeObject => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels },
  spec,
});
const pod = (uid: string, spec: Record<string, unknown> = {}) =>
  parsePod({ apiVersion: "v1", kind: "Pod", metadata: { name: uid, namespace: "a", uid }, spec });
const NODES = [node("node1", { zone: "a" }), node("node2", { zone: "b" })];

describe("schedulePods", () => {
  it("spreads equal pods over the nodes in turn", () => {
    const placed = schedulePods(
      ["a", "b", "c", "d"].map((uid) => pod(uid)),
      NODES,
    );
    expect([...placed.values()]).toEqual(["node1", "node2", "node1", "node2"]);
  });

  it("counts pods that are there already", () => {
    expect(schedulePods([pod("a", { nodeName: "node1" }), pod("b")], NODES).get("b")).toBe("node2");
  });

  it("keeps pods of one Deployment apart, also when the other node has more pods in all", () => {
    const sibling = (uid: string, spec: object = {}) =>
      parsePod({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: uid,
          namespace: "a",
          uid,
          ownerReferences: [{ kind: "ReplicaSet", name: "web-1", controller: true }],
        },
        spec: { ...spec },
      });
    const others = ["x", "y", "z"].map((uid) => pod(uid, { nodeName: "node1" }));
    const placed = schedulePods([...others, sibling("s1", { nodeName: "node2" }), sibling("s2"), sibling("s3")], NODES);
    expect([placed.get("s2"), placed.get("s3")]).toEqual(["node1", "node2"]);
  });

  it("leaves pods that have a node", () => {
    expect(schedulePods([pod("a", { nodeName: "elsewhere" })], NODES).size).toBe(0);
  });

  it.each([
    [{ zone: "b" }, "node2"],
    [{ "kubernetes.io/hostname": "node2" }, "node2"],
    [{ zone: "c" }, undefined],
  ])("obeys the node selector %j", (nodeSelector, expected) => {
    expect(schedulePods([pod("a", { nodeSelector })], NODES).get("a")).toBe(expected);
  });

  it("keeps away from a node that is cordoned", () => {
    const placed = schedulePods([pod("a")], [node("node1", {}, { unschedulable: true }), node("node2")]);
    expect(placed.get("a")).toBe("node2");
  });
});
