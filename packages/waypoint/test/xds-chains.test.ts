/** Filter chains: what guards them, and their settings. */

import { OpenTelemetryConfigSchema } from "@ambit/envoy-api/envoy/config/trace/v3/opentelemetry";
import { FileAccessLogSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/file/v3/file";
import { ExpressionFilterSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/filters/cel/v3/cel";
import { HttpGrpcAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/grpc/v3/als";
import { OpenTelemetryAccessLogConfigSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/open_telemetry/v3/logs_service";
import { CorsSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { ExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import { HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { FilterConfigSchema as GrpcStatsSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_stats/v3/config";
import { GrpcWebSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_web/v3/grpc_web";
import { HeaderMutationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/header_mutation/v3/header_mutation";
import { JwtAuthenticationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { ExtAuthzSchema as NetworkExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import { HttpConnectionManagerSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { RBACSchema as NetworkRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { ConfigSchema as SetFilterStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state";
import { createRegistry, type DescMessage, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "@jest/globals";
import type { HttpChain, TcpChain } from "../src/model/route-model.ts";
import { createModelCompiler, LISTENER_TYPE_URL } from "../src/xds/index.ts";
import { buildRequestRecord } from "./observe-records.ts";
import {
  type ChainInit,
  httpChain,
  httpFilter,
  mainListener,
  pack,
  rdsChain,
  struct,
  tcpChain,
  toCluster,
} from "./xds-builders.ts";

const HTTP = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const TCP = "inbound-vip|80|tcp|cart.shop.svc.cluster.local";
const registry = createRegistry(
  FileAccessLogSchema,
  ExpressionFilterSchema,
  HttpGrpcAccessLogConfigSchema,
  OpenTelemetryAccessLogConfigSchema,
  OpenTelemetryConfigSchema,
);

const packJson = (schema: DescMessage, json: JsonObject): Any => anyPack(schema, fromJson(schema, json, { registry }));

function compile(chain: ChainInit) {
  const compiler = createModelCompiler();
  const { rejected, notes } = compiler.apply(LISTENER_TYPE_URL, [mainListener(undefined, chain)], []);
  const [compiled] = compiler.model.chains.values();
  return { chain: compiled, reason: rejected[0]?.reason, notes };
}

const withFilters = (filters: [string, Any][]) =>
  compile(
    httpChain(
      HTTP,
      [toCluster(HTTP)],
      filters.map(([name, config]) => httpFilter(name, config)),
    ),
  );
/** A chain with exactly these settings of its connection manager. */
function withSettings(json: JsonObject) {
  const value = packJson(HttpConnectionManagerSchema, { routeConfig: { name: HTTP }, ...json });
  return compile({ name: HTTP, filters: [{ name: "hcm", configType: { case: "typedConfig", value } }] });
}

const anyPolicy = { permissions: [{ any: true }], principals: [{ any: true }] };
const rbac = (action: string, name = "p") =>
  packJson(RBACSchema, { rules: { action, policies: { [name]: anyPolicy } } });
const shadow = (name: string) =>
  packJson(RBACSchema, {
    shadowRules: { action: "DENY", policies: { [name]: anyPolicy } },
    shadowRulesStatPrefix: "istio_ext_authz_",
  });
const enabledBy = (prefix: string, filter = "envoy.filters.http.rbac") => ({
  filterEnabledMetadata: {
    filter,
    path: [{ key: "istio_ext_authz_shadow_effective_policy_id" }],
    value: { stringMatch: { prefix } },
  },
});
const authorizer = (more: JsonObject = {}) =>
  packJson(ExtAuthzSchema, {
    transportApiVersion: "V3",
    grpcService: { envoyGrpc: { clusterName: "outbound|9000||authz" } },
    ...more,
  });

describe("guards of an HTTP chain", () => {
  it("are in the chain's authentication and authorization", () => {
    const jwt = packJson(JwtAuthenticationSchema, {
      providers: { "origins-0": { issuer: "https://issuer.example", localJwks: { inlineString: '{"keys":[]}' } } },
      rules: [
        {
          match: { prefix: "/" },
          requires: { requiresAny: { requirements: [{ providerName: "origins-0" }, { allowMissing: {} }] } },
        },
      ],
      bypassCorsPreflight: true,
    });
    const { chain, reason } = withFilters([
      ["custom", shadow("istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]")],
      ["ask", authorizer(enabledBy("istio-ext-authz-opa"))],
      ["jwt", jwt],
      ["audit", rbac("LOG")],
      ["deny", rbac("DENY")],
      ["allow", rbac("ALLOW")],
    ]);
    expect(reason).toBeUndefined();
    expect(chain).toMatchObject({
      authentication: { bypassesCorsPreflight: true },
      authorization: {
        custom: [
          {
            when: [{ name: "istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]" }],
            provider: { transport: { kind: "grpc", cluster: "outbound|9000||authz" } },
          },
        ],
        rules: [{ action: "audit" }, { action: "deny" }, { action: "allow" }],
      },
    });
  });

  it("ask about every request where the authorizer has no condition", () => {
    const { chain } = withFilters([["ask", authorizer()]]);
    expect((chain as HttpChain).authorization.custom[0]?.when).toHaveLength(1);
  });

  it.each<[string, [string, Any][], RegExp]>([
    [
      "an authorizer whose rules are missing",
      [["ask", authorizer(enabledBy("istio-ext-authz-opa"))]],
      /rbac filter with shadow rules before it/,
    ],
    [
      "an authorizer whose rules are another's",
      [
        ["s", shadow("istio-ext-authz-other-x")],
        ["ask", authorizer(enabledBy("istio-ext-authz-opa"))],
      ],
      /policies named/,
    ],
    ["rules whose authorizer is missing", [["s", shadow("istio-ext-authz-opa-x")]], /ext_authz filter for each/],
    [
      "an authorizer with another condition",
      [
        ["s", shadow("x")],
        ["ask", authorizer(enabledBy("x", "other"))],
      ],
      /filter_enabled_metadata/,
    ],
    ["an authorizer that is not understood", [["ask", packJson(ExtAuthzSchema, {})]], /ask/],
    [
      "two verifiers of tokens",
      [
        ["j", packJson(JwtAuthenticationSchema, {})],
        ["k", packJson(JwtAuthenticationSchema, {})],
      ],
      /jwt|second|rules/,
    ],
    [
      "rules with a CEL condition",
      [["cel", packJson(RBACSchema, { rules: { policies: { p: { ...anyPolicy, condition: {} } } } })]],
      /CEL/,
    ],
    [
      "rules that are no message",
      [["bad", { ...rbac("DENY"), value: Buffer.from("0affff", "hex") }]],
      /expected a message/,
    ],
    ["a header mutation of somebody", [["m", pack(HeaderMutationSchema, {})]], /HeaderMutation/],
  ])("case 45: refuse everything with %s", (_, filters, reason) => {
    const { chain, reason: said } = withFilters(filters);
    expect(said).toMatch(reason);
    expect(chain?.unservable).toBe(said);
  });

  it("refuse everything with a filter that has no configuration, or is to be discovered", () => {
    const none = compile(httpChain(HTTP, [toCluster(HTTP)], [{ name: "x" }]));
    expect(none.chain?.unservable).toMatch(/expected a configuration/);
    const discovered = compile(
      httpChain(HTTP, [toCluster(HTTP)], [{ name: "wasm", configType: { case: "configDiscovery", value: {} } }]),
    );
    expect(discovered.chain?.unservable).toMatch(/ECDS/);
  });

  it.each([
    ["original_ip_detection_extensions", { originalIpDetectionExtensions: [{ name: "x" }] }],
    ["early_header_mutation_extensions", { earlyHeaderMutationExtensions: [{ name: "x" }] }],
    ["upgrade_configs", { upgradeConfigs: [{ upgradeType: "websocket", filters: [{ name: "x" }] }] }],
    ["path_normalization_options", { pathNormalizationOptions: {} }],
  ])("refuse everything with %s", (field, manager) => {
    expect(withSettings(manager).chain?.unservable).toMatch(field);
  });
});

it("settings of a connection manager that change answers and have no effect are noted", () => {
  const { notes } = compile(
    httpChain(HTTP, [], [], {
      localReplyConfig: {},
      requestTimeout: { seconds: 3n, nanos: 0 },
      stripPortMode: { case: "stripAnyHostPort", value: true },
    }),
  );
  expect(notes.toSorted()).toEqual([
    "local_reply_config of a connection manager has no effect",
    "request_timeout of a connection manager has no effect",
    "strip_any_host_port of a connection manager has no effect",
  ]);
});

describe("other HTTP filters", () => {
  it("are ignored where they observe", () => {
    const { reason, notes } = withFilters([
      ["stats", pack(GrpcStatsSchema, {})],
      ["cors", pack(CorsSchema, {})],
    ]);
    expect({ reason, notes }).toEqual({ reason: undefined, notes: [] });
  });

  it("are gRPC-Web", () => {
    expect(withFilters([["web", pack(GrpcWebSchema, {})]]).chain).toMatchObject({ translatesGrpcWeb: true });
    expect(withFilters([]).chain).toMatchObject({ translatesGrpcWeb: false });
  });

  it("are a fault for every route that has none of its own", () => {
    const fault = packJson(HTTPFaultSchema, { delay: { fixedDelay: "1s", percentage: { numerator: 100 } } });
    const { chain } = withFilters([["fault", fault]]);
    expect((chain as HttpChain).routes.virtualHosts[0]?.routes[0]?.fault).toEqual({
      delay: { ms: 1000, perMillion: 1_000_000 },
      abort: undefined,
    });
    const byRds = compile(
      httpChain(HTTP, [], [httpFilter("fault", fault)], {
        routeSpecifier: { case: "rds", value: { routeConfigName: "r" } },
      }),
    );
    expect(byRds.notes[0]).toMatch(/fault/);
  });

  it("turn metrics off", () => {
    const disabled = (value: JsonObject) =>
      withFilters([["stats", struct("stats.PluginConfig", value)]]).chain?.telemetry.metricsDisabled;
    expect(disabled({})).toBe(false);
    expect(disabled({ metrics: [{ name: "requests_total", drop: true }] })).toBe(false);
    expect(disabled({ metrics: [{ drop: true }] })).toBe(true);
  });

  it("override metrics; what cannot be obeyed is noted and the rest holds", () => {
    const { chain, notes } = withFilters([
      [
        "stats",
        struct("stats.PluginConfig", {
          definitions: [{ name: "mine" }],
          metrics: [
            { name: "requests_total", dimensions: { host: "request.host", bad: "request.nothing", "a-b": "1" } },
            { name: "requests_total", tags_to_remove: ["host", "source_app"], drop: true },
            { name: "strange" },
            { name: "request_bytes", tagsToRemove: ["source_app"], match: "true" },
          ],
        }),
      ],
    ]);
    expect(chain?.telemetry.overrides).toEqual({
      requests_total: { drop: true, remove: ["host", "source_app"], dimensions: [] },
      request_bytes: { drop: false, remove: ["source_app"], dimensions: [] },
    });
    expect(notes.map((note) => note.slice(0, 40))).toEqual([
      "istio.stats: definitions of further metr",
      'istio.stats: dimension "a-b" has no effe',
      'istio.stats: dimension "bad" has no effe',
      'istio.stats: metric "strange" has no eff',
      "istio.stats: match has no effect: the me",
    ]);
  });

  it("override metrics of TCP, as a filter or as the chain's metadata", () => {
    const config = { metrics: [{ name: "tcp_sent_bytes_total", drop: true }] };
    const toTcp = { clusterSpecifier: { case: "cluster", value: TCP } } as const;
    const byFilter = tcpChain(TCP, toTcp, [{ name: "stats", config: struct("stats.PluginConfig", config) }]);
    const byMetadata = {
      ...tcpChain(TCP, toTcp),
      metadata: { filterMetadata: { "istio.stats": config } },
    } as ChainInit;
    for (const each of [byFilter, byMetadata]) {
      expect(compile(each).chain?.telemetry.overrides).toMatchObject({ tcp_sent_bytes_total: { drop: true } });
    }
  });
});

describe("settings of an HTTP chain", () => {
  it.each<[JsonObject, object]>([
    [{}, { normalization: "base", escapedSlashes: "keep" }],
    [{ mergeSlashes: true }, { normalization: "merge-slashes", escapedSlashes: "keep" }],
    [
      { mergeSlashes: true, pathWithEscapedSlashesAction: "UNESCAPE_AND_FORWARD" },
      { normalization: "decode-and-merge-slashes", escapedSlashes: "unescape-and-forward" },
    ],
    [
      { pathWithEscapedSlashesAction: "UNESCAPE_AND_FORWARD" },
      { normalization: "base", escapedSlashes: "unescape-and-forward" },
    ],
    [{ pathWithEscapedSlashesAction: "REJECT_REQUEST" }, { normalization: "base", escapedSlashes: "reject" }],
    [{ pathWithEscapedSlashesAction: "UNESCAPE_AND_REDIRECT" }, { normalization: "base", escapedSlashes: "reject" }],
    [{ normalizePath: false }, { normalization: "none", escapedSlashes: "keep" }],
  ])("normalises paths by %j", (manager, path) => {
    const { chain } = withSettings({ normalizePath: true, ...manager });
    expect((chain as HttpChain).path).toEqual(path);
  });

  it.each([
    ["SANITIZE", "sanitize"],
    ["FORWARD_ONLY", "forward"],
    ["ALWAYS_FORWARD_ONLY", "forward"],
    ["APPEND_FORWARD", "replace-with-peer"],
    ["SANITIZE_SET", "replace-with-peer"],
  ])("case 16: treats the client's certificate by %s", (forwardClientCertDetails, expected) => {
    expect((withSettings({ forwardClientCertDetails }).chain as HttpChain).forwardedClientCert).toBe(expected);
  });

  it("tells the application who called where that is wanted", () => {
    const { chain } = withFilters([["istio.waypoint.xfcc_client_identity", pack(HeaderMutationSchema, {})]]);
    expect((chain as HttpChain).forwardedClientCert).toBe("replace-with-peer");
  });

  it("adds and leaves out headers of the proxy as asked, and its own name only where somebody chose it", () => {
    const of = (json: JsonObject) => (withSettings(json).chain as HttpChain).proxyHeaders;
    const plain = { server: undefined, givesRequestId: true, tellsServiceTime: true, tellsPort: false };
    expect(of({})).toEqual(plain);
    expect(of({ serverName: "istio-envoy" })).toEqual(plain);
    expect(of({ serverName: "shop", generateRequestId: false, appendXForwardedPort: true })).toEqual({
      ...plain,
      server: "shop",
      givesRequestId: false,
      tellsPort: true,
    });
    expect(of({ serverName: "shop", serverHeaderTransformation: "PASS_THROUGH" })).toEqual(plain);
    const hidden = withFilters([["router", pack(RouterSchema, { suppressEnvoyHeaders: true })]]).chain as HttpChain;
    expect(hidden.proxyHeaders?.tellsServiceTime).toBe(false);
  });

  it("has the rest of them", () => {
    const { chain } = withSettings({
      httpProtocolOptions: { acceptHttp10: true },
      xffNumTrustedHops: 2,
      streamIdleTimeout: "5s",
      upgradeConfigs: [{ upgradeType: "WebSocket" }, { upgradeType: "spdy/3.1", enabled: false }],
    });
    expect(chain).toMatchObject({
      acceptsHttp10: true,
      trustedHops: 2,
      streamIdleTimeoutMs: 5000,
      upgrades: ["websocket"],
    });
    expect(withSettings({}).chain).toMatchObject({ acceptsHttp10: false, streamIdleTimeoutMs: 300_000, upgrades: [] });
  });

  it("wants routes, or the name of some", () => {
    expect(compile(rdsChain(HTTP, "")).reason).toMatch(/rds: expected a route_config_name/);
    expect(compile(httpChain(HTTP, [], [], { routeSpecifier: { case: "scopedRoutes", value: {} } })).reason).toMatch(
      /route_specifier/,
    );
  });
});

describe("access logs and traces", () => {
  const log = (config: JsonObject, more: JsonObject = {}) => ({
    accessLog: [
      {
        name: "file",
        typedConfig: { "@type": `type.googleapis.com/${FileAccessLogSchema.typeName}`, path: "/dev/stdout", ...config },
        ...more,
      },
    ],
  });
  const file = (format: "text" | "json", template: string | undefined) => ({ kind: "file", format, template });
  const expression = (text: string): JsonObject => ({
    extensionFilter: {
      name: "cel",
      typedConfig: { "@type": `type.googleapis.com/${ExpressionFilterSchema.typeName}`, expression: text },
    },
  });
  const statusIs = (op: string, defaultValue: number): JsonObject => ({
    statusCodeFilter: { comparison: { op, value: { defaultValue, runtimeKey: "x" } } },
  });
  it.each<[JsonObject, object]>([
    [{}, []],
    [log({}), [file("text", undefined)]],
    [log({ format: "%PROTOCOL%\n" }), [file("text", "%PROTOCOL%\n")]],
    [log({ logFormat: { textFormat: "x" } }), [file("text", "x")]],
    [log({ logFormat: { textFormatSource: { inlineString: "y" } } }), [file("text", "y")]],
    [log({ logFormat: { textFormatSource: {} } }), [file("text", undefined)]],
    [log({ logFormat: { jsonFormat: { a: "%PROTOCOL%" } } }), [file("json", '{"a":"%PROTOCOL%"}')]],
    [log({ jsonFormat: {} }), [file("json", undefined)]],
  ])("%j", (json, expected) => {
    expect(withSettings(json).chain?.accessLog).toEqual(expected);
  });

  it("go to collectors", () => {
    const commonConfig = {
      logName: "mine",
      grpcService: { envoyGrpc: { clusterName: "logs" }, initialMetadata: [{ key: "X-Key", value: "100%%" }] },
    };
    const sink = (schema: DescMessage, config: JsonObject) => ({
      name: "sink",
      typedConfig: { "@type": `type.googleapis.com/${schema.typeName}`, commonConfig, ...config },
    });
    const { chain, notes } = withSettings({
      accessLog: [
        sink(HttpGrpcAccessLogConfigSchema, { additionalRequestHeadersToLog: ["X-A"] }),
        sink(OpenTelemetryAccessLogConfigSchema, {
          body: { stringValue: "%PROTOCOL%" },
          attributes: {
            values: [
              { key: "code", value: { stringValue: "%RESPONSE_CODE%" } },
              { key: "bad", value: { stringValue: "%NOPE%" } },
              { key: "number", value: { intValue: "1" } },
            ],
          },
          resourceAttributes: { values: [{ key: "r", value: { stringValue: "s" } }] },
        }),
      ],
    });
    const collector = { cluster: "logs", logName: "mine", collectorHeaders: [["x-key", "100%"]] };
    expect(chain?.accessLog).toEqual([
      { kind: "als", ...collector, requestHeaders: ["x-a"], responseHeaders: [], responseTrailers: [] },
      {
        kind: "otlp",
        ...collector,
        body: "%PROTOCOL%",
        attributes: [["code", "%RESPONSE_CODE%"]],
        resource: [["r", "s"]],
      },
    ]);
    expect(notes).toEqual([expect.stringContaining('"number"'), expect.stringContaining("%NOPE%")]);
  });

  it("note other sinks, and filters", () => {
    const { chain, notes } = withSettings({
      accessLog: [{ name: "als" }, ...log({}, { filter: { notHealthCheckFilter: {} } }).accessLog],
    });
    expect(chain?.accessLog).toHaveLength(1);
    expect(chain?.accessLog[0]?.filter?.(buildRequestRecord())).toBe(true);
    expect(notes).toEqual([
      expect.stringContaining('"als"'),
      expect.stringContaining('"file": a filter has no effect'),
    ]);
  });

  it.each<[JsonObject, readonly number[]]>([
    [expression("response.code >= 400"), [404, 503]],
    [expression("!has(response.code)"), [0]],
    [statusIs("GE", 500), [503]],
    [statusIs("LE", 200), [0, 200]],
    [{ andFilter: { filters: [statusIs("GE", 400), statusIs("LE", 404)] } }, [404]],
    [{ orFilter: { filters: [statusIs("EQ", 0), statusIs("EQ", 503)] } }, [0, 503]],
    [{ responseFlagFilter: {} }, [503]],
    [{ responseFlagFilter: { flags: ["NR"] } }, []],
    [expression("response.nothing == 1"), [0, 200, 404, 503]],
    [{ extensionFilter: { name: "other" } }, [0, 200, 404, 503]],
  ])("are filtered by %j", (filter, logged) => {
    const holds = withSettings(log({}, { filter })).chain?.accessLog[0]?.filter;
    const seen = [0, 200, 404, 503].filter((status) =>
      holds?.(buildRequestRecord({ status, flags: status === 503 ? ["UF"] : [] })),
    );
    expect(seen).toEqual(logged);
  });

  it("sample and export by OTLP", () => {
    const provider = (config: JsonObject) => ({
      name: "otel",
      typedConfig: { "@type": `type.googleapis.com/${OpenTelemetryConfigSchema.typeName}`, ...config },
    });
    const tracing = {
      randomSampling: { value: 1.5 },
      overallSampling: { value: 100 },
      provider: provider({
        grpcService: {
          envoyGrpc: { clusterName: "outbound|4317||otel" },
          initialMetadata: [{ key: "x-k", value: "v" }],
        },
        serviceName: "cart.shop",
      }),
      customTags: [
        { tag: "a", literal: { value: "b" } },
        { tag: "e", environment: { name: "X", defaultValue: "d" } },
        { tag: "h", requestHeader: { name: "X" } },
        { tag: "m", metadata: {} },
      ],
      maxPathTagLength: 9_999,
    };
    const { chain, notes } = withSettings({ tracing });
    expect((chain as HttpChain).tracing).toEqual({
      samplePerMillion: 15_000,
      collectorCluster: "outbound|4317||otel",
      collectorHeaders: [["x-k", "v"]],
      serviceName: "cart.shop",
      customTags: [
        { name: "a", value: "b" },
        { name: "e", value: "d", from: { kind: "environment", name: "X" } },
        { name: "h", value: "", from: { kind: "header", name: "x" } },
      ],
      maxPathTagLength: 4_096,
    });
    expect(notes[0]).toMatch(/trace tag "m"/);
    const http = withSettings({
      tracing: { provider: provider({ httpService: { httpUri: { uri: "http://x", cluster: "otel-http" } } }) },
    });
    expect((http.chain as HttpChain).tracing).toMatchObject({
      samplePerMillion: 1_000_000,
      collectorCluster: "otel-http",
      collectorHttpPath: "/",
      serviceName: HTTP,
    });
    for (const uri of ["http://otel.obs:4318/v1/traces", "otel.obs/v1/traces", "/v1/traces"]) {
      const httpService = {
        httpUri: { uri, cluster: "otel-http" },
        requestHeadersToAdd: [{ header: { key: "A", value: "1" } }],
      };
      const { chain, notes } = withSettings({ tracing: { provider: provider({ httpService }) } });
      expect((chain as HttpChain).tracing?.collectorHttpPath).toBe("/v1/traces");
      expect((chain as HttpChain).tracing?.collectorHeaders).toEqual([["a", "1"]]);
      expect(notes).toEqual([]);
    }
    expect((withSettings({ tracing: {} }).chain as HttpChain).tracing?.collectorCluster).toBeUndefined();
    const other = withSettings({
      tracing: {
        provider: { name: "x", typedConfig: { "@type": `type.googleapis.com/${FileAccessLogSchema.typeName}` } },
      },
    });
    expect(other.notes[0]).toMatch(/tracer/);
  });
});

describe("TCP chains", () => {
  const toTcp = { clusterSpecifier: { case: "cluster", value: TCP } } as const;
  const rules = packJson(NetworkRbacSchema, { statPrefix: "tcp.", rules: { action: "ALLOW", policies: {} } });

  it("have clusters, deadlines and Envoy's defaults", () => {
    expect(compile(tcpChain(TCP, toTcp)).chain).toMatchObject({
      kind: "tcp",
      clusters: [{ name: TCP, weight: 1 }],
      idleTimeoutMs: 3_600_000,
      maxConnectionMs: 0,
      hashesSourceIp: false,
      authorization: { custom: [], rules: [] },
    });
    const clusters = [
      { name: "a", weight: 90 },
      { name: "b", weight: 10 },
      { name: "c", weight: 0 },
    ];
    const { chain } = compile(
      tcpChain(TCP, {
        clusterSpecifier: { case: "weightedClusters", value: { clusters } },
        idleTimeout: { seconds: 0n, nanos: 0 },
        maxDownstreamConnectionDuration: { seconds: 60n, nanos: 0 },
        hashPolicy: [{ policySpecifier: { case: "sourceIp", value: {} } }],
      }),
    );
    expect(chain).toMatchObject({
      clusters: clusters.slice(0, 2),
      idleTimeoutMs: 0,
      maxConnectionMs: 60_000,
      hashesSourceIp: true,
    });
  });

  it("are guarded, an empty ALLOW by refusing everything", () => {
    const ask = packJson(NetworkExtAuthzSchema, {
      transportApiVersion: "V3",
      grpcService: { envoyGrpc: { clusterName: "authz" } },
      ...enabledBy("istio-ext-authz-opa", "envoy.filters.network.rbac"),
    });
    const custom = packJson(NetworkRbacSchema, {
      shadowRules: { action: "DENY", policies: { "istio-ext-authz-opa-x": anyPolicy } },
      shadowRulesStatPrefix: "istio_ext_authz_",
    });
    const { chain, reason } = compile(
      tcpChain(TCP, toTcp, [
        { name: "dst", config: pack(SetFilterStateSchema, {}) },
        { name: "mx", config: struct("envoy.tcp.metadataexchange.config.MetadataExchange") },
        { name: "custom", config: custom },
        { name: "ask", config: ask },
        { name: "allow", config: rules },
        { name: "stats", config: struct("stats.PluginConfig", { metrics: [{ drop: true }] }) },
      ]),
    );
    expect(reason).toBeUndefined();
    const tcp = chain as TcpChain;
    expect(tcp.authorization.rules).toMatchObject([{ action: "allow", enforced: [] }]);
    expect(tcp.authorization.custom).toMatchObject([{ when: [{ name: "istio-ext-authz-opa-x" }] }]);
    expect(tcp.telemetry.metricsDisabled).toBe(true);
  });

  it("refuse everything with a filter that is not known", () => {
    const { chain, reason } = compile(tcpChain(TCP, toTcp, [{ name: "sni", config: struct("some.Filter") }]));
    expect(reason).toMatch(/filters\[0\] "sni": expected a filter that is supported, got some\.Filter/);
    expect(chain).toMatchObject({ kind: "tcp", unservable: reason });
  });

  it.each<[string, Parameters<typeof tcpChain>[1]]>([
    ["no cluster", {}],
    ["a tunnel", { ...toTcp, tunnelingConfig: { hostname: "x" } }],
    [
      "weights of nothing",
      { clusterSpecifier: { case: "weightedClusters", value: { clusters: [{ name: "a", weight: 0 }] } } },
    ],
    [
      "a cluster without name",
      { clusterSpecifier: { case: "weightedClusters", value: { clusters: [{ weight: 1 }] } } },
    ],
    [
      "a subset",
      {
        clusterSpecifier: {
          case: "weightedClusters",
          value: { clusters: [{ name: "a", weight: 1, metadataMatch: {} }] },
        },
      },
    ],
  ])("cannot be compiled with %s", (_, proxy) => {
    const { chain, reason } = compile(tcpChain(TCP, proxy));
    expect(reason).toMatch(/tcp_proxy/);
    expect(chain).toMatchObject({ kind: "tcp", unservable: reason });
  });

  it("end in a proxy, and have nothing before HTTP", () => {
    const end = { name: "x", configType: { case: "typedConfig" as const, value: rules } };
    expect(compile({ name: TCP, filters: [end] }).chain?.unservable).toMatch(/expected tcp_proxy or an HTTP/);
    const http = httpChain(HTTP, [toCluster(HTTP)]);
    const [manager] = http.filters ?? [];
    if (!manager) throw new Error("expected a filter");
    expect(compile({ name: HTTP, filters: [end, manager] }).chain?.unservable).toMatch(/nothing before the HTTP/);
    const state = { name: "dst", configType: { case: "typedConfig" as const, value: pack(SetFilterStateSchema, {}) } };
    expect(compile({ name: HTTP, filters: [state, manager] }).reason).toBeUndefined();
    expect(compile({ name: HTTP, filters: [{ name: "x" }] }).chain?.unservable).toMatch(/inline/);
    expect(compile({ ...http, transportSocket: { name: "tls" } } as ChainInit).reason).toMatch(/transport_socket/);
  });
});
