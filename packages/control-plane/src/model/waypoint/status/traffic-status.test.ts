import { describe, expect, it } from "@jest/globals";
import { SHOP, TestWaypoint } from "../test-waypoint.ts";

const virtualService = (spec: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v, namespace: shop }\nspec: ${spec}\n`;

describe("the status of a VirtualService", () => {
  const conditions = (spec: string) =>
    new TestWaypoint(`${SHOP}---\n${virtualService(spec)}`).conditions.get("VirtualService/shop/v" as never);

  it("says when nobody has its host, which is how a misspelt one looks", () => {
    expect(conditions("{ hosts: [wbe], http: [{ route: [{ destination: { host: web } }] }] }")).toMatchObject([
      {
        type: "Accepted",
        status: "False",
        reason: "HostNotFound",
        message: expect.stringContaining("spec.hosts wbe:"),
      },
    ]);
    expect(conditions("{ hosts: [web], http: [{ route: [{ destination: { host: web } }] }] }")).toMatchObject([
      { type: "Accepted", status: "True" },
    ]);
  });

  it("says nothing of one that is for gateways only", () => {
    expect(
      conditions("{ hosts: [wbe], gateways: [ingress], http: [{ route: [{ destination: { host: web } }] }] }"),
    ).toBe(undefined);
  });
});
