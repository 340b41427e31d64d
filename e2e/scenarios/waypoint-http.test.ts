/** What a namespace gets from its waypoint: routes, policies, tokens, retries, and that changes of them lose nothing. */

import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { consumerRouteTests } from "../layer7/consumer-routes.ts";
import { httpScenarios } from "../layer7/http-scenarios.ts";
import { httpRoute, policy, toService } from "../layer7/objects.ts";
import { layer7World, MANIFEST, seenIn } from "../layer7/world.ts";

(canRunLab ? describe : describe.skip)("layer 7 through a waypoint (needs root and network namespaces)", () => {
  const world = layer7World(useLab([MANIFEST]));
  const { apply, get, statusBecomes } = world;

  beforeAll(async () => {
    world.applyWaypoint("--wait");
    await statusBecomes(200, "/ready");
  }, 150_000);
  afterEach(() => world.cleanUp(), 60_000);

  it("passes requests on, says who it is and carries a trace along", async () => {
    const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const answer = await get("/hello?a=b", `traceparent: ${trace}`, "x-forwarded-client-cert: spoofed");
    const seen = seenIn(answer);
    expect(seen).toMatchObject({ pod: "web", method: "GET", path: "/hello?a=b" });
    expect(seen.headers["traceparent"]).toContain("4bf92f3577b34da6a3ce929d0e0e4736");
    expect(seen.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen.headers["x-forwarded-client-cert"]).toBeUndefined();
    expect(answer.headers?.["x-envoy-upstream-service-time"]).toMatch(/^\d+$/);
  });

  httpScenarios(world);
  consumerRouteTests(world);

  it("names the policy that refused", async () => {
    const rules = (path: string) => [{ to: [{ operation: { paths: [path] } }] }];
    await apply(
      policy("web-reads", { targetRefs: toService("web"), action: "ALLOW", rules: rules("/public/*") }),
      policy("web-no-secret", { targetRefs: toService("web"), action: "DENY", rules: rules("/public/secret") }),
    );
    const refused = await statusBecomes(403, "/private");
    expect(refused.headers?.["x-ambit-reason"]).toBe("POLICY_NOT_ALLOWED");
    const denied = await statusBecomes(403, "/public/secret");
    expect(denied.headers?.["x-ambit-reason"]).toBe("POLICY_DENIED app/web-no-secret");
  });

  it("guards one rule of a route beside what guards its service", async () => {
    const rule = (name: string, path: string) => ({
      name,
      matches: [{ path: { type: "PathPrefix", value: path } }],
      backendRefs: [{ name: "web", port: 80 }],
    });
    await apply(
      httpRoute([rule("admin", "/admin"), rule("rest", "/")]),
      policy("no-admin", {
        targetRefs: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "web", sectionName: "admin" }],
        action: "DENY",
        rules: [{ to: [{ operation: { methods: ["GET"] } }] }],
      }),
      policy("no-secret", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [{ to: [{ operation: { paths: ["/admin/secret", "/secret"] } }] }],
      }),
    );
    const refused = await statusBecomes(403, "/admin/page");
    expect(refused.headers?.["x-ambit-reason"]).toBe("POLICY_DENIED app/no-admin");
    expect((await get("/page")).status).toBe(200);
    const secret = await statusBecomes(403, "/secret");
    expect(secret.headers?.["x-ambit-reason"]).toBe("POLICY_DENIED app/no-secret");
  });
});
