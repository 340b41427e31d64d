import { describe, expect, it } from "@jest/globals";
import { SHOP, TestWaypoint } from "../test-waypoint.ts";

const object = (kind: string, spec: string): string =>
  `apiVersion: any.example/v1\nkind: ${kind}\nmetadata: { name: x, namespace: shop }\nspec: ${spec}\n`;

describe("kinds that waypoints do not carry out", () => {
  it.each([
    ["EnvoyFilter", "so what it was to change, limit or refuse is not"],
    ["WasmPlugin", "so what it was to change, limit or refuse is not"],
    ["TrafficExtension", "so what it was to change, limit or refuse is not"],
    ["BackendTLSPolicy", "for TLS to an endpoint use a DestinationRule"],
    ["XBackendTrafficPolicy", "for retries use the route's own fields"],
  ])("%s: its status says so, and what happens instead", (kind, instead) => {
    const mesh = new TestWaypoint(`${SHOP}---\n${object(kind, "{ targetRefs: [{ kind: Service, name: web }] }")}`);
    expect(mesh.conditions.get(`${kind}/shop/x` as never)).toEqual([
      {
        type: "WaypointAccepted",
        status: "False",
        reason: "UnsupportedKind",
        message: expect.stringContaining(`do not carry out any ${kind} (spec.targetRefs: Service web)`),
      },
    ]);
    expect(JSON.stringify(mesh.conditions.get(`${kind}/shop/x` as never))).toContain(instead);
  });

  it("says nothing of kinds that are no business of a mesh", () => {
    const mesh = new TestWaypoint(`${SHOP}---\n${object("ConfigMap", "{}")}`);
    expect(mesh.conditions.get("ConfigMap/shop/x" as never)).toBeUndefined();
  });
});
