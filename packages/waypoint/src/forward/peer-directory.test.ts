import { ipOf } from "@ambit/shared/net";
import { MeshStore, type Service, type Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import { PeerDirectory } from "./peer-directory.ts";

const cart: Workload = {
  uid: "Kubernetes//Pod/shop/cart-1",
  name: "cart-1",
  namespace: "shop",
  serviceAccount: "cart-sa",
  trustDomain: "mesh.test",
  addresses: [ipOf("10.0.0.2"), ipOf("fd00::2")],
  hostname: "",
  network: "blue",
  networkMode: "Standard",
  protocol: "HBONE",
  nativeTunnel: false,
  node: "node1",
  clusterId: "Kubernetes",
  canonicalName: "cart-app",
  canonicalRevision: "v2",
  workloadName: "cart",
  workloadType: "deployment",
  status: "Healthy",
  locality: { region: "r", zone: "z", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: {},
};
const service: Service = {
  name: "cart",
  namespace: "shop",
  hostname: "cart.shop.svc.cluster.local",
  vips: [{ network: "blue", address: ipOf("10.96.0.2") }],
  cidrVips: [],
  ports: [{ servicePort: 80, targetPort: 8080 }],
  subjectAltNames: [],
  weightedWaypoints: [],
  ipFamilies: "Automatic",
  canonical: false,
  visibility: "Public",
};

function directoryOf(network = "blue"): { store: MeshStore; directory: PeerDirectory } {
  const store = new MeshStore();
  store.apply({ workloads: [cart], services: [service], removed: [] });
  return { store, directory: new PeerDirectory(store, network) };
}

describe("PeerDirectory", () => {
  it("says who is at an address, in every form of telemetry", () => {
    const identity = "spiffe://mesh.test/ns/shop/sa/cart-sa";
    expect(directoryOf().directory.peerByIp(ipOf("10.0.0.2"))).toEqual({
      identity,
      info: {
        principal: identity,
        workload: "cart",
        namespace: "shop",
        canonicalService: "cart-app",
        canonicalRevision: "v2",
        cluster: "Kubernetes",
      },
      baggage: {
        clusterId: "Kubernetes",
        namespace: "shop",
        workloadType: "deployment",
        workloadName: "cart",
        canonicalName: "cart-app",
        canonicalRevision: "v2",
        region: "r",
        zone: "z",
      },
    });
  });

  it("knows nobody at other addresses and on other networks", () => {
    expect(directoryOf().directory.peerByIp(ipOf("10.0.0.3"))).toBeUndefined();
    expect(directoryOf("green").directory.peerByIp(ipOf("10.0.0.2"))).toBeUndefined();
  });

  it("follows what the control plane says", () => {
    const { store, directory } = directoryOf();
    expect(directory.peerByIp(ipOf("fd00::2"))).toBe(directory.peerByIp(ipOf("10.0.0.2")));
    store.apply({ workloads: [{ ...cart, serviceAccount: "other" }], services: [], removed: [] });
    expect(directory.peerByIp(ipOf("10.0.0.2"))?.identity).toBe("spiffe://mesh.test/ns/shop/sa/other");
    store.apply({ workloads: [], services: [], removed: [cart.uid] });
    expect(directory.peerByIp(ipOf("10.0.0.2"))).toBeUndefined();
  });

  it("finds the service of a virtual address", () => {
    expect(directoryOf().directory.serviceByVip(ipOf("10.96.0.2"))?.hostname).toBe("cart.shop.svc.cluster.local");
    expect(directoryOf().directory.serviceByVip(ipOf("10.0.0.2"))).toBeUndefined();
  });
});
