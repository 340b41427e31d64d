import { describe, expect, it } from "@jest/globals";
import { ipOf } from "../net/index.ts";
import type { AuthorizationPolicy } from "../policy/index.ts";
import type { Service, Workload } from "../workload/index.ts";
import { dumpPolicy, dumpService, dumpWorkload } from "./config-dump.ts";

const workload: Workload = {
  uid: "Kubernetes//Pod/shop/web-1",
  name: "web-1",
  namespace: "shop",
  serviceAccount: "web",
  trustDomain: "cluster.local",
  addresses: [ipOf("10.0.0.1")],
  hostname: "",
  network: "",
  networkMode: "Standard",
  protocol: "HBONE",
  nativeTunnel: false,
  node: "node1",
  clusterId: "Kubernetes",
  canonicalName: "web",
  canonicalRevision: "v1",
  workloadName: "web",
  workloadType: "deployment",
  status: "Healthy",
  locality: { region: "eu", zone: "", subzone: "" },
  capacity: 1,
  waypoint: { destination: { kind: "address", network: "n", address: ipOf("10.0.0.9") }, hboneMtlsPort: 15008 },
  authorizationPolicies: [],
  services: { "shop/web.shop.svc.cluster.local": [{ servicePort: 80, targetPort: 8080 }] },
};

const service: Service = {
  name: "web",
  namespace: "shop",
  hostname: "web.shop.svc.cluster.local",
  vips: [{ network: "", address: ipOf("10.1.0.1") }],
  cidrVips: [],
  ports: [{ servicePort: 80, targetPort: 8080 }],
  subjectAltNames: [],
  weightedWaypoints: [],
  loadBalancing: { mode: "Failover", routingPreferences: ["Network"], healthPolicy: "OnlyHealthy" },
  ipFamilies: "IPv4",
  canonical: true,
  visibility: "Public",
};

describe("config dump", () => {
  it("prints a workload with istioctl's keys and leaves empty ones out", () => {
    expect(dumpWorkload(workload)).toEqual({
      workloadIps: ["10.0.0.1"],
      waypoint: { destination: "n/10.0.0.9", hboneMtlsPort: 15008 },
      protocol: "HBONE",
      networkMode: "Standard",
      uid: "Kubernetes//Pod/shop/web-1",
      name: "web-1",
      namespace: "shop",
      trustDomain: "cluster.local",
      serviceAccount: "web",
      workloadName: "web",
      workloadType: "deployment",
      canonicalName: "web",
      canonicalRevision: "v1",
      node: "node1",
      nativeTunnel: false,
      status: "Healthy",
      clusterId: "Kubernetes",
      locality: { region: "eu" },
      services: ["shop/web.shop.svc.cluster.local"],
      capacity: 1,
    });
  });

  it("prints a service with its endpoints", () => {
    const members = [{ workload, ports: workload.services["shop/web.shop.svc.cluster.local"] ?? [] }];
    expect(dumpService(service, members)).toEqual({
      name: "web",
      namespace: "shop",
      hostname: "web.shop.svc.cluster.local",
      vips: ["/10.1.0.1"],
      ports: { "80": 8080 },
      endpoints: {
        "Kubernetes//Pod/shop/web-1": { workloadUid: workload.uid, port: { "80": 8080 }, status: "Healthy" },
      },
      loadBalancer: { mode: "Failover", routingPreferences: ["Network"], healthPolicy: "OnlyHealthy" },
      ipFamilies: "IPv4",
      canonical: true,
      visibility: "Public",
    });
  });

  it("prints a policy with matches in camel case and string matches tagged", () => {
    const policy: AuthorizationPolicy = {
      name: "p",
      namespace: "shop",
      scope: "WorkloadSelector",
      action: "Deny",
      dryRun: false,
      rules: [
        [
          [
            {
              principals: [{ kind: "prefix", value: "td/" }],
              notNamespaces: [{ kind: "presence" }],
              destinationPorts: [80],
            },
          ],
        ],
      ],
    };
    expect(dumpPolicy(policy)).toEqual({
      name: "p",
      namespace: "shop",
      scope: "WorkloadSelector",
      action: "Deny",
      dryRun: false,
      rules: [[[{ principals: [{ Prefix: "td/" }], notNamespaces: [{ Presence: [] }], destinationPorts: [80] }]]],
    });
  });
});
