import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { SHOP, TestWaypoint, unpacked, vip } from "./test-waypoint.ts";

const meshYaml = (collector: string): string => `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    defaultProviders: { tracing: [spans] }
    extensionProviders: [{ name: spans, opentelemetry: { service: next.shop.svc.cluster.local, port: 80, ${collector} } }]
---
`;

const tracerOf = (collector: string) =>
  unpacked(
    OpenTelemetryConfigSchema,
    new TestWaypoint(SHOP + meshYaml(collector)).http(vip("web")).tracing?.provider?.configType.value,
  );

describe("the collector of spans", () => {
  it("is asked by OTLP/gRPC where the provider says nothing else", () => {
    const tracer = tracerOf("");
    expect(tracer.httpService).toBeUndefined();
    expect(tracer).toMatchObject({
      serviceName: "wp.shop",
      grpcService: {
        targetSpecifier: {
          case: "envoyGrpc",
          value: { clusterName: vip("next"), authority: "next.shop.svc.cluster.local:80" },
        },
      },
    });
  });

  it("is asked by OTLP/HTTP at the provider's path, with its headers", () => {
    const http =
      "http: { path: v1/traces, timeout: 3s, headers: [{ name: x-key, value: k }, { name: ':path', value: / }] }";
    const tracer = tracerOf(http);
    expect(tracer.grpcService).toBeUndefined();
    expect(tracer.httpService).toMatchObject({
      httpUri: {
        uri: "http://next.shop.svc.cluster.local:80/v1/traces",
        httpUpstreamType: { case: "cluster", value: vip("next") },
        timeout: { seconds: 3n },
      },
      requestHeadersToAdd: [{ header: { key: "x-key", value: "k" } }],
    });
    expect(tracer.httpService?.requestHeadersToAdd).toHaveLength(1);
  });

  it("is given the provider's metadata by OTLP/gRPC", () => {
    const tracer = tracerOf(
      "grpc: { timeout: 2s, initialMetadata: [{ name: X-Key, value: 100% }, { name: ':path' }] }",
    );
    expect(tracer.grpcService).toMatchObject({
      timeout: { seconds: 2n },
      initialMetadata: [{ key: "x-key", value: "100%%" }],
    });
    expect(tracer.grpcService?.initialMetadata).toHaveLength(1);
  });
});

describe("tracing", () => {
  const telemetry = (tracing: string, name = "t", namespace = "shop"): string => `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: { name: ${name}, namespace: ${namespace} }
spec: { tracing: [${tracing}] }
---
`;
  const of = (yaml: string, more = "") =>
    new TestWaypoint(SHOP + meshYaml("").replace("defaultProviders", `${more}\n    defaultProviders`) + yaml).http(
      vip("web"),
    ).tracing;

  it("samples one percent, or as MeshConfig or a Telemetry says", () => {
    const defaults =
      "defaultConfig: { tracing: { sampling: 20, maxPathTagLength: 99, customTags: { a: { literal: { value: b } } } } }";
    expect(of("")?.randomSampling).toEqual(expect.objectContaining({ value: 1 }));
    expect(of("", defaults)).toMatchObject({
      randomSampling: { value: 20 },
      maxPathTagLength: 99,
      customTags: [{ tag: "a", type: { case: "literal", value: { value: "b" } } }],
    });
    expect(of(telemetry("{ randomSamplingPercentage: 0.5 }"), defaults)?.randomSampling?.value).toBe(0.5);
  });

  it("is laid over field by field, the waypoint's namespace over the mesh", () => {
    const root = telemetry(
      "{ randomSamplingPercentage: 50, disableSpanReporting: true, customTags: { a: { literal: { value: root } } } }",
      "root",
      "istio-system",
    );
    expect(of(root)).toBeUndefined();
    const own = telemetry(
      "{ disableSpanReporting: false, customTags: { h: { header: { name: X-User, defaultValue: nobody } }, e: { environment: { name: REGION } } } }",
    );
    expect(of(root + own)).toMatchObject({
      randomSampling: { value: 50 },
      customTags: [
        { tag: "a", type: { value: { value: "root" } } },
        { tag: "e", type: { case: "environment", value: { name: "REGION" } } },
        { tag: "h", type: { case: "requestHeader", value: { name: "X-User", defaultValue: "nobody" } } },
      ],
    });
    expect(of(telemetry("{ match: { mode: CLIENT }, disableSpanReporting: true }"))).toBeDefined();
  });

  it.each([
    ["{ providers: [{ name: never }] }", "spec.tracing[0].providers: never has no effect; no such extension provider"],
    ["{ providers: [{ name: spans }, { name: x }] }", "spec.tracing[0].providers: only spans has an effect"],
    ["{ customTags: { x: { header: { name: ':path' } } } }", "customTags.x: has no effect; header.name"],
    ["{ customTags: { x: { formatter: { value: y } } } }", "customTags.x: has no effect; expected literal"],
    ["{ enableIstioTags: false }", "spec.tracing[0].enableIstioTags: has no effect"],
  ])("says what has no effect: %s", (tracing, message) => {
    const waypoint = new TestWaypoint(SHOP + meshYaml("") + telemetry(tracing));
    const [condition] = waypoint.statuses.get("Telemetry/shop/t" as ObjectKey)?.conditions ?? [];
    expect(condition).toMatchObject({ status: "False", message: expect.stringContaining(message) });
  });
});
