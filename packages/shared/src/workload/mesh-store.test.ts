import { describe, expect, it } from "@jest/globals";
import { aService, aWorkload } from "../../test/mesh-builders.ts";
import { ipOf } from "../net/index.ts";
import { type AddressDelta, MeshStore, type Service, type Workload } from "./index.ts";

const IP = ipOf("10.0.0.1");
const VIP = ipOf("10.96.0.1");
const KEY = "shop/web.shop.svc.cluster.local";

const put = (...items: (Workload | Service)[]): AddressDelta => ({
  workloads: items.filter((item) => "uid" in item),
  services: items.filter((item): item is Service => !("uid" in item)),
  removed: [],
});
const remove = (...removed: string[]): AddressDelta => ({ workloads: [], services: [], removed });
const storeOf = (...items: (Workload | Service)[]): MeshStore => {
  const store = new MeshStore();
  store.apply(put(...items));
  return store;
};
const web = aService({ hostname: "web.shop.svc.cluster.local", vips: [{ network: "", address: VIP }] });
const behindWeb = { services: { [KEY]: [{ servicePort: 80, targetPort: 8080 }] } };
const pod = (name: string, given: Partial<Workload> = {}): Workload =>
  aWorkload({ uid: `Kubernetes//Pod/shop/${name}`, ...given });
const uids = (store: MeshStore, key = KEY): string[] =>
  store
    .endpointsOf(key)
    .map(({ workload }) => workload.name)
    .sort();

describe("finding an address", () => {
  it("finds a workload before a service of the same IP", () => {
    const both = aService({ hostname: "h", vips: [{ network: "", address: IP }] });
    const store = storeOf(both, pod("a", { addresses: [IP] }));
    expect(store.findAddress("", IP)?.kind).toBe("workload");
    store.apply(remove("Kubernetes//Pod/shop/a"));
    expect(store.findAddress("", IP)?.kind).toBe("service");
    store.apply(remove("shop/h"));
    expect(store.findAddress("", IP)).toBeUndefined();
  });

  it("keeps networks apart", () => {
    const store = storeOf(pod("a", { addresses: [IP], network: "n1" }));
    expect(store.findWorkload("n1", IP)?.name).toBe("a");
    expect(store.findWorkload("", IP)).toBeUndefined();
  });

  it("does not find a host-network workload by IP", () => {
    expect(storeOf(pod("a", { addresses: [IP], networkMode: "HostNetwork" })).findAddress("", IP)).toBeUndefined();
  });

  it("follows a workload to its new IP", () => {
    const store = storeOf(pod("a", { addresses: [IP] }));
    store.apply(put(pod("a", { addresses: [ipOf("10.0.0.2")] })));
    expect(store.findWorkload("", IP)).toBeUndefined();
    expect(store.findWorkload("", ipOf("10.0.0.2"))?.name).toBe("a");
  });

  it("prefers on one IP a pod, then HBONE, then the one received last", () => {
    const entry = aWorkload({ uid: "c/networking.istio.io/WorkloadEntry/shop/e", addresses: [IP] });
    const plain = pod("plain", { addresses: [IP], protocol: "TCP" });
    const first = pod("first", { addresses: [IP] });
    const last = pod("last", { addresses: [IP] });
    expect(storeOf(plain, entry).findWorkload("", IP)?.name).toBe("plain");
    expect(storeOf(first, plain, entry).findWorkload("", IP)?.name).toBe("first");
    const store = storeOf(first, last, plain);
    expect(store.findWorkload("", IP)?.name).toBe("last");
    store.apply(remove(last.uid));
    expect(store.findWorkload("", IP)?.name).toBe("first");
  });
});

describe("finding a service by VIP", () => {
  const at = (namespace: string, given: Partial<Service> = {}): Service =>
    aService({ hostname: "h", namespace, vips: [{ network: "", address: VIP }], ...given });

  it("prefers the client's namespace, then the canonical one, then the lowest key, in any order of arrival", () => {
    const services = [at("c"), at("b", { canonical: true }), at("a")];
    for (const order of [services, [...services].reverse()]) {
      const store = storeOf(...order);
      expect(store.findService("", VIP, "c")?.namespace).toBe("c");
      expect(store.findService("", VIP, "x")?.namespace).toBe("b");
      store.apply(remove("b/h"));
      expect(store.findService("", VIP, "x")?.namespace).toBe("a");
    }
  });

  it("keeps two services of one namespace on one VIP apart", () => {
    const store = storeOf(at("a", { hostname: "h1" }), at("a", { hostname: "h2" }));
    store.apply(remove("a/h1"));
    expect(store.findService("", VIP, "x")?.hostname).toBe("h2");
  });

  it("hides a service of NAMESPACE visibility from clients elsewhere, and falls back to prefixes", () => {
    const hidden = at("a", { visibility: "Namespace" });
    const prefix = aService({
      hostname: "all",
      cidrVips: [{ network: "", address: ipOf("10.96.0.0"), prefixLength: 16 }],
    });
    const store = storeOf(hidden, prefix);
    expect(store.findService("", VIP, "a")?.hostname).toBe("h");
    expect(store.findService("", VIP, "b")?.hostname).toBe("all");
    expect(store.findService("", VIP)?.hostname).toBe("h");
  });

  const cidr = (namespace: string, prefixLength: number, given: Partial<Service> = {}): Service =>
    aService({
      hostname: `len${prefixLength}`,
      namespace,
      cidrVips: [{ network: "", address: ipOf("10.96.0.0"), prefixLength }],
      ...given,
    });

  it("prefers among prefixes the client's namespace even when shorter, then the longest, then the canonical", () => {
    const store = storeOf(cidr("a", 8), cidr("b", 24), cidr("c", 16), cidr("d", 24, { canonical: true }));
    expect(store.findService("", VIP, "a")?.namespace).toBe("a");
    expect(store.findService("", VIP, "x")?.namespace).toBe("d");
    expect(store.findService("", ipOf("10.96.1.1"), "x")?.namespace).toBe("c");
  });

  it("sees through a prefix the endpoints of now, also after updates of endpoints alone", () => {
    const service = cidr("shop", 16, { hostname: "web.shop.svc.cluster.local" });
    const store = storeOf(service, pod("a", behindWeb));
    store.apply(put(pod("b", behindWeb)));
    store.apply(remove(pod("a").uid));
    const found = store.findService("", VIP, "shop");
    expect(found).toBe(service);
    expect(uids(store)).toEqual(["b"]);
    for (let n = 0; n < 5; n++) store.apply(put({ ...service, canonical: n % 2 === 0 }));
    store.apply(remove(KEY));
    expect(store.findService("", VIP, "shop")).toBeUndefined();
  });
});

describe("finding services by hostname", () => {
  it("ignores case, hides what the client may not see and sorts the best first", () => {
    const at = (namespace: string, given: Partial<Service> = {}) =>
      aService({ hostname: "API.example.com", namespace, ...given });
    const store = storeOf(at("z"), at("m", { canonical: true }), at("b", { visibility: "Namespace" }), at("a"));
    const namespaces = (client?: string) => store.servicesByHostname("api.EXAMPLE.com", client).map((s) => s.namespace);
    expect(namespaces("z")).toEqual(["z", "m", "a"]);
    expect(namespaces("b")).toEqual(["b", "m", "a", "z"]);
    expect(store.servicesByHostname("other.example.com")).toEqual([]);
  });
});

describe("finding one's own workload", () => {
  it("takes only the pod of this node and cluster with that service account", () => {
    const store = new MeshStore({ node: "node1", clusterId: "c1" });
    const uid = (cluster: string) => `${cluster}//Pod/shop/web`;
    const remote = aWorkload({ uid: uid("c2"), clusterId: "c2", node: "node1" });
    store.apply(put(remote, aWorkload({ uid: "c1//Pod/shop/web", clusterId: "c1", node: "node2" })));
    expect(store.findOwnWorkload("shop", "web", "default")).toBeUndefined();
    store.apply(put(aWorkload({ uid: uid("c1"), clusterId: "c1", node: "node1" })));
    expect(store.findOwnWorkload("shop", "web", "default")?.uid).toBe(uid("c1"));
    expect(store.findOwnWorkload("shop", "web", "admin")).toBeUndefined();
    expect(store.findOwnWorkload("bank", "web", "default")).toBeUndefined();
  });
});

describe("endpoints", () => {
  it("are there whichever came first, service or workload", () => {
    expect(uids(storeOf(web, pod("a", behindWeb)))).toEqual(["a"]);
    const store = storeOf(pod("a", behindWeb));
    expect(store.stagedServiceKeys()).toEqual([KEY]);
    expect(store.endpointsOf(KEY)).toEqual([]);
    store.apply(put(web));
    expect(store.stagedServiceKeys()).toEqual([]);
    expect(uids(store)).toEqual(["a"]);
  });

  it("survive the service's removal and return with it", () => {
    const store = storeOf(web, pod("a", behindWeb));
    store.apply(remove(KEY));
    expect(uids(store)).toEqual([]);
    store.apply(put(web));
    expect(uids(store)).toEqual(["a"]);
  });

  it("come back when the service starts to allow unhealthy ones, and go when it stops", () => {
    const allowAll = { mode: "Standard", routingPreferences: [], healthPolicy: "AllowAll" } as const;
    const store = storeOf(web, pod("sick", { ...behindWeb, status: "Unhealthy" }), pod("well", behindWeb));
    expect(uids(store)).toEqual(["well"]);
    store.apply(put({ ...web, loadBalancing: allowAll }));
    expect(uids(store)).toEqual(["sick", "well"]);
    store.apply(put(web));
    expect(uids(store)).toEqual(["well"]);
    expect(store.allEndpointsOf(KEY)).toHaveLength(2);
  });

  it("leave with the workload, or when it stops naming the service", () => {
    const store = storeOf(web, pod("a", behindWeb), pod("b", behindWeb));
    store.apply(put(pod("a")));
    expect(uids(store)).toEqual(["b"]);
    expect(store.isEndpoint(KEY, pod("a").uid)).toBe(false);
    store.apply(remove(pod("b").uid));
    expect(store.endpointsOf(KEY)).toEqual([]);
  });

  it("are the same array until something changes, so that asking costs nothing", () => {
    const store = storeOf(web, pod("a", behindWeb));
    const before = store.endpointsOf(KEY);
    store.apply(put(pod("unrelated")));
    expect(store.endpointsOf(KEY)).toBe(before);
  });
});

describe("what a change touched", () => {
  it("names workloads, and services put or with other endpoints", () => {
    const store = storeOf(web, pod("a", behindWeb));
    expect(store.apply(put(pod("a")))).toEqual({ workloads: new Set([pod("a").uid]), services: new Set([KEY]) });
    expect(store.apply(remove("nobody", KEY))).toEqual({ workloads: new Set(), services: new Set([KEY]) });
  });

  it("costs in proportion to the change, not to the mesh", () => {
    const many = Array.from({ length: 20_000 }, (_, n) =>
      pod(`p${n}`, {
        addresses: [ipOf(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)],
        services: { [`shop/s${n % 500}`]: [] },
      }),
    );
    const store = storeOf(...many);
    const time = (from: number): number => {
      const started = performance.now();
      for (let n = from; n < from + 250; n++)
        store.apply(put({ ...many[n]!, status: n % 2 === 0 ? "Unhealthy" : "Healthy" }));
      return performance.now() - started;
    };
    // 250 single changes; were each linear in the mesh, they would take a second, each time. Others may be at work during some.
    expect(Math.min(...Array.from({ length: 8 }, (_, round) => time(250 * round)))).toBeLessThan(250);
  });
});
