import { describe, expect, it } from "@jest/globals";
import { authorizeIdentity } from "./check-request.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const restriction = {
  trustDomain: "cluster.local",
  hasPod: (node: string, namespace: string, account: string) => `${node}/${namespace}/${account}` === "node1/shop/web",
};

describe("authorizeIdentity", () => {
  it("lets a node have the identity of a pod that runs on it", () => {
    expect(authorizeIdentity("node1", WEB, restriction)).toMatchObject({
      ok: true,
      value: { node: "node1", uri: WEB },
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
  ])("refuses %s, saying why", (_, node, requested, reason) => {
    const result = authorizeIdentity(node, requested, restriction);
    expect(result).toEqual({ ok: false, error: expect.stringContaining(reason) });
  });
});
