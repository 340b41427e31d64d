import { Cluster_DiscoveryType, Cluster_LbPolicy } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { HealthStatus } from "@ambit/envoy-api/envoy/config/core/v3/health_check";
import { InternalUpstreamTransportSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { SecretSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { HttpProtocolOptionsSchema } from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import type { ObjectKey } from "@ambit/shared/kube";
import { createRoot } from "@ambit/shared/x509";
import { describe, expect, it } from "@jest/globals";
import { pod } from "../test-objects.ts";
import { enrolledPod, SHOP, serviceYaml, TestWaypoint, unpacked, vip } from "./test-waypoint.ts";

const rule = (spec: string, more = ""): string =>
  `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d, namespace: shop${more} }\nspec: { host: web, ${spec} }\n---\n`;
const node = (name: string, zone: string): string =>
  `apiVersion: v1\nkind: Node\nmetadata: { name: ${name}, labels: { topology.kubernetes.io/region: r, topology.kubernetes.io/zone: ${zone} } }\n---\n`;
const web = (spec = "") => new TestWaypoint(SHOP + (spec && rule(spec))).cluster(vip("web"));
const optionsOf = (cluster: ReturnType<typeof web>) =>
  unpacked(
    HttpProtocolOptionsSchema,
    cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"],
  );

describe("a cluster", () => {
  it("has Istio's defaults: least request, no limits, no panic", () => {
    expect(web()).toMatchObject({
      lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
      altStatName: `${vip("web")};`,
      circuitBreakers: { thresholds: [{ maxConnections: 4294967295, maxRequests: 4294967295 }] },
      commonLbConfig: { healthyPanicThreshold: { value: 0 } },
      metadata: {
        filterMetadata: {
          istio: { services: [{ host: "web.shop.svc.cluster.local", name: "web", namespace: "shop" }] },
        },
      },
    });
  });

  it.each([
    ["loadBalancer: { simple: ROUND_ROBIN }", { lbPolicy: Cluster_LbPolicy.ROUND_ROBIN }],
    ["loadBalancer: { simple: RANDOM }", { lbPolicy: Cluster_LbPolicy.RANDOM }],
    ["loadBalancer: { consistentHash: { useSourceIp: true } }", { lbPolicy: Cluster_LbPolicy.RING_HASH }],
    [
      "loadBalancer: { consistentHash: { maglev: { tableSize: 1009 } } }",
      { lbPolicy: Cluster_LbPolicy.MAGLEV, lbConfig: { value: { tableSize: 1009n } } },
    ],
    [
      "loadBalancer: { consistentHash: { maglev: { tableSize: 1000 } } }",
      { lbPolicy: Cluster_LbPolicy.MAGLEV, lbConfig: { case: undefined } },
    ],
    [
      "loadBalancer: { simple: LEAST_REQUEST, warmup: { duration: 10s } }",
      { lbConfig: { value: { slowStartConfig: { slowStartWindow: { seconds: 10n } } } } },
    ],
    [
      "connectionPool: { tcp: { maxConnections: 5, connectTimeout: 1s } }",
      { connectTimeout: { seconds: 1n }, circuitBreakers: { thresholds: [{ maxConnections: 5 }] } },
    ],
    [
      "connectionPool: { http: { http1MaxPendingRequests: 5, http2MaxRequests: 6, maxRetries: 7 } }",
      { circuitBreakers: { thresholds: [{ maxPendingRequests: 5, maxRequests: 6, maxRetries: 7 }] } },
    ],
    [
      "retryBudget: { percent: 10 }",
      { circuitBreakers: { thresholds: [{ retryBudget: { budgetPercent: { value: 10 }, minRetryConcurrency: 3 } }] } },
    ],
    [
      "outlierDetection: { consecutive5xxErrors: 3, interval: 5s, baseEjectionTime: 1m, maxEjectionPercent: 50 }",
      {
        outlierDetection: {
          consecutive5xx: 3,
          interval: { seconds: 5n },
          baseEjectionTime: { seconds: 60n },
          maxEjectionPercent: 50,
          enforcingSuccessRate: 0,
          enforcingLocalOriginSuccessRate: 0,
        },
      },
    ],
  ])("follows trafficPolicy: { %s }", (policy, expected) => {
    expect(web(`trafficPolicy: { ${policy} }`)).toMatchObject(expected);
  });

  it("is spoken to as its port says", () => {
    const ports = "{ name: http, port: 80 }, { name: grpc, port: 81 }, { name: what, port: 82 }";
    const waypoint = new TestWaypoint(SHOP + serviceYaml("web", "10.96.0.1", { ports }));
    const protocols = [80, 81, 82].map((port) => {
      const choice = optionsOf(waypoint.cluster(vip("web", port))).upstreamProtocolOptions;
      return choice.case === "explicitHttpConfig" ? choice.value.protocolConfig.case : choice.case;
    });
    expect(protocols).toEqual(["httpProtocolOptions", "http2ProtocolOptions", "useDownstreamProtocolConfig"]);
    const ofWorkloads = optionsOf(waypoint.cluster("encap")).upstreamProtocolOptions;
    expect(ofWorkloads.case).toBe("useDownstreamProtocolConfig");
  });

  it("of a subset has its labels' endpoints and its own policy over the common one, and again by port", () => {
    const spec =
      "trafficPolicy: { loadBalancer: { simple: RANDOM }, retryBudget: { percent: 5 } }, subsets: [{ name: v2, labels: { version: v2 }, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN }, portLevelSettings: [{ port: { number: 80 }, retryBudget: { percent: 9 } }] } }]";
    const second = enrolledPod("web-2", "10.0.0.9", "web").replace("app: web", "app: web, version: v2");
    const waypoint = new TestWaypoint(SHOP + second + rule(spec));
    const name = "inbound-vip|80|http/v2|web.shop.svc.cluster.local";
    expect(waypoint.cluster(name)).toMatchObject({
      lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
      circuitBreakers: { thresholds: [{ retryBudget: { budgetPercent: { value: 9 } } }] },
      metadata: {
        filterMetadata: {
          istio: { subset: "http/v2", config: "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/d" },
        },
      },
    });
    expect(waypoint.endpoints(name).endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)).toHaveLength(1);
    expect(waypoint.endpoints(vip("web")).endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)).toHaveLength(2);
  });

  it("case 56: follows the oldest rule for a host; the younger says that it does not count", () => {
    const old = rule("trafficPolicy: { loadBalancer: { simple: RANDOM } }", ", creationTimestamp: '2020'").replace(
      "name: d,",
      "name: z,",
    );
    const young = rule("trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } }", ", creationTimestamp: '2021'");
    const waypoint = new TestWaypoint(SHOP + young + old);
    expect(waypoint.cluster(vip("web")).lbPolicy).toBe(Cluster_LbPolicy.RANDOM);
    expect(waypoint.conditions.get("DestinationRule/shop/d" as ObjectKey)).toMatchObject([
      { status: "False", reason: "Conflicted" },
    ]);
  });

  it("case 55: does not follow a rule of a namespace that has nothing to do with it", () => {
    const foreign = rule("trafficPolicy: { loadBalancer: { simple: RANDOM } }")
      .replace("namespace: shop", "namespace: bank")
      .replace("host: web", "host: web.shop.svc.cluster.local");
    expect(new TestWaypoint(SHOP + foreign).cluster(vip("web")).lbPolicy).toBe(Cluster_LbPolicy.LEAST_REQUEST);
  });
});

const wishes = { organization: "shop", notBefore: 0, notAfter: 4_000_000_000_000 };
const PAIR = await createRoot(wishes);
const OTHER = await createRoot(wishes);
/** A Secret with a client's certificate. */
const client = (more = "", key = PAIR.keyPem): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: { name: client, namespace: shop }\nstringData: { tls.crt: ${JSON.stringify(PAIR.certPem)}, tls.key: ${JSON.stringify(key)}${more} }\n---\n`;

describe("TLS to the endpoint", () => {
  const tlsOf = (tls: string, more = "") => {
    const waypoint = new TestWaypoint(SHOP + more + rule(`trafficPolicy: { tls: { ${tls} } }`));
    const outer = waypoint.cluster(vip("web")).transportSocket?.configType.value;
    const inner = unpacked(InternalUpstreamTransportSchema, outer as never).transportSocket?.configType.value;
    return unpacked(UpstreamTlsContextSchema, inner as never);
  };

  it("is inside of the tunnel and verifies the name it asks for", () => {
    expect(tlsOf("mode: SIMPLE, sni: a.example")).toMatchObject({
      sni: "a.example",
      commonTlsContext: {
        validationContextType: {
          value: {
            trustedCa: { specifier: { value: "/etc/ssl/certs/ca-certificates.crt" } },
            matchTypedSubjectAltNames: [{ matcher: { matchPattern: { value: "a.example" } } }],
          },
        },
      },
    });
  });

  it("trusts the roots of a Secret or ConfigMap by its name", () => {
    const bundle =
      "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: roots, namespace: shop }\ndata: { ca.crt: '-----BEGIN CERTIFICATE-----' }\n---\n";
    const validation = tlsOf("mode: SIMPLE, credentialName: roots", bundle).commonTlsContext?.validationContextType
      .value;
    expect(validation).toMatchObject({ trustedCa: { specifier: { case: "inlineString" } } });
  });

  it("proves a certificate of the waypoint's own namespace, whose key is a secret of its own", () => {
    const waypoint = new TestWaypoint(
      SHOP + client() + rule("trafficPolicy: { tls: { mode: MUTUAL, credentialName: client } }"),
    );
    expect(waypoint.namesOf(SecretSchema)).toEqual(["kubernetes://client"]);
    const tls = tlsOf("mode: MUTUAL, credentialName: client", client());
    expect(tls.commonTlsContext).toMatchObject({
      tlsCertificateSdsSecretConfigs: [
        { name: "kubernetes://client", sdsConfig: { configSourceSpecifier: { case: "ads" } } },
      ],
    });
    const all = waypoint.model.resources().filter((each) => each.kind === "envoy");
    const withKey = all.filter(({ value }) => Buffer.from(value).includes("PRIVATE KEY"));
    expect(withKey.map(({ name }) => name)).toEqual(["kubernetes://client"]);
    const delta = waypoint.remove(client());
    expect(delta.removed.map(({ name }) => name)).toContain("kubernetes://client");
  });

  it("checks the revocation list beside the roots", () => {
    const secret = client(", ca.crt: '-----BEGIN CERTIFICATE-----', ca.crl: '-----BEGIN X509 CRL-----'");
    expect(
      tlsOf("mode: SIMPLE, credentialName: client", secret).commonTlsContext?.validationContextType.value,
    ).toMatchObject({ crl: { specifier: { case: "inlineString", value: "-----BEGIN X509 CRL-----" } } });
  });

  it.each([
    ["mode: MUTUAL, credentialName: gone", "", "no Secret gone with tls.crt and tls.key"],
    ["mode: MUTUAL, credentialName: client", client("", "x"), "expected tls.crt and tls.key as PEM"],
    ["mode: MUTUAL, credentialName: client", client("", OTHER.keyPem), "tls.key is not the key of tls.crt"],
    ["mode: SIMPLE, caCrl: /etc/crl", "", "tls.caCrl: files are not read"],
    ["mode: MUTUAL", "", "tls: MUTUAL needs credentialName"],
  ])("that is asked for as %s %s is none, and says why", (tls, secret, reason) => {
    const waypoint = new TestWaypoint(SHOP + secret + rule(`trafficPolicy: { tls: { ${tls} } }`));
    expect(() => waypoint.cluster(vip("web"))).toThrow();
    expect(waypoint.namesOf(SecretSchema)).toEqual([]);
    const [condition] = waypoint.conditions.get("DestinationRule/shop/d" as ObjectKey) ?? [];
    expect(condition?.message).toContain(reason);
    expect(condition?.message).not.toContain("PRIVATE");
  });

  it("case 55: proves nothing of the waypoint's namespace for a rule of another", () => {
    const foreign = rule("trafficPolicy: { tls: { mode: MUTUAL, credentialName: client } }")
      .replace("namespace: shop", "namespace: istio-system")
      .replace("host: web", "host: web.shop.svc.cluster.local");
    const waypoint = new TestWaypoint(SHOP + client() + foreign);
    expect(() => waypoint.cluster(vip("web"))).toThrow();
    expect(waypoint.namesOf(SecretSchema)).toEqual([]);
    expect(waypoint.conditions.get("DestinationRule/istio-system/d" as ObjectKey)?.[0]?.message).toContain(
      "only DestinationRules of shop",
    );
  });

  it("that cannot be verified as asked is no cluster at all, and said", () => {
    const waypoint = new TestWaypoint(SHOP + rule("trafficPolicy: { tls: { mode: SIMPLE, credentialName: gone } }"));
    expect(() => waypoint.cluster(vip("web"))).toThrow();
    expect(waypoint.conditions.get("DestinationRule/shop/d" as ObjectKey)).toMatchObject([
      { status: "False", reason: "Invalid" },
    ]);
  });
});

describe("endpoints", () => {
  const near = (spec: string, more = "") => {
    const far = pod("far", { ip: "10.0.0.8", labels: "app: web" }).replace("nodeName: node1", "nodeName: node2");
    const waypoint = new TestWaypoint(
      SHOP + node("node1", "a") + node("node2", "b") + far + more + (spec && rule(spec)),
    );
    return waypoint
      .endpoints(vip("web"))
      .endpoints.map(({ locality, priority, loadBalancingWeight }) => [locality?.zone, priority, loadBalancingWeight]);
  };

  it.each([
    [
      "all alike, when nobody asks",
      "",
      "",
      [
        ["a", 0, undefined],
        ["b", 0, undefined],
      ],
    ],
    [
      "the same zone first, for a service that wants to stay near",
      "",
      serviceYaml("web", "10.96.0.1", { spec: ", trafficDistribution: PreferSameZone" }),
      [
        ["a", 0, undefined],
        ["b", 1, undefined],
      ],
    ],
    [
      "only the same node, for one whose traffic is local",
      "",
      serviceYaml("web", "10.96.0.1", { spec: ", internalTrafficPolicy: Local" }),
      [["a", 0, undefined]],
    ],
    [
      "the same zone first, with outlier detection",
      "trafficPolicy: { outlierDetection: { interval: 1s }, loadBalancer: { localityLbSetting: { enabled: true } } }",
      "",
      [
        ["a", 0, undefined],
        ["b", 1, undefined],
      ],
    ],
    [
      "all alike, without outlier detection",
      "trafficPolicy: { loadBalancer: { localityLbSetting: { enabled: true } } }",
      "",
      [
        ["a", 0, undefined],
        ["b", 0, undefined],
      ],
    ],
    [
      "shares by zone",
      "trafficPolicy: { loadBalancer: { localityLbSetting: { distribute: [{ from: r/a, to: { r/a: 80, r/b: 20 } }] } } }",
      "",
      [
        ["a", 0, 80],
        ["b", 0, 20],
      ],
    ],
  ])("are preferred: %s", (_what, spec, more, expected) => {
    expect(near(spec, more)).toEqual(expected);
  });

  it("say when they are not ready, so that failover sees how many are left", () => {
    const sick = enrolledPod("web-9", "10.0.0.9", "web").replace('status: "True"', 'status: "False"');
    const health = new TestWaypoint(SHOP + sick)
      .endpoints(vip("web"))
      .endpoints.flatMap(({ lbEndpoints }) => lbEndpoints.map((each) => each.healthStatus));
    expect(health.sort()).toEqual([HealthStatus.UNKNOWN, HealthStatus.UNHEALTHY]);
  });
});

describe("hosts of ServiceEntries", () => {
  const entry = (spec: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { name: e, namespace: shop }\nspec: { hosts: [e.example], addresses: [240.0.0.1], ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }], ${spec} }\n---\n`;
  const cluster = (spec: string) => new TestWaypoint(SHOP + entry(spec)).cluster("inbound-vip|80|http|e.example");

  it.each([
    ["STATIC", "resolution: STATIC, endpoints: [{ address: 192.0.2.1 }]", Cluster_DiscoveryType.EDS],
    ["DNS", "resolution: DNS", Cluster_DiscoveryType.STRICT_DNS],
    ["DNS_ROUND_ROBIN", "resolution: DNS_ROUND_ROBIN", Cluster_DiscoveryType.LOGICAL_DNS],
    ["NONE", "resolution: NONE", Cluster_DiscoveryType.ORIGINAL_DST],
  ])("are found by %s", (_what, spec, type) => {
    expect(cluster(spec).clusterDiscoveryType.value).toBe(type);
  });

  it("are looked up by the waypoint itself, under their name", () => {
    expect(cluster("resolution: DNS").loadAssignment?.endpoints[0]?.lbEndpoints[0]?.hostIdentifier.value).toMatchObject(
      {
        address: { address: { value: { address: "e.example", portSpecifier: { value: 8080 } } } },
      },
    );
  });

  it("of one name in two namespaces are one chain only: the first keeps it", () => {
    const infra = `${SHOP}${entry("resolution: STATIC, endpoints: [{ address: 192.0.2.1 }]")}`;
    const second = entry("resolution: STATIC, endpoints: [{ address: 192.0.2.2 }]")
      .replace(
        "namespace: shop",
        "namespace: bank, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: shop }",
      )
      .replace("240.0.0.1", "240.0.0.2");
    const all = infra.replace("protocol: HBONE }", "protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }");
    const names = new TestWaypoint(all + second).listener("main_internal").filterChains.map(({ name }) => name);
    expect(names.filter((name) => name.endsWith("|e.example"))).toHaveLength(1);
  });

  it("of one name never have one chain name twice, whatever each says of the port's protocol", () => {
    const entryOf = (port: string, namespace: string, address: string) =>
      entry("resolution: STATIC, endpoints: [{ address: 192.0.2.1 }]")
        .replace("name: http, protocol: HTTP", port)
        .replace(
          "namespace: shop",
          `namespace: ${namespace}, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: shop }`,
        )
        .replace("240.0.0.1", address);
    const all = SHOP.replace("protocol: HBONE }", "protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }");
    const text =
      all + entryOf("name: tcp, protocol: TCP", "bank", "240.0.0.2") + entryOf("name: any", "atlas", "240.0.0.3");
    const names = new TestWaypoint(text).listener("main_internal").filterChains.map(({ name }) => name);
    expect(names.filter((name) => name.endsWith("|e.example"))).toHaveLength(2);
    expect(names).toEqual([...new Set(names)]);
  });
});
