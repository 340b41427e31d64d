import { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { describe, expect, it } from "@jest/globals";
import {
  asJson,
  gatewayYaml,
  namespaceYaml,
  policyYaml,
  routeYaml,
  SHOP,
  serviceYaml,
  TestWaypoint,
  unpacked,
  vip,
} from "./test-waypoint.ts";

const CANARY = routeYaml(
  "split",
  "web",
  "{ backendRefs: [{ name: web, port: 80, weight: 999 }, { name: next, port: 80, weight: 1 }] }",
);

describe("what a waypoint is sent", () => {
  it("is nothing unless a Gateway of our classes is there", () => {
    expect(new TestWaypoint(namespaceYaml() + serviceYaml("web", "10.96.0.1")).namesOf(ListenerSchema)).toEqual([]);
    const foreign = gatewayYaml("", "someone-elses");
    expect(
      new TestWaypoint(foreign + namespaceYaml() + serviceYaml("web", "10.96.0.1")).namesOf(ClusterSchema),
    ).toEqual([]);
    expect(new TestWaypoint(gatewayYaml("", "istio-waypoint")).namesOf(ListenerSchema)).toHaveLength(3);
  });

  it("is a chain, a cluster, endpoints and routes for each service port, under one name", () => {
    const waypoint = new TestWaypoint(SHOP);
    const names = [vip("next"), vip("web")];
    expect(waypoint.namesOf(ListenerSchema)).toEqual(["connect_originate", "connect_terminate", "main_internal"]);
    expect(waypoint.namesOf(ClusterSchema)).toEqual(["connect_originate", "encap", ...names, "main_internal"]);
    expect(waypoint.namesOf(RouteConfigurationSchema)).toEqual(names);
    expect(waypoint.namesOf(ClusterLoadAssignmentSchema, "shop/wp@node1")).toEqual(names);
    expect(waypoint.listener("main_internal").filterChains.map(({ name }) => name)).toEqual([
      ...names,
      "direct-http",
      "direct-tcp",
    ]);
  });

  it("leads a tunnel to a service's address and port into the chain of that port", () => {
    const json = asJson(ListenerSchema, new TestWaypoint(SHOP).listener("main_internal"));
    expect(json).toMatchObject({
      internalListener: {},
      filterChainMatcher: {
        matcherTree: {
          customMatch: {
            typedConfig: {
              rangeMatchers: [
                { ranges: [{ addressPrefix: "10.96.0.2", prefixLen: 32 }] },
                {
                  ranges: [{ addressPrefix: "10.96.0.1", prefixLen: 32 }],
                  onMatch: {
                    matcher: {
                      matcherTree: { exactMatchMap: { map: { "80": { action: { name: vip("web") } } } } },
                    },
                  },
                },
              ],
            },
          },
        },
      },
    });
  });

  it("reaches enrolled pods through their own tunnel, others straight", () => {
    const [locality] = new TestWaypoint(SHOP).endpoints(vip("web")).endpoints;
    expect(locality?.lbEndpoints).toMatchObject([
      {
        hostIdentifier: {
          value: {
            address: {
              address: {
                value: { addressNameSpecifier: { value: "connect_originate" }, endpointId: "10.0.0.1:8080" },
              },
            },
          },
        },
        metadata: {
          filterMetadata: {
            "envoy.filters.listener.original_dst": { local: "10.0.0.1:8080" },
            istio: { workload: "web-1;shop;web;latest;Kubernetes" },
          },
        },
      },
    ]);
  });

  it("splits by weight, down to one in a thousand", () => {
    const [route] = new TestWaypoint(SHOP + CANARY).routes(vip("web"));
    expect(route?.action.value).toMatchObject({
      clusterSpecifier: {
        case: "weightedClusters",
        value: {
          clusters: [
            { name: vip("web"), weight: 999 },
            { name: vip("next"), weight: 1 },
          ],
        },
      },
    });
  });

  it("moves one resource for a change of one route", () => {
    const waypoint = new TestWaypoint(SHOP + CANARY);
    const delta = waypoint.apply(CANARY.replace("999", "99"));
    expect(delta.upserted.map(({ kind, name }) => [kind, name])).toEqual([["envoy", vip("web")]]);
    expect(delta.compiled).toBeLessThanOrEqual(3);
  });

  it("moves endpoints only for a pod that comes", () => {
    const waypoint = new TestWaypoint(SHOP);
    const delta = waypoint.apply(
      SHOP.slice(SHOP.lastIndexOf("\napiVersion")).replaceAll("next-1", "next-2").replace("10.0.0.2", "10.0.0.3"),
    );
    expect(delta.upserted.map(({ kind, name }) => [kind, name]).sort()).toEqual([
      ["envoy", vip("next")],
      ["workload", "Kubernetes//Pod/shop/next-2"],
    ]);
  });
});

describe("policies at a waypoint", () => {
  const filters = (yaml: string) =>
    new TestWaypoint(SHOP + yaml)
      .http(vip("web"))
      .httpFilters.filter(({ name }) => name === "envoy.filters.http.rbac")
      .map(({ configType }) => asJson(RBACSchema, unpacked(RBACSchema, configType.value as never)));

  it("are asked DENY first, then ALLOW", () => {
    const allow = policyYaml("get", "rules: [{ to: [{ operation: { methods: [GET] } }] }]");
    const deny = policyYaml("no-admin", "action: DENY, rules: [{ to: [{ operation: { paths: [/admin*] } }] }]");
    expect(filters(allow + deny)).toMatchObject([
      {
        rules: {
          action: "DENY",
          policies: {
            "ns[shop]-policy[no-admin]-rule[0]": {
              permissions: [
                { andRules: { rules: [{ orRules: { rules: [{ urlPath: { path: { prefix: "/admin" } } }] } }] } },
              ],
              principals: [{ andIds: { ids: [{ any: true }] } }],
            },
          },
        },
      },
      { rules: { policies: { "ns[shop]-policy[get]-rule[0]": {} } } },
    ]);
  });

  it("ask for the tunnel's peer", () => {
    const [rbac] = filters(
      policyYaml("a", "rules: [{ from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }] }]"),
    );
    expect(rbac).toMatchObject({
      rules: {
        policies: {
          "ns[shop]-policy[a]-rule[0]": {
            principals: [
              {
                andIds: {
                  ids: [
                    {
                      orIds: {
                        ids: [
                          {
                            filterState: {
                              key: "io.istio.peer_principal",
                              stringMatch: { exact: "spiffe://cluster.local/ns/shop/sa/web" },
                            },
                          },
                        ],
                      },
                    },
                  ],
                },
              },
            ],
          },
        },
      },
    });
  });

  it("change the listener alone", () => {
    const waypoint = new TestWaypoint(SHOP);
    const delta = waypoint.apply(policyYaml("a", "rules: [{}]"));
    expect(delta.upserted.map(({ name }) => name)).toEqual(["main_internal"]);
  });
});

describe("case 42: the workloads of a service that names a waypoint", () => {
  it("refuse everybody but that waypoint, on the service's ports", () => {
    const waypoint = new TestWaypoint(SHOP);
    expect(waypoint.pod("web-1")?.authorizationPolicies).toEqual(["shop/ambit-waypoint-required-web"]);
    expect(waypoint.policy("shop/ambit-waypoint-required-web")).toMatchObject({
      action: "Deny",
      rules: [[[{ destinationPorts: [8080], notPrincipals: [{ value: "cluster.local/ns/shop/sa/wp" }] }]]],
    });
  });

  it("refuse everybody while the waypoint does not exist", () => {
    const waypoint = new TestWaypoint(SHOP);
    waypoint.remove(gatewayYaml());
    expect(waypoint.policy("shop/ambit-waypoint-required-web")?.rules).toEqual([[[{ destinationPorts: [8080] }]]]);
  });

  it("are left alone where the bypass is allowed", () => {
    const waypoint = new TestWaypoint(SHOP + namespaceYaml("ambit.io/waypoint-bypass: allow"));
    expect(waypoint.pod("web-1")?.authorizationPolicies).toEqual([]);
  });

  it("cannot be opened by a policy that takes the name of ours", () => {
    const impostor = policyYaml("ambit-waypoint-required-web", "rules: [{}]").replace(/targetRefs: \[.*?\], /, "");
    expect(new TestWaypoint(SHOP + impostor).policy("shop/ambit-waypoint-required-web")?.action).toBe("Deny");
  });
});
