/** What istiod sends for two versions of one service behind an HTTPRoute. */
import { RouteAction_ClusterNotFoundResponseCode } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { InternalUpstreamTransportSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import { describe, expect, it } from "@jest/globals";
import { matchRoute } from "../src/route/index.ts";
import { CLUSTER_TYPE_URL, createModelCompiler, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL } from "../src/xds/index.ts";
import { buildRequest } from "./route-builders.ts";
import {
  address,
  byAddress,
  byPort,
  cluster,
  endpoints,
  hbone,
  httpChain,
  listener,
  mainListener,
  pack,
  seconds,
  slash,
  toChain,
  toCluster,
} from "./xds-builders.ts";

const nameOf = (service: string) => `inbound-vip|9080|http|${service}.default.svc.cluster.local`;
const [REVIEWS, V1, V2] = [nameOf("reviews"), nameOf("reviews-v1"), nameOf("reviews-v2")] as const;

const retry = {
  retryOn: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
  retryHostPredicate: [{ name: "envoy.retry_host_predicates.previous_hosts" }],
  hostSelectionRetryMaxAttempts: 5n,
};

const reviewsChain = httpChain(REVIEWS, [
  {
    name: "default.reviews.0",
    match: {
      ...slash,
      caseSensitive: true,
      headers: [
        {
          name: "end-user",
          headerMatchSpecifier: { case: "stringMatch", value: { matchPattern: { case: "exact", value: "jason" } } },
        },
      ],
    },
    action: {
      case: "route",
      value: {
        clusterSpecifier: { case: "cluster", value: V2 },
        timeout: seconds(3),
        maxGrpcTimeout: seconds(3),
        clusterNotFoundResponseCode: RouteAction_ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR,
        retryPolicy: {
          ...retry,
          numRetries: 3,
          perTryTimeout: seconds(1),
          retriableStatusCodes: [503],
          retryBackOff: { baseInterval: seconds(0.025) },
        },
      },
    },
    decorator: { operation: "reviews-v2.default.svc.cluster.local:9080/*" },
  },
  {
    name: "default.reviews.1",
    match: { ...slash, caseSensitive: true },
    action: {
      case: "route",
      value: {
        clusterSpecifier: {
          case: "weightedClusters",
          value: {
            clusters: [
              { name: V1, weight: 90 },
              { name: V2, weight: 10 },
            ],
          },
        },
        timeout: seconds(0),
        maxGrpcTimeout: seconds(0),
        clusterNotFoundResponseCode: RouteAction_ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR,
        retryPolicy: { ...retry, numRetries: 2 },
      },
    },
    decorator: { operation: "default~reviews.default.svc.cluster.local:9080/*" },
  },
]);

const unlimited = 4_294_967_295;
const v2Cluster = cluster(V2, {
  altStatName: `${V2};`,
  circuitBreakers: {
    thresholds: [
      { maxConnections: unlimited, maxPendingRequests: unlimited, maxRequests: unlimited, maxRetries: unlimited },
    ],
  },
  transportSocket: {
    name: "internal_upstream",
    configType: {
      case: "typedConfig",
      value: pack(InternalUpstreamTransportSchema, {
        transportSocket: { name: "raw", configType: { case: "typedConfig", value: pack(RawBufferSchema, {}) } },
      }),
    },
  },
  metadata: {
    filterMetadata: {
      istio: { services: [{ host: "reviews-v2.default.svc.cluster.local", name: "reviews-v2", namespace: "default" }] },
    },
  },
});

const tree = byAddress(
  { addresses: ["10.96.20.5"], leadsTo: byPort({ "9080": toChain(REVIEWS) }) },
  { addresses: ["10.96.20.6"], leadsTo: byPort({ "9080": toChain(V1) }) },
  { addresses: ["10.96.20.7"], leadsTo: byPort({ "9080": toChain(V2) }) },
);

function compiled() {
  const compiler = createModelCompiler();
  const results = [
    compiler.apply(
      CLUSTER_TYPE_URL,
      [cluster(V1), v2Cluster, cluster("main_internal"), cluster("connect_originate")],
      [],
    ),
    compiler.apply(
      ENDPOINT_TYPE_URL,
      [endpoints(V2, hbone("10.244.2.32:9080", "reviews-v2;default;reviews;v2;Kubernetes"))],
      [],
    ),
    compiler.apply(
      LISTENER_TYPE_URL,
      [
        listener("connect_terminate"),
        mainListener(tree, reviewsChain, httpChain(V1, [toCluster(V1)]), httpChain(V2, [toCluster(V2)])),
        listener("connect_originate"),
        listener("inner_connect_originate"),
        listener("outer_connect_originate"),
      ],
      [],
    ),
  ];
  return { compiler, results };
}

describe("istiod's worked example", () => {
  it("is accepted as a whole", () => {
    const { results } = compiled();
    expect(results.map(({ rejected, notes }) => ({ rejected, notes }))).toEqual(
      results.map(() => ({ rejected: [], notes: [] })),
    );
    expect(results.at(-1)?.wants).toEqual({ eds: [V1, V2], rds: [], secrets: [] });
  });

  it("leads each address and port to its chain, and nothing else anywhere", () => {
    const { model } = compiled().compiler;
    expect(model.findChains(address("10.96.20.5", 9080))?.http).toBe(model.chains.get(REVIEWS));
    expect(model.findChains(address("10.96.20.7", 9080))?.http).toBe(model.chains.get(V2));
    expect(model.findChains(address("::ffff:10.96.20.7", 9080))?.http).toBe(model.chains.get(V2));
    expect(model.findChains(address("10.96.20.5", 80))).toBeUndefined();
    expect(model.findChains(address("10.96.20.8", 9080))).toBeUndefined();
  });

  it("has the chain's service, settings and routes", () => {
    const { chains } = compiled().compiler.model;
    expect(chains.get(REVIEWS)).toMatchObject({
      kind: "http",
      service: { hostname: "reviews.default.svc.cluster.local", name: "reviews", namespace: "default", port: 9080 },
      path: { normalization: "base", escapedSlashes: "keep" },
      streamIdleTimeoutMs: 0,
      upgrades: ["websocket"],
      forwardedClientCert: "sanitize",
      authentication: undefined,
      authorization: { custom: [], rules: [] },
    });
    expect(chains.get(REVIEWS)).not.toHaveProperty("unservable");
  });

  it("routes by the header first, by weight otherwise", () => {
    const chain = compiled().compiler.model.findChains(address("10.96.20.5", 9080))?.http;
    if (!chain) throw new Error("expected a chain");
    const jason = matchRoute(chain.routes, buildRequest({ headers: [["end-user", "jason"]] }), () => 0.99);
    expect(jason).toMatchObject({ kind: "matched", route: { name: "default.reviews.0" }, cluster: { name: V2 } });
    const others = (draw: number) => matchRoute(chain.routes, buildRequest(), () => draw);
    expect(others(0.89)).toMatchObject({ route: { name: "default.reviews.1" }, cluster: { name: V1 } });
    expect(others(0.91)).toMatchObject({ route: { name: "default.reviews.1" }, cluster: { name: V2 } });
  });

  it("has the deadlines and retries of each route", () => {
    const chain = compiled().compiler.model.chains.get(REVIEWS);
    const [first, second] = chain?.kind === "http" ? (chain.routes.virtualHosts[0]?.routes ?? []) : [];
    expect(first).toMatchObject({
      operation: "reviews-v2.default.svc.cluster.local:9080/*",
      action: {
        timeoutMs: 3000,
        maximumGrpcTimeoutMs: 3000,
        missingClusterStatus: 500,
        retry: {
          conditions: new Set([
            "connect-failure",
            "refused-stream",
            "unavailable",
            "cancelled",
            "retriable-status-codes",
          ]),
          statusCodes: new Set([503]),
          retries: 3,
          perTryTimeoutMs: 1000,
          backoff: { baseMs: 25, maximumMs: 250 },
          avoidsTriedEndpoints: true,
          hostSelectionAttempts: 5,
          explicit: true,
        },
      },
    });
    expect(second).toMatchObject({
      action: { timeoutMs: 0, maximumGrpcTimeoutMs: 0, retry: { retries: 2, explicit: false } },
    });
  });

  it("has the cluster with its endpoint, and none of Envoy's pipes", () => {
    const { clusters } = compiled().compiler.model;
    expect([...clusters.keys()]).toEqual([V1, V2]);
    expect(clusters.get(V1)?.priorities).toEqual([]);
    expect(clusters.get(V2)).toMatchObject({
      service: { hostname: "reviews-v2.default.svc.cluster.local", name: "reviews-v2", namespace: "default" },
      algorithm: { kind: "least-request", choices: 2, activeRequestBias: 1 },
      connectTimeoutMs: 10_000,
      transport: { kind: "raw" },
      original: false,
      dns: undefined,
      circuitBreakers: {
        maximumConnections: undefined,
        maximumPendingRequests: undefined,
        maximumRequests: undefined,
        maximumRetries: undefined,
        retryBudget: undefined,
      },
      priorities: [
        [
          {
            region: "r1",
            zone: "z1",
            subzone: "",
            endpoints: [
              {
                key: "10.244.2.32:9080",
                address: { ip: "10.244.2.32", port: 9080 },
                weight: 1,
                health: "healthy",
                reach: { kind: "hbone" },
                workload: "reviews-v2;default;reviews;v2;Kubernetes",
              },
            ],
          },
        ],
      ],
    });
  });
});
