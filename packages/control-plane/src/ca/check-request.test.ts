import { describe, expect, it } from "@jest/globals";
import { authorizeIdentity } from "./check-request.ts";
import type { Caller } from "./join-tokens.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const restriction = {
  trustDomain: "cluster.local",
  hasPod: (node: string, namespace: string, account: string) => `${node}/${namespace}/${account}` === "node1/shop/web",
  isRunning: (namespace: string, pod: string, account: string) => `${namespace}/${pod}/${account}` === "shop/wp-1/wp",
};
const node = (name: string): Caller => ({ kind: "node", node: name });
const pod = (name: string): Caller => ({ kind: "workload", namespace: "shop", serviceAccount: "wp", pod: name });
const WP = "spiffe://cluster.local/ns/shop/sa/wp";

describe("authorizeIdentity", () => {
  it("lets a node have the identity of a pod that runs on it", () => {
    expect(authorizeIdentity(node("node1"), WEB, restriction)).toMatchObject({
      ok: true,
      value: { caller: node("node1"), uri: WEB },
    });
  });

  it.each([
    ["case 14: a pod of another node", "node2", WEB, "no running pod of service account shop/web is on node node2"],
    ["another account", "node1", "spiffe://cluster.local/ns/shop/sa/cart", "shop/cart"],
    ["another namespace", "node1", "spiffe://cluster.local/ns/bank/sa/web", "bank/web"],
    [
      "another trust domain",
      "node1",
      "spiffe://other.example/ns/shop/sa/web",
      "trust domain cluster.local, got other.example",
    ],
    ["a malformed identity", "node1", `${WEB}/`, "expected spiffe://"],
    ["an escaped identity", "node1", "spiffe://cluster.local/ns/shop/sa/we%62", "expected spiffe://"],
    ["no identity", "node1", "", "expected spiffe://"],
  ])("refuses %s, saying why", (_, name, requested, reason) => {
    const result = authorizeIdentity(node(name), requested, restriction);
    expect(result).toEqual({ ok: false, error: expect.stringContaining(reason) });
  });

  it.each([
    ["without asking for one", undefined],
    ["asking for it by name", WP],
  ])("lets a pod have its own identity, %s", (_, requested) => {
    expect(authorizeIdentity(pod("wp-1"), requested, restriction)).toMatchObject({ ok: true, value: { uri: WP } });
  });

  it.each([
    ["another identity of its namespace", "wp-1", WEB, "not for shop/web"],
    ["its identity once the pod is gone", "wp-0", undefined, "no running pod shop/wp-0"],
    ["its identity in another trust domain", "wp-1", "spiffe://other.example/ns/shop/sa/wp", "trust domain"],
  ])("case 12: refuses a pod %s", (_, name, requested, reason) => {
    const result = authorizeIdentity(pod(name), requested, restriction);
    expect(result).toEqual({ ok: false, error: expect.stringContaining(reason) });
  });
});
