import { RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { asJson, routeYaml, SHOP, TestWaypoint, vip } from "../test-waypoint.ts";

const REWRITE = "{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /new } } }";
const REDIRECT = "{ type: RequestRedirect, requestRedirect: { hostname: o.example, statusCode: 301 } }";
const MIRROR = "{ type: RequestMirror, requestMirror: { backendRef: { name: web, port: 80 } } }";
const SET = "{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-a, value: b }] } }";
const PREFIX = "matches: [{ path: { value: /old } }]";

const backend = (filters: string, more = "") => `{ name: next, port: 80, filters: [${filters}]${more} }`;

function compiled(rule: string) {
  const waypoint = new TestWaypoint(SHOP + routeYaml("r", "web", `{ ${rule} }`));
  const [route] = waypoint.routes(vip("web"));
  const conditions = waypoint.statuses.get("HTTPRoute/shop/r" as ObjectKey)?.parents?.[0]?.conditions ?? [];
  return {
    json: asJson(RouteSchema, route as never) as Record<string, Record<string, unknown>>,
    problems: conditions.filter(({ type }) => type === "PartiallyInvalid").map(({ message }) => message),
  };
}

describe("filters of a rule's only backend", () => {
  it("rewrite the path, beside headers of that backend", () => {
    const { json, problems } = compiled(`${PREFIX}, backendRefs: [${backend(`${SET}, ${REWRITE}`)}]`);
    expect(json["route"]?.["regexRewrite"] ?? json["route"]?.["prefixRewrite"]).toBeDefined();
    expect(JSON.stringify(json)).toContain("x-a");
    expect(problems).toEqual([]);
  });

  it("redirect", () => {
    const { json, problems } = compiled(`${PREFIX}, backendRefs: [${backend(REDIRECT)}]`);
    expect(json["redirect"]).toMatchObject({ hostRedirect: "o.example" });
    expect(problems).toEqual([]);
  });

  it("mirror", () => {
    const { json, problems } = compiled(`backendRefs: [${backend(MIRROR)}]`);
    expect(json["route"]?.["requestMirrorPolicies"]).toHaveLength(1);
    expect(problems).toEqual([]);
  });

  it.each([
    ["of several", `backendRefs: [${backend(REWRITE)}, { name: web, port: 80 }]`],
    ["that gets nothing", `backendRefs: [${backend(REDIRECT, ", weight: 0")}]`],
    ["beside one of the rule", `filters: [${REWRITE}], backendRefs: [${backend(REDIRECT)}]`],
  ])("stay where they are for one %s, and the status says what has no effect", (_which, rule) => {
    const { json, problems } = compiled(`${PREFIX}, ${rule}`);
    expect(json["redirect"]).toBeUndefined();
    expect(problems).toEqual([expect.stringContaining("has no effect at a backend")]);
  });
});
