import type { LoadBalancing, RoutingScope, Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type Balancing, scoreOf, selectUpstreams } from "./select-upstream.ts";
import { buildMesh, buildService, buildWorkload, serving } from "./test-mesh-builder.ts";

const place = (region: string, zone: string, node: string): Partial<Workload> => ({
  locality: { region, zone, subzone: "" },
  node,
});
const source = buildWorkload("web", "10.0.0.1", place("eu", "eu-1", "node1"));

const endpoint = (name: string, extra: Partial<Workload>): Workload =>
  buildWorkload(name, `10.1.0.${name.charCodeAt(0)}`, { ...serving("cart"), ...extra });

function picks(
  endpoints: readonly Workload[],
  loadBalancing?: LoadBalancing,
  balancing: Partial<Balancing> = {},
): string {
  const service = buildService("cart", "10.96.0.1", loadBalancing === undefined ? {} : { loadBalancing });
  const target = { service, port: 80, resolution: "standard" } as const;
  const selection = selectUpstreams(buildMesh([source, ...endpoints], [service]), target, {
    source,
    random: () => 0,
    loadOf: () => 0,
    ...balancing,
  });
  if (selection.kind === "refuse") return selection.code;
  return selection.kind === "passthrough"
    ? "passthrough"
    : selection.upstreams.map(({ workload }) => workload.name).join();
}

const strict = (...routingPreferences: RoutingScope[]): LoadBalancing => ({
  mode: "Strict",
  routingPreferences,
  healthPolicy: "OnlyHealthy",
});
const failover = (...routingPreferences: RoutingScope[]): LoadBalancing => ({
  ...strict(...routingPreferences),
  mode: "Failover",
});

describe("selectUpstreams", () => {
  const near = endpoint("a", place("eu", "eu-1", "node1"));
  const zone = endpoint("b", place("eu", "eu-1", "node2"));
  const region = endpoint("c", place("eu", "eu-2", "node3"));
  const far = endpoint("d", place("us", "us-1", "node4"));

  it("keeps to the node under strict node preference", () => {
    expect(picks([far, region, zone, near], strict("Node"))).toBe("a");
    expect(picks([far, region, zone], strict("Node"))).toBe("NO_HEALTHY_UPSTREAM");
  });

  it("goes outwards under failover, the nearest first and farther ones as alternates", () => {
    expect(picks([far, region, zone, near], failover("Region", "Zone", "Node"))).toBe("a,b,c");
    expect(picks([far, region], failover("Region", "Zone", "Node"))).toBe("c,d");
    expect(picks([far], failover("Region", "Zone", "Node"))).toBe("d");
  });

  it("stops ranking at the first mismatch", () => {
    const sameZoneName = endpoint("e", { locality: { region: "us", zone: "eu-1", subzone: "" } });
    expect(picks([sameZoneName, region], failover("Region", "Zone"))).toBe("c,e");
  });

  it("is a pick among all without a mode", () => {
    expect(picks([far, near])).toBe("d,a");
  });

  it("leaves selection to the application in passthrough mode", () => {
    expect(picks([], { mode: "Passthrough", routingPreferences: [], healthPolicy: "AllowAll" })).toBe("passthrough");
  });

  it("includes unhealthy endpoints when the service wants all", () => {
    const sick = endpoint("f", { status: "Unhealthy" });
    expect(picks([sick], { mode: "Standard", routingPreferences: [], healthPolicy: "AllowAll" })).toBe("f");
  });

  it("prefers the less loaded of two, in proportion to capacity", () => {
    const load: Record<string, number> = { [near.uid]: 5, [far.uid]: 1 };
    const draws = [0, 0.99];
    let i = 0;
    const balancing = { loadOf: (uid: string) => load[uid] ?? 0, random: () => draws[i++ % 2] ?? 0 };
    expect(picks([near, far], undefined, balancing)).toBe("d,a");
    expect(picks([{ ...near, capacity: 10 }, far], undefined, balancing)).toBe("a,d");
  });

  it.each<[string, Partial<Workload>, number]>([
    ["everything", { network: "n", locality: { region: "eu", zone: "eu-1", subzone: "" } }, 5],
    ["network and region", { network: "n", locality: { region: "eu", zone: "x", subzone: "" } }, 4],
    ["network", { network: "n", locality: { region: "x", zone: "eu-1", subzone: "" } }, 3],
    ["region and zone", { network: "m", locality: { region: "eu", zone: "eu-1", subzone: "" } }, 2],
    ["region", { network: "m", locality: { region: "eu", zone: "x", subzone: "" } }, 1],
    ["nothing", { network: "m", locality: { region: "x", zone: "x", subzone: "" } }, 0],
  ])("ranks a match of %s under network, region, zone", (_name, extra, score) => {
    const from = { ...source, network: "n" };
    expect(scoreOf(["Network", "Region", "Zone"], endpoint("z", extra), from)).toBe(score);
  });

  it("spreads picks by capacity", () => {
    const [small, big] = [endpoint("s", { capacity: 1 }), endpoint("t", { capacity: 9 })];
    let seed = 42;
    const random = (): number => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed / 2147483648;
    };
    const live: Record<string, number> = {};
    for (let i = 0; i < 1000; i++) {
      const first = picks([small, big], undefined, { random, loadOf: (uid) => live[uid] ?? 0 }).split(",")[0];
      const uid = first === "s" ? small.uid : big.uid;
      live[uid] = (live[uid] ?? 0) + 1;
    }
    expect(live[small.uid]).toBeGreaterThan(70);
    expect(live[small.uid]).toBeLessThan(130);
  });

  it("never picks one twice, nor one of capacity 0, whatever the dice say", () => {
    const endpoints = fc
      .array(fc.nat(3), { maxLength: 8 })
      .map((capacities) => capacities.map((capacity, i) => endpoint(String.fromCharCode(65 + i), { capacity })));
    fc.assert(
      fc.property(
        endpoints,
        fc.array(fc.double({ min: 0, max: 0.999999, noNaN: true }), { minLength: 1 }),
        (all, dice) => {
          let i = 0;
          const answer = picks(all, undefined, { random: () => dice[i++ % dice.length] ?? 0 });
          const usable = all.filter(({ capacity }) => capacity > 0).map(({ name }) => name);
          if (usable.length === 0) return answer === "NO_HEALTHY_UPSTREAM";
          const names = answer.split(",");
          return (
            new Set(names).size === names.length &&
            names.length === Math.min(3, usable.length) &&
            names.every((name) => usable.includes(name))
          );
        },
      ),
    );
  });
});
