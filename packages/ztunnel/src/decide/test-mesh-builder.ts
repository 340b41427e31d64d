/** Workloads and services for the decision tables; everything irrelevant has a default. */
import { type IpAddress, ipOf } from "@ambit/shared/net";
import { MeshStore, type Service, type Workload } from "@ambit/shared/workload";

export const buildWorkload = (name: string, ip: string, extra: Partial<Workload> = {}): Workload => ({
  uid: `Kubernetes//Pod/shop/${name}`,
  name,
  namespace: "shop",
  serviceAccount: name,
  trustDomain: "cluster.local",
  addresses: ip === "" ? [] : [ipOf(ip)],
  hostname: "",
  network: "",
  networkMode: "Standard",
  protocol: "HBONE",
  nativeTunnel: false,
  node: "node1",
  clusterId: "Kubernetes",
  canonicalName: name,
  canonicalRevision: "v1",
  workloadName: name,
  workloadType: "deployment",
  status: "Healthy",
  locality: { region: "", zone: "", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: {},
  ...extra,
});

export const buildService = (name: string, vip: string, extra: Partial<Service> = {}): Service => ({
  name,
  namespace: "shop",
  hostname: `${name}.shop.svc.cluster.local`,
  vips: vip === "" ? [] : [{ network: "", address: ipOf(vip) }],
  cidrVips: [],
  ports: [{ servicePort: 80, targetPort: 8080 }],
  subjectAltNames: [],
  weightedWaypoints: [],
  ipFamilies: "Automatic",
  canonical: true,
  visibility: "Public",
  ...extra,
});

/** Membership in the services of these names, with the service's own target ports. */
export const serving = (...names: readonly string[]): Pick<Workload, "services"> => ({
  services: Object.fromEntries(
    names.map((name) => [`shop/${name}.shop.svc.cluster.local`, [{ servicePort: 80, targetPort: 8080 }]]),
  ),
});

export const buildMesh = (workloads: readonly Workload[], services: readonly Service[] = []): MeshStore => {
  const mesh = new MeshStore();
  mesh.apply({ workloads, services, removed: [] });
  return mesh;
};

export const address = (ip: string, port: number): { ip: IpAddress; port: number } => ({ ip: ipOf(ip), port });
