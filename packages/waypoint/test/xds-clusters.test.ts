/** Clusters and endpoints, field by field. */

import { CircuitBreakers_Thresholds_RetryBudgetSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/circuit_breaker";
import { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { InternalUpstreamTransportSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { HttpProtocolOptionsSchema } from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { create, createRegistry, fromJson, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "@jest/globals";
import type { Cluster } from "../src/balance/model.ts";
import { CLUSTER_TYPE_URL, createModelCompiler, ENDPOINT_TYPE_URL } from "../src/xds/index.ts";

const registry = createRegistry(
  InternalUpstreamTransportSchema,
  RawBufferSchema,
  UpstreamTlsContextSchema,
  HttpProtocolOptionsSchema,
);
const typed = (type: string, config: JsonObject = {}) => ({ "@type": `type.googleapis.com/${type}`, ...config });

function apply(json: JsonObject) {
  const compiler = createModelCompiler();
  const bytes = toBinary(ClusterSchema, fromJson(ClusterSchema, { name: "c", ...json }, { registry }));
  const { rejected, notes } = compiler.apply(CLUSTER_TYPE_URL, [{ name: "c", bytes }], []);
  return { cluster: compiler.model.clusters.get("c"), reason: rejected[0]?.reason, notes };
}
function compile(json: JsonObject): Cluster {
  const { cluster, reason } = apply(json);
  if (!cluster) throw new Error(reason);
  return cluster;
}

function applyEndpoints(json: JsonObject) {
  const compiler = createModelCompiler();
  const cluster = fromJson(ClusterSchema, { name: "c", type: "EDS" });
  compiler.apply(CLUSTER_TYPE_URL, [{ name: "c", bytes: toBinary(ClusterSchema, cluster) }], []);
  const message = fromJson(ClusterLoadAssignmentSchema, { clusterName: "c", ...json });
  const { rejected, notes } = compiler.apply(
    ENDPOINT_TYPE_URL,
    [{ name: "c", bytes: toBinary(ClusterLoadAssignmentSchema, message) }],
    [],
  );
  return { cluster: compiler.model.clusters.get("c"), reason: rejected[0]?.reason, notes };
}

const socket = (address: string, portValue = 80) => ({ socketAddress: { address, portValue } });
const endpoint = (address: JsonObject, more: JsonObject = {}) => ({ endpoint: { address }, ...more });
const internal = (serverListenerName: string, endpointId = "") => ({
  envoyInternalAddress: { serverListenerName, endpointId },
});
const originalDst = (fields: JsonObject) => ({
  metadata: { filterMetadata: { "envoy.filters.listener.original_dst": fields } },
});
const locality = (...lbEndpoints: JsonValue[]) => ({ endpoints: [{ lbEndpoints }] });

describe("a cluster", () => {
  it("has Envoy's defaults where nothing is said, but no limits", () => {
    expect(compile({ type: "STATIC" })).toEqual({
      name: "c",
      service: undefined,
      algorithm: { kind: "round-robin" },
      priorities: [],
      overprovisioningPercent: 140,
      panicThresholdPercent: 50,
      localityWeighted: false,
      slowStart: undefined,
      outlierDetection: undefined,
      circuitBreakers: {
        maximumConnections: undefined,
        maximumPendingRequests: undefined,
        maximumRequests: undefined,
        maximumRetries: undefined,
        retryBudget: undefined,
      },
      connectTimeoutMs: 5000,
      http: { protocol: "http1", idleTimeoutMs: 3_600_000, maximumRequestsPerConnection: 0 },
      transport: { kind: "raw" },
      original: false,
      dns: undefined,
    });
  });

  it.each<[JsonObject, object]>([
    [{ lbPolicy: "LEAST_REQUEST" }, { kind: "least-request", choices: 2, activeRequestBias: 1 }],
    [
      { lbPolicy: "LEAST_REQUEST", leastRequestLbConfig: { choiceCount: 5, activeRequestBias: { defaultValue: 0 } } },
      { kind: "least-request", choices: 5, activeRequestBias: 0 },
    ],
    [{ lbPolicy: "RANDOM" }, { kind: "random" }],
    [{ lbPolicy: "RING_HASH" }, { kind: "ring-hash", minimumRing: 1024, maximumRing: 8_388_608 }],
    [
      { lbPolicy: "RING_HASH", ringHashLbConfig: { minimumRingSize: "16", maximumRingSize: "64" } },
      { kind: "ring-hash", minimumRing: 16, maximumRing: 64 },
    ],
    [{ lbPolicy: "MAGLEV" }, { kind: "maglev", tableSize: 65_537 }],
    [
      { lbPolicy: "MAGLEV", maglevLbConfig: { tableSize: "251" } },
      { kind: "maglev", tableSize: 251 },
    ],
    [{ lbPolicy: "CLUSTER_PROVIDED" }, { kind: "random" }],
    [
      { metadata: { filterMetadata: { ambit: { load_balancer: "PEAK_EWMA", decay_ms: 2000 } } } },
      { kind: "peak-ewma", decayMs: 2000, failurePenaltyMs: 5000 },
    ],
  ])("balances by %j", (json, algorithm) => {
    expect(compile(json).algorithm).toEqual(algorithm);
  });

  it.each<[string, JsonObject]>([
    ["an algorithm elsewhere", { lbPolicy: "LOAD_BALANCING_POLICY_CONFIG" }],
    ["a choice of one", { lbPolicy: "LEAST_REQUEST", leastRequestLbConfig: { choiceCount: 1 } }],
    [
      "a ring upside down",
      { lbPolicy: "RING_HASH", ringHashLbConfig: { minimumRingSize: "64", maximumRingSize: "16" } },
    ],
    ["a ring without end", { lbPolicy: "RING_HASH", ringHashLbConfig: { maximumRingSize: "80000000" } }],
    ["a table that is not prime", { lbPolicy: "MAGLEV", maglevLbConfig: { tableSize: "65536" } }],
    ["a table of one", { lbPolicy: "MAGLEV", maglevLbConfig: { tableSize: "1" } }],
    [
      "slow start without aggression",
      {
        lbPolicy: "ROUND_ROBIN",
        roundRobinLbConfig: { slowStartConfig: { slowStartWindow: "1s", aggression: { defaultValue: 0 } } },
      },
    ],
    ["a type of its own", { clusterType: { name: "envoy.clusters.dynamic_forward_proxy" } }],
    ["an unknown type", { type: 17 }],
  ])("refuses %s", (_, json) => {
    expect(apply(json).reason).toMatch(/: expected /);
  });

  it("starts slowly", () => {
    const slowStartConfig = {
      slowStartWindow: "30s",
      aggression: { defaultValue: 2 },
      minWeightPercent: { value: 20 },
    };
    expect(compile({ lbPolicy: "ROUND_ROBIN", roundRobinLbConfig: { slowStartConfig } }).slowStart).toEqual({
      windowMs: 30_000,
      aggression: 2,
      minimumWeightPercent: 20,
    });
    expect(
      compile({ lbPolicy: "LEAST_REQUEST", leastRequestLbConfig: { slowStartConfig: { slowStartWindow: "1s" } } })
        .slowStart,
    ).toEqual({ windowMs: 1000, aggression: 1, minimumWeightPercent: 10 });
    expect(compile({ lbPolicy: "ROUND_ROBIN", roundRobinLbConfig: { slowStartConfig: {} } }).slowStart).toBeUndefined();
  });

  it("detects outliers: Envoy's defaults, Istio's, and detectors that are off", () => {
    expect(compile({ outlierDetection: {} }).outlierDetection).toEqual({
      consecutive5xx: 5,
      consecutiveGatewayErrors: 0,
      consecutiveLocalFailures: 0,
      splitsLocalErrors: false,
      intervalMs: 10_000,
      baseEjectionMs: 30_000,
      maximumEjectionMs: 300_000,
      maximumEjectionPercent: 10,
      statistics: [
        { of: "answers", minimumEndpoints: 5, minimumRequests: 100, rule: { kind: "success-rate", deviations: 1.9 } },
      ],
    });
    const outlierDetection = {
      consecutive5xx: 7,
      enforcingConsecutive5xx: 0,
      consecutiveGatewayFailure: 3,
      enforcingConsecutiveGatewayFailure: 100,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailure: 2,
      interval: "1s",
      baseEjectionTime: "600s",
      maxEjectionPercent: 100,
      enforcingSuccessRate: 0,
      enforcingFailurePercentage: 100,
      failurePercentageThreshold: 60,
      enforcingLocalOriginSuccessRate: 0,
      enforcingFailurePercentageLocalOrigin: 100,
      failurePercentageMinimumHosts: 2,
      failurePercentageRequestVolume: 7,
    };
    expect(compile({ outlierDetection }).outlierDetection).toEqual({
      consecutive5xx: 0,
      consecutiveGatewayErrors: 3,
      consecutiveLocalFailures: 2,
      splitsLocalErrors: true,
      intervalMs: 1000,
      baseEjectionMs: 600_000,
      maximumEjectionMs: 600_000,
      maximumEjectionPercent: 100,
      statistics: (["answers", "local"] as const).map((of) => ({
        of,
        minimumEndpoints: 2,
        minimumRequests: 7,
        rule: { kind: "failure-percentage", thresholdPercent: 60 },
      })),
    });
  });

  it("breaks circuits: the default priority's limits", () => {
    const thresholds = [
      { priority: "HIGH", maxConnections: 1 },
      { maxConnections: 2, maxPendingRequests: 0, maxRequests: 4_294_967_295, retryBudget: {} },
    ];
    expect(compile({ circuitBreakers: { thresholds } }).circuitBreakers).toEqual({
      maximumConnections: 2,
      maximumPendingRequests: 0,
      maximumRequests: undefined,
      maximumRetries: undefined,
      retryBudget: { percent: 20, intervalMs: 10_000, minimumPerSecond: 3 },
    });
  });

  it("reads the budget's window, which is younger than the generated message", () => {
    const budget = create(CircuitBreakers_Thresholds_RetryBudgetSchema, {
      budgetPercent: { value: 10 },
      minRetryConcurrency: 7,
    });
    const interval = toBinary(DurationSchema, create(DurationSchema, { seconds: 30n }));
    budget.$unknown = [
      { no: 3, wireType: WireType.LengthDelimited, data: new BinaryWriter().bytes(interval).finish() },
    ];
    const message = create(ClusterSchema, { name: "c", circuitBreakers: { thresholds: [{ retryBudget: budget }] } });
    const compiler = createModelCompiler();
    compiler.apply(CLUSTER_TYPE_URL, [{ name: "c", bytes: toBinary(ClusterSchema, message) }], []);
    expect(compiler.model.clusters.get("c")?.circuitBreakers.retryBudget).toEqual({
      percent: 10,
      intervalMs: 30_000,
      minimumPerSecond: 7,
    });
  });

  it("never panics where Istio says so, and weights localities where it is told to", () => {
    const commonLbConfig = { healthyPanicThreshold: { value: 0 }, localityWeightedLbConfig: {} };
    expect(compile({ commonLbConfig })).toMatchObject({ panicThresholdPercent: 0, localityWeighted: true });
  });

  it("says what has no effect", () => {
    const { notes, reason } = apply({
      healthChecks: [{}],
      lbSubsetConfig: {},
      commonLbConfig: { zoneAwareLbConfig: {} },
    });
    expect({ notes, reason }).toEqual({
      notes: ['cluster "c": without effect: health_checks, lb_subset_config, zone_aware_lb_config'],
      reason: undefined,
    });
  });
});

describe("HTTP towards a cluster", () => {
  const KEY = HttpProtocolOptionsSchema.typeName;
  const options = (config: JsonObject) => ({ typedExtensionProtocolOptions: { [KEY]: typed(KEY, config) } });
  it.each<[JsonObject, string]>([
    [options({ explicitHttpConfig: { http2ProtocolOptions: {} } }), "http2"],
    [options({ explicitHttpConfig: { httpProtocolOptions: {} } }), "http1"],
    [options({ useDownstreamProtocolConfig: {} }), "as-downstream"],
    [options({ autoConfig: {} }), "http1"],
    [{ http2ProtocolOptions: {} }, "http2"],
    [{ protocolSelection: "USE_DOWNSTREAM_PROTOCOL" }, "as-downstream"],
  ])("%j is %s", (json, protocol) => {
    expect(compile(json).http.protocol).toBe(protocol);
  });

  it("has limits of its connections", () => {
    const common = { commonHttpProtocolOptions: { idleTimeout: "5s", maxRequestsPerConnection: 1 } };
    expect(compile(options(common)).http).toEqual({
      protocol: "http1",
      idleTimeoutMs: 5000,
      maximumRequestsPerConnection: 1,
    });
    expect(compile({ maxRequestsPerConnection: 3, commonHttpProtocolOptions: { idleTimeout: "0s" } }).http).toEqual({
      protocol: "http1",
      idleTimeoutMs: 0,
      maximumRequestsPerConnection: 3,
    });
  });

  it("refuses options of another type under that name", () => {
    expect(apply({ typedExtensionProtocolOptions: { [KEY]: typed(RawBufferSchema.typeName) } }).reason).toMatch(
      /typed_extension_protocol_options/,
    );
  });
});

describe("the transport of a cluster", () => {
  const tls = (commonTlsContext: JsonObject, sni = "") =>
    typed(UpstreamTlsContextSchema.typeName, { sni, commonTlsContext });
  const raw = typed(RawBufferSchema.typeName);
  const named = (typedConfig: JsonObject) => ({ name: "any", typedConfig });
  const inside = (inner: JsonObject) =>
    typed(InternalUpstreamTransportSchema.typeName, { transportSocket: named(inner) });
  const transportOf = (typedConfig: JsonObject) => compile({ transportSocket: named(typedConfig) }).transport;

  it("is raw, or TLS with the system's roots, also inside the tunnel", () => {
    expect(transportOf(raw)).toEqual({ kind: "raw" });
    expect(transportOf(inside(raw))).toEqual({ kind: "raw" });
    expect(transportOf(inside(tls({ alpnProtocols: ["h2", "http/1.1"] }, "api.example")))).toEqual({
      kind: "tls",
      sni: "api.example",
      subjectAltNames: [],
      trustedRoots: undefined,
      insecureSkipVerify: false,
      alpn: ["h2", "http/1.1"],
    });
  });

  it("verifies names against given roots", () => {
    const validationContext = {
      trustedCa: { inlineString: "PEM" },
      matchTypedSubjectAltNames: [
        { sanType: "DNS", matcher: { exact: "a.example" } },
        { sanType: "URI", matcher: { exact: "spiffe://x/y" } },
        { sanType: "DNS", matcher: { suffix: ".b.example" } },
      ],
    };
    expect(transportOf(tls({ validationContext }))).toMatchObject({
      trustedRoots: "PEM",
      subjectAltNames: ["a.example", "spiffe://x/y", "*.b.example"],
    });
    const combined = {
      combinedValidationContext: {
        defaultValidationContext: { trustedCa: { inlineBytes: "UEVN" } },
        validationContextSdsSecretConfig: { name: "file-root:system" },
      },
    };
    expect(transportOf(tls(combined))).toMatchObject({ trustedRoots: "PEM" });
    expect(transportOf(tls({ validationContextSdsSecretConfig: { name: "file-root:system" } }))).toMatchObject({
      trustedRoots: undefined,
    });
    expect(
      transportOf(tls({ validationContext: { trustedCa: { filename: "/etc/ssl/certs/ca-certificates.crt" } } })),
    ).toMatchObject({ trustedRoots: undefined });
  });

  it("skips verification only where that is written", () => {
    const validationContext = { trustChainVerification: "ACCEPT_UNTRUSTED" };
    expect(transportOf(tls({ validationContext }))).toMatchObject({ insecureSkipVerify: true });
    expect(transportOf(tls({}))).toMatchObject({ insecureSkipVerify: false });
  });

  it("is the socket for endpoints without a mark where there are several", () => {
    const transportSocketMatches = [
      { name: "hbone", match: { tunnel: "http" }, transportSocket: named(inside(raw)) },
      {
        name: "tlsMode-istio",
        match: { tlsMode: "istio" },
        transportSocket: named(tls({ tlsCertificateSdsSecretConfigs: [{ name: "default" }] })),
      },
      { name: "tlsMode-disabled", match: {}, transportSocket: named(raw) },
    ];
    expect(compile({ transportSocketMatches }).transport).toEqual({ kind: "raw" });
  });

  it.each<[string, JsonObject]>([
    ["a transport nobody knows", typed(HttpProtocolOptionsSchema.typeName)],
    ["a client certificate", tls({ tlsCertificates: [{}] })],
    ["roots from a file", tls({ validationContext: { trustedCa: { filename: "/tmp/x" } } })],
    ["roots from the environment", tls({ validationContext: { trustedCa: { environmentVariable: "X" } } })],
    ["a secret", tls({ validationContextSdsSecretConfig: { name: "kubernetes://x" } })],
    ["pinned keys", tls({ validationContext: { verifyCertificateHash: ["x"] } })],
    ["a name by expression", tls({ validationContext: { matchSubjectAltNames: [{ safeRegex: { regex: ".*" } }] } })],
    [
      "a name of another kind",
      tls({ validationContext: { matchTypedSubjectAltNames: [{ sanType: "EMAIL", matcher: { exact: "x" } }] } }),
    ],
    ["a name of nothing", tls({ validationContext: { matchTypedSubjectAltNames: [{ sanType: "DNS" }] } })],
    ["a provider", tls({ validationContextCertificateProvider: { name: "x" } })],
  ])("refuses %s", (_, config) => {
    expect(apply({ transportSocket: named(config) }).reason).toMatch(/^transport_socket/);
  });
});

describe("endpoints", () => {
  it("are reached by HBONE, through another waypoint, or plainly", () => {
    const json = locality(
      endpoint(internal("connect_originate", "10.1.0.1:80"), originalDst({ local: "10.1.0.2:80" })),
      endpoint(internal("connect_originate", "[fd00::1]:80")),
      endpoint(internal("connect_originate", "x"), originalDst({ local: "10.0.0.9:80", waypoint: "10.1.0.3:15008" })),
      endpoint(socket("10.1.0.4", 8080), { loadBalancingWeight: 7 }),
    );
    const found = applyEndpoints(json).cluster?.priorities[0]?.[0]?.endpoints ?? [];
    expect(found.map(({ key, reach, weight }) => [key, reach, weight])).toEqual([
      ["10.1.0.2:80", { kind: "hbone" }, 1],
      ["[fd00::1]:80", { kind: "hbone" }, 1],
      ["10.0.0.9:80", { kind: "hbone", via: { ip: "10.1.0.3", port: 15_008 } }, 1],
      ["10.1.0.4:8080", { kind: "plain" }, 7],
    ]);
  });

  it("have health: what nobody checked is healthy", () => {
    const statuses = ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY", "DRAINING", "TIMEOUT"];
    const json = locality(
      ...statuses.map((healthStatus, index) => endpoint(socket(`10.1.0.${index}`), { healthStatus })),
    );
    const found = applyEndpoints(json).cluster?.priorities[0]?.[0]?.endpoints ?? [];
    expect(found.map(({ health }) => health)).toEqual([
      "healthy",
      "healthy",
      "degraded",
      "unhealthy",
      "unhealthy",
      "unhealthy",
    ]);
  });

  it("have priorities, localities and their weights, gaps included", () => {
    const { cluster } = applyEndpoints({
      endpoints: [
        { priority: 2, lbEndpoints: [endpoint(socket("10.1.0.2"))] },
        {
          locality: { region: "r", zone: "z", subZone: "s" },
          loadBalancingWeight: 3,
          lbEndpoints: [endpoint(socket("10.1.0.1"))],
        },
        { loadBalancerEndpoints: { lbEndpoints: [endpoint(socket("10.1.0.3"))] } },
      ],
      policy: { overprovisioningFactor: 200 },
    });
    expect(cluster?.overprovisioningPercent).toBe(200);
    expect(
      cluster?.priorities.map((localities) =>
        localities.map(({ region, zone, subzone, weight }) => ({ region, zone, subzone, weight })),
      ),
    ).toEqual([
      [
        { region: "r", zone: "z", subzone: "s", weight: 3 },
        { region: "", zone: "", subzone: "", weight: 0 },
      ],
      [],
      [{ region: "", zone: "", subzone: "", weight: 0 }],
    ]);
  });

  it("come once, and case 49: mapped addresses are the same ones", () => {
    const json = locality(
      endpoint(socket("10.1.0.1")),
      endpoint(socket("::ffff:10.1.0.1"), { loadBalancingWeight: 9 }),
    );
    expect(applyEndpoints(json).cluster?.priorities[0]?.[0]?.endpoints).toMatchObject([
      { key: "10.1.0.1:80", weight: 1 },
    ]);
  });

  it("of other networks are left out, with a note", () => {
    const { cluster, notes } = applyEndpoints(
      locality(endpoint(internal("inner_connect_originate", "10.9.0.1:15008"))),
    );
    expect(cluster?.priorities[0]?.[0]?.endpoints).toEqual([]);
    expect(notes[0]).toMatch(/inner_connect_originate/);
  });

  it.each<[string, JsonObject]>([
    ["a name", locality(endpoint(socket("api.example")))],
    ["a port of 0", locality(endpoint(socket("10.1.0.1", 0)))],
    ["a named port", locality(endpoint({ socketAddress: { address: "10.1.0.1", namedPort: "http" } }))],
    ["a pipe", locality(endpoint({ pipe: { path: "/x" } }))],
    ["no address", locality(endpoint({}))],
    ["a reference", locality({ endpointName: "x" })],
    ["a tunnel to a name", locality(endpoint(internal("connect_originate", "api.example:80")))],
    ["a tunnel to nothing sensible", locality(endpoint(internal("connect_originate"), originalDst({ local: "x" })))],
    ["a priority without end", { endpoints: [{ priority: 1000 }] }],
    ["LEDS", { endpoints: [{ ledsClusterLocalityConfig: {} }] }],
  ])("are refused as %s", (_, json) => {
    expect(applyEndpoints(json).reason).toMatch(/^endpoints\[0\]/);
  });

  it("may be names where they come from DNS", () => {
    const loadAssignment = {
      clusterName: "c",
      ...locality(endpoint(socket("Api.Example", 443)), endpoint(socket("10.1.0.1"))),
    };
    const strict = compile({ type: "STRICT_DNS", loadAssignment });
    expect(strict.dns).toEqual({ hostnames: [{ hostname: "api.example", port: 443 }], logical: false });
    expect(strict.priorities[0]?.[0]?.endpoints.map(({ key }) => key)).toEqual(["10.1.0.1:80"]);
    expect(compile({ type: "LOGICAL_DNS", loadAssignment }).dns).toMatchObject({ logical: true });
    expect(apply({ type: "STATIC", loadAssignment }).reason).toMatch(
      /^load_assignment\.endpoints\[0\]\.lb_endpoints\[0\]/,
    );
    expect(
      apply({ type: "STRICT_DNS", loadAssignment: { ...loadAssignment, ...locality(endpoint(socket("a b"))) } }).reason,
    ).toMatch(/load_assignment/);
  });

  it("are where the tunnel pointed: encap, and original destinations", () => {
    const encap = {
      type: "STATIC",
      loadAssignment: { clusterName: "c", ...locality(endpoint(internal("connect_originate"))) },
    };
    expect(compile(encap)).toMatchObject({ original: true, originalReach: "hbone" });
    expect(compile({ type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" })).toMatchObject({ original: true });
    expect(compile({ type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" })).not.toHaveProperty("originalReach");
  });
});
