import { NodeSchema } from "@ambit/shared/proto";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import { checkNode } from "./check-node.ts";

const ID = "ztunnel~10.0.0.1~zt-1.istio-system~istio-system.svc.cluster.local";

describe("checkNode", () => {
  it.each([
    ["a ztunnel on the token's node", { id: ID, metadata: { NODE_NAME: "node1", NAMESPACE: "istio-system" } }, true],
    ["a ztunnel outside a cluster", { id: "ztunnel~1.1.1.1~.~.svc.cluster.local", metadata: { NAMESPACE: "" } }, true],
    ["nobody in particular", {}, true],
    ["another node", { id: ID, metadata: { NODE_NAME: "node2" } }, false],
    ["another namespace", { id: ID, metadata: { NAMESPACE: "shop" } }, false],
    ["an id that is none", { id: "me" }, false],
  ])("a client that says it is %s: %#", (_what, init, agrees) => {
    expect(checkNode(create(NodeSchema, init), { kind: "node", node: "node1" }).ok).toBe(agrees);
  });

  const waypoint = { kind: "workload", namespace: "shop", serviceAccount: "wp", pod: "wp-1" } as const;
  it.each([
    ["itself", { id: "waypoint~10.0.0.1~wp-1.shop~shop.svc.cluster.local", metadata: { NAMESPACE: "shop" } }, true],
    ["of its account", { metadata: { NAMESPACE: "shop", SERVICE_ACCOUNT: "wp" } }, true],
    ["of another account", { metadata: { SERVICE_ACCOUNT: "web" } }, false],
    ["of another namespace", { metadata: { NAMESPACE: "bank" } }, false],
    ["another pod", { id: "waypoint~10.0.0.1~wp-2.shop~shop.svc.cluster.local" }, false],
  ])("a pod that says it is %s: %#", (_what, init, agrees) => {
    expect(checkNode(create(NodeSchema, init), waypoint).ok).toBe(agrees);
  });
});
