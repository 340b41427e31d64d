import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { aService, aWorkload } from "../../test/mesh-builders.ts";
import { cidrContains, ipOf, parseCidr } from "../net/index.ts";
import { type AddressDelta, MeshStore, type Service, serviceKey, type Workload } from "./index.ts";

// Few names and addresses, so that they collide.
const IPS = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1"].map(ipOf);
const KEYS = ["shop/s1", "shop/s2", "bank/s1"];
const NAMESPACES = ["shop", "bank", "other"];
const network = fc.constantFrom("", "n1");
const ip = fc.constantFrom(...IPS);

const workload: fc.Arbitrary<Workload> = fc
  .record({
    uid: fc.constantFrom("c//Pod/shop/a", "c//Pod/shop/b", "c//Pod/shop/c", "c/x/WorkloadEntry/shop/d"),
    addresses: fc.uniqueArray(ip, { maxLength: 2 }),
    network,
    hostname: fc.constantFrom("", "h"),
    networkMode: fc.constantFrom("Standard", "Standard", "HostNetwork"),
    protocol: fc.constantFrom("HBONE", "TCP"),
    status: fc.constantFrom("Healthy", "Unhealthy"),
    services: fc
      .uniqueArray(fc.constantFrom(...KEYS), { maxLength: 2 })
      .map((keys) => Object.fromEntries(keys.map((key) => [key, []]))),
  } satisfies Record<string, fc.Arbitrary<unknown>>)
  .map((given) => aWorkload(given as Partial<Workload> & { uid: string }));
const service: fc.Arbitrary<Service> = fc
  .record({
    key: fc.constantFrom(...KEYS),
    vips: fc.array(fc.record({ network, address: ip }), { maxLength: 2 }),
    cidrVips: fc.array(fc.record({ network, address: ip, prefixLength: fc.constantFrom(0, 8, 24, 31) }), {
      maxLength: 2,
    }),
    canonical: fc.boolean(),
    visibility: fc.constantFrom("Public", "Namespace"),
    healthPolicy: fc.constantFrom("OnlyHealthy", "AllowAll"),
  })
  .map(({ key, healthPolicy, visibility, ...given }) => {
    const [namespace = "", hostname = ""] = key.split("/");
    const loadBalancing = { mode: "Standard", routingPreferences: [], healthPolicy } as Service["loadBalancing"] &
      object;
    return aService({ ...given, namespace, hostname, loadBalancing, visibility: visibility as Service["visibility"] });
  });
const delta: fc.Arbitrary<AddressDelta> = fc.record({
  workloads: fc.array(workload, { maxLength: 3 }),
  services: fc.array(service, { maxLength: 3 }),
  removed: fc.array(
    fc.oneof(
      workload.map(({ uid }) => uid),
      fc.constantFrom(...KEYS),
    ),
    { maxLength: 2 },
  ),
});

/** The same answers from plain lists, the long way. */
class NaiveMesh {
  readonly workloads = new Map<string, Workload>();
  readonly services = new Map<string, Service>();

  apply({ workloads, services, removed }: AddressDelta): void {
    for (const item of workloads) {
      this.workloads.delete(item.uid);
      this.workloads.set(item.uid, item);
    }
    for (const item of services) this.services.set(serviceKey(item), item);
    for (const name of removed) if (!this.workloads.delete(name)) this.services.delete(name);
  }

  workloadAt(net: string, address: string): Workload | undefined {
    const rank = (w: Workload) => (w.uid.includes("//Pod/") ? 2 : 0) + (w.protocol === "HBONE" ? 1 : 0);
    return [...this.workloads.values()]
      .filter((w) => w.network === net && w.networkMode === "Standard" && w.addresses.some((a) => a === address))
      .sort((a, b) => rank(a) - rank(b))
      .at(-1);
  }

  serviceAt(net: string, address: (typeof IPS)[number], client: string): Service | undefined {
    const visible = [...this.services.values()].filter((s) => s.visibility === "Public" || s.namespace === client);
    const own = (s: Service) => (s.namespace === client ? 1 : 0);
    const canonical = (s: Service) => (s.canonical ? 1 : 0);
    const byKey = (a: Service, b: Service) => (serviceKey(a) < serviceKey(b) ? -1 : 1);
    const exact = visible
      .filter((s) => s.vips.some((vip) => vip.network === net && vip.address === address))
      .sort((a, b) => own(b) - own(a) || canonical(b) - canonical(a) || byKey(a, b));
    const lengthOf = (s: Service) =>
      Math.max(
        -1,
        ...s.cidrVips
          .filter((vip) => vip.network === net)
          .map((vip) => parseCidr(`${vip.address}/${vip.prefixLength}`))
          .flatMap((cidr) => (cidr.ok && cidrContains(cidr.value, address) ? cidr.value.prefixLength : [])),
      );
    const prefixes = visible
      .filter((s) => lengthOf(s) >= 0)
      .sort((a, b) => own(b) - own(a) || lengthOf(b) - lengthOf(a) || canonical(b) - canonical(a) || byKey(a, b));
    return exact[0] ?? prefixes[0];
  }

  endpointsOf(key: string): string[] {
    const owner = this.services.get(key);
    return [...this.workloads.values()]
      .filter((w) => owner && key in w.services)
      .filter((w) => w.status === "Healthy" || owner?.loadBalancing?.healthPolicy === "AllowAll")
      .map((w) => w.uid)
      .sort();
  }
}

describe("MeshStore", () => {
  it("answers like plain lists after any sequence of deltas", () => {
    fc.assert(
      fc.property(
        fc.array(delta, { maxLength: 8 }),
        network,
        ip,
        fc.constantFrom(...NAMESPACES),
        (deltas, net, address, client) => {
          const store = new MeshStore();
          const naive = new NaiveMesh();
          for (const step of deltas) {
            store.apply(step);
            naive.apply(step);
            expect(store.findWorkload(net, address)?.uid).toBe(naive.workloadAt(net, address)?.uid);
            expect(store.findService(net, address, client)).toBe(naive.serviceAt(net, address, client));
            for (const key of KEYS) {
              expect(
                store
                  .endpointsOf(key)
                  .map(({ workload: w }) => w.uid)
                  .sort(),
              ).toEqual(naive.endpointsOf(key));
            }
          }
          expect(new Set(store.workloads())).toEqual(new Set(naive.workloads.values()));
          const named = new Set([...naive.workloads.values()].flatMap((w) => Object.keys(w.services)));
          const staged = [...named].filter((key) => !naive.services.has(key));
          expect(new Set(store.stagedServiceKeys())).toEqual(new Set(staged));
        },
      ),
      { numRuns: 300 },
    );
  });

  it("reports every workload and service whose answers changed", () => {
    fc.assert(
      fc.property(fc.array(delta, { minLength: 1, maxLength: 6 }), (deltas) => {
        const store = new MeshStore();
        for (const step of deltas) {
          const endpoints = new Map(KEYS.map((key) => [key, store.endpointsOf(key)]));
          const workloads = new Map([...store.workloads()].map((w) => [w.uid, w]));
          const change = store.apply(step);
          for (const key of KEYS) {
            if (!change.services.has(key)) expect(store.endpointsOf(key)).toEqual(endpoints.get(key));
          }
          for (const [uid, before] of workloads) {
            if (!change.workloads.has(uid)) expect(store.findWorkloadByUid(uid)).toBe(before);
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});
