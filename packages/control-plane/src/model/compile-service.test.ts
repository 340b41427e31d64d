import { describe, expect, it } from "@jest/globals";
import { pod, TestMesh } from "./test-objects.ts";

const service = (spec: string, more = ""): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop${more} }\nspec: { ${spec} }\n---\n`;
const web = (mesh: TestMesh) => mesh.service("web.shop.svc.cluster.local");

describe("a Kubernetes Service", () => {
  it("has its cluster IPs as VIPs and its ports", () => {
    const mesh = new TestMesh(
      service(
        "clusterIPs: [10.1.0.1, 'fd00::1'], ipFamilies: [IPv4, IPv6], ports: [{ name: a, port: 80, targetPort: 8080 }, { name: b, port: 81 }]",
      ),
    );
    expect(web(mesh)).toEqual({
      name: "web",
      namespace: "shop",
      hostname: "web.shop.svc.cluster.local",
      vips: [
        { network: "", address: "10.1.0.1" },
        { network: "", address: "fd00::1" },
      ],
      cidrVips: [],
      ports: [
        { servicePort: 80, targetPort: 8080 },
        { servicePort: 81, targetPort: 81 },
      ],
      subjectAltNames: [],
      weightedWaypoints: [],
      ipFamilies: "Dual",
      canonical: true,
      visibility: "Public",
    });
  });

  it("has no VIP when headless, and is absent as ExternalName", () => {
    expect(web(new TestMesh(service("clusterIP: None, ports: [{ port: 80 }]")))?.vips).toEqual([]);
    expect(web(new TestMesh(service("type: ExternalName, externalName: a.b")))).toBeUndefined();
  });

  const FAILOVER_ZONE = {
    mode: "Failover",
    routingPreferences: ["Network", "Region", "Zone"],
    healthPolicy: "OnlyHealthy",
  };
  const annotation = ", annotations: { networking.istio.io/traffic-distribution: PreferClose }";
  it.each([
    ["nothing", "", "", undefined],
    ["trafficDistribution PreferClose", "trafficDistribution: PreferClose", "", FAILOVER_ZONE],
    ["trafficDistribution prefersamezone", "trafficDistribution: prefersamezone", "", FAILOVER_ZONE],
    ["the annotation", "", annotation, FAILOVER_ZONE],
    ["a field that means nothing before the annotation", "trafficDistribution: Whatever", annotation, undefined],
    [
      "internalTrafficPolicy Local before all",
      "internalTrafficPolicy: Local, trafficDistribution: PreferClose",
      "",
      { mode: "Strict", routingPreferences: ["Node"], healthPolicy: "OnlyHealthy" },
    ],
    [
      "publishNotReadyAddresses",
      "publishNotReadyAddresses: true",
      "",
      { mode: "Standard", routingPreferences: [], healthPolicy: "AllowAll" },
    ],
    [
      "PreferSameNode and publishNotReadyAddresses",
      "publishNotReadyAddresses: true, trafficDistribution: PreferSameNode",
      "",
      {
        mode: "Failover",
        routingPreferences: ["Network", "Region", "Zone", "Subzone", "Node"],
        healthPolicy: "AllowAll",
      },
    ],
  ])("balances by %s", (_what, spec, more, expected) => {
    expect(web(new TestMesh(service(`ports: [{ port: 80 }]${spec && `, ${spec}`}`, more)))?.loadBalancing).toEqual(
      expected,
    );
  });

  it("inherits traffic distribution from its namespace", () => {
    const namespace =
      "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, annotations: { networking.istio.io/traffic-distribution: PreferSameZone } }\n---\n";
    const mesh = new TestMesh(namespace + service("ports: [{ port: 80 }]"));
    expect(web(mesh)?.loadBalancing).toEqual(FAILOVER_ZONE);
  });

  it("keeps one service's publishNotReadyAddresses to that service", () => {
    const other = service("trafficDistribution: PreferClose, ports: [{ port: 80 }]").replace(
      "name: web",
      "name: other",
    );
    const mesh = new TestMesh(
      service("trafficDistribution: PreferClose, publishNotReadyAddresses: true, ports: [{ port: 80 }]") + other,
    );
    expect(mesh.service("other.shop.svc.cluster.local")?.loadBalancing).toEqual(FAILOVER_ZONE);
  });
});

describe("a ServiceEntry", () => {
  const entry = (spec: string, meta = "name: ext, namespace: shop"): string =>
    `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: { ${meta} }\nspec: { ${spec} }\n---\n`;
  const PORTS = "ports: [{ number: 443, name: https, protocol: TLS, targetPort: 8443 }]";

  it("is one service a host, with prefixes as VIPs and its subject names", () => {
    const mesh = new TestMesh(
      entry(
        `hosts: [a.example.com, "*.b.example.com"], addresses: [192.0.2.7, 198.51.100.0/24], ${PORTS}, subjectAltNames: ["spiffe://cluster.local/ns/x/sa/y"]`,
      ),
    );
    expect(mesh.service("a.example.com")).toEqual({
      name: "ext",
      namespace: "shop",
      hostname: "a.example.com",
      vips: [{ network: "", address: "192.0.2.7" }],
      cidrVips: [{ network: "", address: "198.51.100.0", prefixLength: 24 }],
      ports: [{ servicePort: 443, targetPort: 8443 }],
      subjectAltNames: ["spiffe://cluster.local/ns/x/sa/y"],
      weightedWaypoints: [],
      loadBalancing: { mode: "Passthrough", routingPreferences: [], healthPolicy: "AllowAll" },
      ipFamilies: "Automatic",
      canonical: true,
      visibility: "Public",
    });
    expect(mesh.service("*.b.example.com")?.hostname).toBe("*.b.example.com");
  });

  it("has its inline endpoints as workloads, each with its own network", () => {
    const mesh = new TestMesh(
      entry(
        `hosts: [db.example.com], resolution: STATIC, ${PORTS}, endpoints: [{ address: 192.0.2.1, network: n2, ports: { https: 9443 }, weight: 3, locality: r/z/s, serviceAccount: db }, { address: 192.0.2.2 }]`,
      ),
    );
    const prefix = "Kubernetes/networking.istio.io/ServiceEntry/shop/ext";
    expect(mesh.workload(`${prefix}/192.0.2.1`)).toMatchObject({
      addresses: ["192.0.2.1"],
      network: "n2",
      capacity: 3,
      serviceAccount: "db",
      locality: { region: "r", zone: "z", subzone: "s" },
      services: { "shop/db.example.com": [{ servicePort: 443, targetPort: 9443 }] },
    });
    expect(mesh.workload(`${prefix}/192.0.2.2`)).toMatchObject({
      network: "",
      capacity: 1,
      services: { "shop/db.example.com": [{ servicePort: 443, targetPort: 8443 }] },
    });
    expect(mesh.service("db.example.com")?.loadBalancing).toBeUndefined();
  });

  it("with DNS resolution and no endpoints is one workload to be resolved by name", () => {
    const mesh = new TestMesh(entry(`hosts: [api.example.com], resolution: DNS, ${PORTS}`));
    expect(mesh.workload("Kubernetes/networking.istio.io/ServiceEntry/shop/ext/api.example.com")).toMatchObject({
      hostname: "api.example.com",
      addresses: [],
      services: { "shop/api.example.com": [{ servicePort: 443, targetPort: 8443 }] },
    });
  });

  it("selects pods and WorkloadEntries, with ports by name where they have them", () => {
    const yaml =
      entry(`hosts: [x.example.com], resolution: STATIC, ${PORTS}, workloadSelector: { labels: { app: x } }`) +
      pod("p", { labels: "app: x" }).replace(
        "{ name: c }",
        "{ name: c, ports: [{ name: https, containerPort: 7443 }] }",
      ) +
      pod("q", { labels: "app: x", ip: "10.0.0.2" }) +
      "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: vm, namespace: shop }\nspec: { address: 192.0.2.9, labels: { app: x }, ports: { https: 6443 }, serviceAccount: vm, weight: 2 }\n";
    const mesh = new TestMesh(yaml);
    const targets = [
      mesh.pod("p"),
      mesh.pod("q"),
      mesh.workload("Kubernetes/networking.istio.io/WorkloadEntry/shop/vm"),
    ];
    expect(targets.map((each) => each?.services["shop/x.example.com"]?.[0]?.targetPort)).toEqual([7443, 8443, 6443]);
    expect(targets[2]).toMatchObject({ serviceAccount: "vm", capacity: 2, status: "Healthy" });
  });

  it.each([
    ["nothing", "", "Public"],
    ["everybody", 'exportTo: ["*"]', "Public"],
    ["itself", 'exportTo: ["."]', "Namespace"],
    ["its own name", "exportTo: [shop]", "Namespace"],
  ])("exported to %s is %s", (_what, exportTo, visibility) => {
    const mesh = new TestMesh(entry(`hosts: [a.example.com]${exportTo && `, ${exportTo}`}`));
    expect(mesh.service("a.example.com")?.visibility).toBe(visibility);
  });

  it("exported to nobody is not sent", () => {
    expect(new TestMesh(entry('hosts: [a.example.com], exportTo: ["~"]')).names()).toEqual([]);
  });

  it("case 55: cannot take over another namespace's hostname: the Service stays canonical", () => {
    const mesh = new TestMesh(
      service("clusterIP: 10.1.0.1, ports: [{ port: 80 }]") +
        entry(
          "hosts: [web.shop.svc.cluster.local], addresses: [192.0.2.66]",
          "name: theft, namespace: evil, creationTimestamp: '2020-01-01T00:00:00Z'",
        ),
    );
    expect(mesh.service("web.shop.svc.cluster.local", "evil")?.canonical).toBe(false);
    expect(mesh.service("web.shop.svc.cluster.local")).toMatchObject({
      canonical: true,
      vips: [{ address: "10.1.0.1" }],
    });
  });

  it("case 55: loses to the Service in its own namespace, and to the older entry", () => {
    const own = entry("hosts: [web.shop.svc.cluster.local], addresses: [192.0.2.66]");
    const mesh = new TestMesh(service("clusterIP: 10.1.0.1, ports: [{ port: 80 }]") + own);
    expect(web(mesh)?.vips).toEqual([{ network: "", address: "10.1.0.1" }]);
    const dated = (name: string, year: number): string =>
      entry("hosts: [a.example.com]", `name: ${name}, namespace: shop, creationTimestamp: '${year}-01-01T00:00:00Z'`);
    const both = new TestMesh(dated("a", 2022) + dated("b", 2021));
    expect(both.service("a.example.com")?.name).toBe("b");
    both.remove(dated("b", 2021));
    expect(both.service("a.example.com")?.name).toBe("a");
  });
});
