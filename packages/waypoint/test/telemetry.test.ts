/** What is told of traffic, as the configuration of a chain asks for it: over real sockets, from xDS to what is seen. */
import { createServer } from "node:http";
import type { GrpcServiceSchema } from "@ambit/envoy-api/envoy/config/core/v3/grpc_service";
import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import { HTTPAccessLogEntry_HTTPVersion as HttpVersion } from "@ambit/envoy-api/envoy/data/accesslog/v3/accesslog";
import { ExpressionFilterSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/filters/cel/v3/cel";
import { HttpGrpcAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/grpc/v3/als";
import { OpenTelemetryAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/open_telemetry/v3/logs_service";
import { StreamAccessLogsMessageSchema } from "@ambit/envoy-api/envoy/service/accesslog/v3/als";
import { eventually } from "@ambit/testing/eventually";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, expect, it } from "@jest/globals";
import { listen } from "./http-ends.ts";
import { startGrpcCollector, startHttpCollector } from "./otlp-collector.ts";
import { clusterAt, type ServedConfig, ServedWaypoint } from "./served-waypoint.ts";
import { Cleanup } from "./transport-fixtures.ts";
import { httpChain, httpFilter, pack, struct, toCluster } from "./xds-builders.ts";

const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Answers with the status that the path says. */
async function application(): Promise<number> {
  const server = createServer(({ url = "" }, response) => {
    response.writeHead(Number(/\d{3}/.exec(url)?.[0] ?? 200)).end("hello");
  });
  cleanup.add(() => void server.close());
  return listen(server);
}

it("counts with the labels that the configuration of metrics asks for", async () => {
  const stats = struct("stats.PluginConfig", {
    metrics: [
      { name: "requests_total", dimensions: { shop: "request.headers['x-shop']" }, tags_to_remove: ["source_app"] },
      { name: "request_bytes", drop: true },
    ],
  });
  const chain = httpChain(CART, [toCluster(CART)], [httpFilter("istio.stats", stats, { isOptional: true })]);
  const waypoint = await ServedWaypoint.start({ ...clusterAt(CART, await application()), chain }, cleanup);
  expect(await waypoint.request("/", "x-shop: north")).toMatch(/^HTTP\/1.1 200/);
  const [line] = await eventually("the request is counted", async () => {
    const lines = await waypoint.metric("istio_requests_total{");
    return lines.length > 0 && lines;
  });
  expect(line).toMatch(/source_app="",/);
  expect(line).toMatch(/shop="north"\} 1$/);
  expect(await waypoint.metric("istio_request_bytes_count")).toEqual([]);
  expect(await waypoint.metric("istio_response_bytes_count")).toHaveLength(1);
});

const COLLECTOR = "outbound|4317||otel.obs.svc.cluster.local";
type ManagerInit = NonNullable<Parameters<typeof httpChain>[3]>;

/** A service, and a collector of what is told of it. */
async function told(collectorPort: number, manager: ManagerInit): Promise<ServedWaypoint> {
  const [cart, collector] = [clusterAt(CART, await application()), clusterAt(COLLECTOR, collectorPort)];
  const config: ServedConfig = {
    clusters: [...cart.clusters, ...collector.clusters],
    endpoints: [...cart.endpoints, ...collector.endpoints],
    chain: httpChain(CART, [toCluster(CART)], [], manager),
  };
  return ServedWaypoint.start(config, cleanup);
}

const grpcService: MessageInitShape<typeof GrpcServiceSchema> = {
  targetSpecifier: { case: "envoyGrpc", value: { clusterName: COLLECTOR, authority: "otel.obs:4317" } },
  initialMetadata: [{ key: "x-key", value: "k" }],
};
const commonConfig = { logName: "mine", grpcService };
const onlyErrors = {
  filterSpecifier: {
    case: "extensionFilter",
    value: {
      name: "cel",
      configType: {
        case: "typedConfig",
        value: pack(ExpressionFilterSchema, { expression: "response.code >= 400" }),
      },
    },
  },
} as const;
const text = (value: string) => ({ value: { case: "stringValue", value } }) as const;

it("sends the records that the filter lets through to an OpenTelemetry collector, with its metadata", async () => {
  await using collector = await startGrpcCollector();
  const value = pack(OpenTelemetryAccessLogConfigSchema, {
    commonConfig,
    body: text("%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%"),
    attributes: { values: [{ key: "who", value: text("%DOWNSTREAM_PEER_URI_SAN%") }] },
  });
  const waypoint = await told(Number(collector.url.port), {
    accessLog: [{ name: "otel", filter: onlyErrors, configType: { case: "typedConfig", value } }],
  });
  await waypoint.request("/200");
  await waypoint.request("/503");
  const [message] = await eventually("a batch", () => collector.received.length > 0 && collector.received);
  const shown = String(message);
  expect(shown).toContain("GET /503 503");
  expect(shown).not.toContain("/200");
  expect(shown).toContain("spiffe://cluster.local/ns/shop/sa/web");
  expect(collector.metadata[0]).toMatchObject({ "x-key": "k" });
  await eventually("it is counted", async () =>
    (await waypoint.metric("ambit_waypoint_logs_exported_total")).includes("ambit_waypoint_logs_exported_total 1"),
  );
  expect(collector.received).toHaveLength(1);
});

it("sends records to an access log service, headers as the configuration names them", async () => {
  await using collector = await startGrpcCollector();
  const value = pack(HttpGrpcAccessLogConfigSchema, {
    commonConfig,
    additionalRequestHeadersToLog: ["X-Shop", "Cookie"],
  });
  const waypoint = await told(Number(collector.url.port), {
    accessLog: [{ name: "als", configType: { case: "typedConfig", value } }],
  });
  await waypoint.request("/404?a=b", "x-shop: north", "cookie: secret");
  const [message] = await eventually("a batch", () => collector.received.length > 0 && collector.received);
  const { identifier, logEntries } = fromBinary(StreamAccessLogsMessageSchema, message ?? Buffer.alloc(0));
  expect(identifier).toMatchObject({ logName: "mine", node: { id: "waypoint-1.shop" } });
  if (logEntries.case !== "httpLogs") throw new Error(`expected entries of HTTP, got ${logEntries.case}`);
  expect(logEntries.value.logEntry).toMatchObject([
    {
      protocolVersion: HttpVersion.HTTP11,
      request: {
        path: "/404?a=b",
        authority: "cart",
        requestHeaders: { "x-shop": "north", cookie: "<redacted>" },
      },
      response: { responseCode: 404 },
      commonProperties: { upstreamCluster: CART },
    },
  ]);
});

it("counts the records that no collector took", async () => {
  await using collector = await startGrpcCollector();
  // UNIMPLEMENTED: not to be tried again.
  collector.statuses.push(12);
  const value = pack(OpenTelemetryAccessLogConfigSchema, { commonConfig });
  const waypoint = await told(Number(collector.url.port), {
    accessLog: [{ name: "otel", configType: { case: "typedConfig", value } }],
  });
  await waypoint.request("/200");
  await eventually("it is counted", async () =>
    (await waypoint.metric("ambit_waypoint_logs_dropped_total")).includes("ambit_waypoint_logs_dropped_total 1"),
  );
});

it("exports spans with the headers of the provider, by HTTP and by gRPC", async () => {
  await using byHttp = await startHttpCollector();
  await using byGrpc = await startGrpcCollector();
  const tracing = (provider: Parameters<typeof pack<typeof OpenTelemetryConfigSchema>>[1]): ManagerInit => ({
    tracing: {
      randomSampling: { value: 100 },
      provider: {
        name: "otel",
        configType: { case: "typedConfig", value: pack(OpenTelemetryConfigSchema, provider) },
      },
    },
  });
  const header = (key: string, value: string) => ({ header: { key, value } });
  const httpService = {
    httpUri: { uri: "http://otel.obs/v1/traces", httpUpstreamType: { case: "cluster", value: COLLECTOR } } as const,
    requestHeadersToAdd: [header("Authorization", "Api-Token 100%%"), header("content-type", "x"), header("host", "y")],
  };
  const http = await told(Number(byHttp.url.port), tracing({ httpService }));
  await http.request("/");
  const grpc = await told(Number(byGrpc.url.port), tracing({ grpcService }));
  await grpc.request("/");
  const [request] = await eventually("spans by HTTP", () => byHttp.received.length > 0 && byHttp.received, 20_000);
  expect(request?.headers).toMatchObject({
    authorization: "Api-Token 100%",
    "content-type": "application/json",
    host: "otel.obs.svc.cluster.local:4317",
  });
  await eventually("spans by gRPC", () => byGrpc.received.length > 0, 20_000);
  expect(byGrpc.metadata[0]).toMatchObject({ "x-key": "k" });
  const dump = await (await http.process.get("admin", "/config_dump")).text();
  expect(dump).toContain("authorization");
  expect(dump).not.toContain("Api-Token");
});
