import { TypedStructSchema } from "@ambit/envoy-api/udpa/type/v1/typed_struct";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { SHOP, serviceYaml, TestWaypoint, unpacked, vip } from "./test-waypoint.ts";

const telemetry = (name: string, metrics: string, more: { namespace?: string; target?: string } = {}): string => `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: { name: ${name}, namespace: ${more.namespace ?? "shop"} }
spec: { ${more.target ?? ""} metrics: [${metrics}] }
---
`;
const TO_WEB = 'targetRefs: [{ group: "", kind: Service, name: web }],';

function statsOf(waypoint: TestWaypoint, service = "web") {
  const found = waypoint.http(vip(service)).httpFilters.find(({ name }) => name === "istio.stats");
  if (found === undefined) return undefined;
  expect(found.isOptional).toBe(true);
  const { typeUrl, value } = unpacked(
    TypedStructSchema,
    found.configType.case === "typedConfig" ? found.configType.value : undefined,
  );
  expect(typeUrl).toBe("type.googleapis.com/stats.PluginConfig");
  return value;
}

describe("metric overrides", () => {
  it("are not there unless somebody asks", () => {
    expect(statsOf(new TestWaypoint(SHOP))).toBeUndefined();
    expect(
      statsOf(new TestWaypoint(SHOP + telemetry("none", "{ providers: [{ name: prometheus }] }"))),
    ).toBeUndefined();
  });

  it("reach the chain as istiod says them: labels, removed labels, dropped metrics", () => {
    const overrides = `{ overrides: [
      { match: { metric: REQUEST_COUNT, mode: SERVER }, tagOverrides: { host: { value: request.host }, source_app: { operation: REMOVE } } },
      { match: { metric: REQUEST_SIZE }, disabled: true },
      { match: { metric: RESPONSE_SIZE, mode: CLIENT }, disabled: true } ] }`;
    expect(statsOf(new TestWaypoint(SHOP + telemetry("tags", overrides)))).toEqual({
      disable_host_header_fallback: true,
      reporter: "SERVER_GATEWAY",
      metrics: [
        { name: "request_bytes", drop: true },
        { name: "requests_total", dimensions: { host: "request.host" }, tags_to_remove: ["source_app"] },
      ],
    });
  });

  it("of the service come on top of the namespace's and the mesh's, tag by tag", () => {
    const mesh = telemetry(
      "mesh",
      "{ overrides: [{ disabled: true }, { match: { metric: REQUEST_COUNT }, tagOverrides: { a: { value: request.host }, b: { value: request.path } } }] }",
      { namespace: "istio-system" },
    );
    const own = telemetry(
      "own",
      "{ overrides: [{ match: { metric: REQUEST_COUNT }, disabled: false, tagOverrides: { b: { operation: REMOVE } } }] }",
      { target: TO_WEB },
    );
    const waypoint = new TestWaypoint(SHOP + mesh + own);
    const of = (service: string) =>
      ((statsOf(waypoint, service)?.["metrics"] ?? []) as { name: string }[]).find(
        ({ name }) => name === "requests_total",
      );
    expect(of("web")).toEqual({ name: "requests_total", dimensions: { a: "request.host" }, tags_to_remove: ["b"] });
    expect(of("next")).toEqual({
      name: "requests_total",
      drop: true,
      dimensions: { a: "request.host", b: "request.path" },
    });
  });

  it("of TCP are metadata of the chain, which any Envoy takes", () => {
    const database = serviceYaml("db", "10.96.0.7", { ports: "{ name: tcp, port: 5432 }" });
    const dropped = telemetry("tcp", "{ overrides: [{ match: { metric: TCP_SENT_BYTES }, disabled: true }] }");
    const chain = new TestWaypoint(SHOP + database + dropped).chain(vip("db", 5432, "tcp"));
    expect(chain.metadata?.filterMetadata["istio.stats"]).toMatchObject({
      metrics: [{ name: "tcp_sent_bytes_total", drop: true }],
    });
    expect(chain.filters.map(({ name }) => name)).not.toContain("istio.stats");
  });

  it.each([
    ["{ providers: [{ name: stackdriver }] }", "spec.metrics[0].providers: has no effect"],
    ["{ overrides: [{ match: { customMetric: mine } }] }", "spec.metrics[0].overrides[0].match.customMetric"],
    ["{ overrides: [{ match: { metric: REQUESTS } }] }", "overrides[0].match.metric: expected one of Istio's metrics"],
    ["{ overrides: [{ match: { mode: BOTH } }] }", "overrides[0].match.mode: expected CLIENT_AND_SERVER"],
    ["{ reportingInterval: 1s }", "spec.metrics[0].reportingInterval: has no effect"],
    [
      "{ overrides: [{ tagOverrides: { x: { value: request.nothing } } }] }",
      "overrides[0].tagOverrides.x.value: has no effect; unknown attribute request.nothing",
    ],
    ["{ overrides: [{ tagOverrides: { 'a-b': { value: request.path } } }] }", "tagOverrides.a-b: has no effect"],
  ])("that cannot be obeyed are in the status: %s", (metrics, message) => {
    const waypoint = new TestWaypoint(SHOP + telemetry("bad", metrics, { target: TO_WEB }));
    expect(waypoint.statuses.get("Telemetry/shop/bad" as ObjectKey)?.conditions[0]).toMatchObject({
      type: "WaypointAccepted",
      status: "False",
      reason: "PartiallyInvalid",
      message: expect.stringContaining(message),
    });
  });

  it("that are obeyed are accepted", () => {
    const good = telemetry("good", "{ overrides: [{ disabled: true }] }", { target: TO_WEB });
    expect(new TestWaypoint(SHOP + good).statuses.get("Telemetry/shop/good" as ObjectKey)?.conditions[0]).toMatchObject(
      {
        status: "True",
      },
    );
    const wide = telemetry("wide", "{ overrides: [{ disabled: true }] }");
    expect(new TestWaypoint(SHOP + wide).statuses.get("Telemetry/shop/wide" as ObjectKey)?.conditions[0]).toMatchObject(
      {
        status: "True",
        message: "holds for the waypoints of shop",
      },
    );
  });
});
