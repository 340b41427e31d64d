import { FileAccessLogSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import { ExpressionFilterSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/filters/cel/v3/cel";
import { HttpGrpcAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/grpc/v3/als";
import { OpenTelemetryAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/open_telemetry/v3/logs_service";
import { TcpProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { SHOP, serviceYaml, TestWaypoint, unpacked, vip } from "./test-waypoint.ts";

const SERVICE = "service: next.shop.svc.cluster.local, port: 80";
const mesh = (more = ""): string => `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    extensionProviders:
    - { name: file, envoyFileAccessLog: { path: /dev/stdout, logFormat: { text: "%PROTOCOL%" } } }
    - { name: als, envoyHttpAls: { ${SERVICE}, logName: mine, additionalRequestHeadersToLog: [x-a] } }
    - { name: tcp, envoyTcpAls: { ${SERVICE} } }
    - { name: otel, envoyOtelAls: { ${SERVICE}, logFormat: { text: "%PROTOCOL%", labels: { code: "%RESPONSE_CODE%" } } } }
    - { name: lost, envoyOtelAls: { service: nowhere.shop.svc.cluster.local, port: 80 } }
    - { name: spans, opentelemetry: { ${SERVICE} } }
    ${more}
---
`;
const telemetry = (accessLogging: string, name = "logs", namespace = "shop"): string => `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: { name: ${name}, namespace: ${namespace} }
spec: { accessLogging: [${accessLogging}] }
---
`;
const DATABASE = serviceYaml("db", "10.96.0.7", { ports: "{ name: tcp, port: 5432 }" });

function logsOf(yaml: string) {
  return new TestWaypoint(SHOP + yaml).http(vip("web")).accessLog;
}
const namesOf = (yaml: string) => logsOf(yaml).map(({ name }) => name.slice("envoy.access_loggers.".length));
const typed = (config: { readonly value?: unknown } | undefined) => config?.value as never;

describe("access logs", () => {
  it.each<[string, string, readonly string[]]>([
    ["go to standard output where nobody says otherwise", "", ["file"]],
    ["are off where MeshConfig says so", mesh("accessLogFile: ''"), []],
    [
      "go to the defaults of MeshConfig",
      mesh("defaultProviders: { accessLogging: [als, otel] }"),
      ["http_grpc", "open_telemetry"],
    ],
    ["go where a Telemetry says", mesh() + telemetry("{ providers: [{ name: otel }] }"), ["open_telemetry"]],
    [
      "of one object are all its entries",
      mesh() + telemetry("{ providers: [{ name: otel }] }, { providers: [{ name: file }] }"),
      ["open_telemetry", "file"],
    ],
    ["are turned off altogether", mesh() + telemetry("{ disabled: true }"), []],
    [
      "are turned off one by one",
      mesh("defaultProviders: { accessLogging: [als, otel] }") +
        telemetry("{ providers: [{ name: als }], disabled: true }"),
      ["open_telemetry"],
    ],
    [
      "turned off by the mesh are turned on by a namespace",
      telemetry("{ disabled: true }", "mesh", "istio-system") + telemetry("{ providers: [{ name: envoy }] }"),
      ["file"],
    ],
    ["of clients are not ours", mesh() + telemetry("{ match: { mode: CLIENT }, disabled: true }"), ["file"]],
    ["to nowhere are none", mesh() + telemetry("{ providers: [{ name: lost }] }"), []],
  ])("%s", (_, yaml, wanted) => {
    expect(namesOf(yaml)).toEqual(wanted);
  });

  it("carry the settings of their providers", () => {
    const [als, otel] = logsOf(mesh("defaultProviders: { accessLogging: [als, otel] }"));
    const grpcService = { targetSpecifier: { case: "envoyGrpc", value: { clusterName: vip("next") } } };
    expect(unpacked(HttpGrpcAccessLogConfigSchema, typed(als?.configType))).toMatchObject({
      commonConfig: { logName: "mine", grpcService },
      additionalRequestHeadersToLog: ["x-a"],
    });
    expect(unpacked(OpenTelemetryAccessLogConfigSchema, typed(otel?.configType))).toMatchObject({
      commonConfig: { logName: "otel_envoy_accesslog", grpcService },
      disableBuiltinLabels: true,
      body: { value: { value: "%PROTOCOL%" } },
      attributes: { values: [{ key: "code", value: { value: { value: "%RESPONSE_CODE%" } } }] },
    });
  });

  it("of TCP go to the services that take TCP", () => {
    const providers = "defaultProviders: { accessLogging: [als, tcp, otel] }";
    const chain = new TestWaypoint(SHOP + DATABASE + mesh(providers)).chain(vip("db", 5432, "tcp"));
    const { accessLog } = unpacked(TcpProxySchema, typed(chain.filters.at(-1)?.configType));
    expect(accessLog.map(({ name }) => name)).toEqual([
      "envoy.access_loggers.tcp_grpc",
      "envoy.access_loggers.open_telemetry",
    ]);
  });

  it("are filtered by an expression, of the object or of one over it", () => {
    const filtered = telemetry("{ filter: { expression: 'response.code >= 400' } }");
    for (const yaml of [filtered, telemetry("{ providers: [{ name: envoy }] }", "mesh", "istio-system") + filtered]) {
      const [file] = logsOf(yaml);
      const filter = file?.filter?.filterSpecifier;
      if (filter?.case !== "extensionFilter") throw new Error(`expected CEL, got ${filter?.case}`);
      expect(unpacked(ExpressionFilterSchema, typed(filter.value.configType)).expression).toBe("response.code >= 400");
      expect(unpacked(FileAccessLogSchema, typed(file?.configType)).path).toBe("/dev/stdout");
    }
  });

  it.each([
    [
      "{ filter: { expression: 'response.code' } }",
      "spec.accessLogging[0].filter.expression: has no effect; expected bool",
    ],
    ["{ filter: { expression: 'x.y == 1' } }", "unknown attribute x.y"],
    [
      "{ providers: [{ name: never }] }",
      "spec.accessLogging[0].providers: never has no effect; no such extension provider",
    ],
    ["{ providers: [{ name: lost }] }", "envoyOtelAls.service: there is no such service or port"],
    ["{ providers: [{ name: spans }] }", "expected a provider of access logs"],
  ])("say what has no effect: %s", (entry, message) => {
    const waypoint = new TestWaypoint(SHOP + mesh() + telemetry(entry));
    const [condition] = waypoint.statuses.get("Telemetry/shop/logs" as ObjectKey)?.conditions ?? [];
    expect(condition).toMatchObject({ status: "False", message: expect.stringContaining(message) });
    // A filter that is not understood keeps nothing back.
    for (const log of waypoint.http(vip("web")).accessLog) expect(log.filter).toBeUndefined();
  });
});
