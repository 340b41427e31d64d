import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
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
});
