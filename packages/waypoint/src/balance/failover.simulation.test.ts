/** Whole clusters under load, by the clock of the simulation. */
import { describe, expect, it } from "@jest/globals";
import { createClusterBalancers } from "./cluster-balancer.ts";
import type { Cluster, LocalityEndpoints } from "./model.ts";
import {
  buildCluster,
  buildEndpoint,
  buildLocality,
  clustersOf,
  ManualClock,
  OUTLIERS,
  seededRandom,
} from "./test-cluster.ts";

const PER_ZONE = 20;
const zone = (name: string, from: number, healthy: number): LocalityEndpoints =>
  buildLocality(
    Array.from({ length: PER_ZONE }, (_, n) => buildEndpoint(from + n, n < healthy ? {} : { health: "unhealthy" })),
    { zone: name },
  );
const twoZones = (healthyNear: number, healthyFar = PER_ZONE): Cluster =>
  buildCluster(0, { priorities: [[zone("near", 0, healthyNear)], [zone("far", 100, healthyFar)]] });

describe("failover between zones", () => {
  it.each([
    // Endpoints of the near zone that are healthy, of 20, and percent of the load that stays (Envoy, "Priority levels").
    [20, 100],
    [15, 100],
    [10, 70],
    [5, 35],
    [0, 0],
  ])("with %d of 20 near endpoints healthy keeps %d %% of the load near", (healthy, percent) => {
    const cluster = twoZones(healthy);
    const balancers = createClusterBalancers({ clock: new ManualClock(), random: seededRandom(11) });
    balancers.update(clustersOf(cluster));
    const near = new Set(Array.from({ length: PER_ZONE }, (_, n) => buildEndpoint(n).key));
    let stayed = 0;
    for (let n = 0; n < 20_000; n += 1) {
      const result = balancers.pick(cluster);
      if (result.kind === "picked" && near.has(result.endpoint.key)) stayed += 1;
    }
    expect(Math.abs(stayed / 200 - percent)).toBeLessThan(1.5);
  });

  it("moves load away from a zone that dies without a word, and back when it answers again", () => {
    const cluster: Cluster = {
      ...twoZones(PER_ZONE),
      outlierDetection: { ...OUTLIERS, consecutive5xx: 2, maximumEjectionPercent: 100, baseEjectionMs: 5_000 },
    };
    const clock = new ManualClock();
    const balancers = createClusterBalancers({ clock, random: seededRandom(12) });
    balancers.update(clustersOf(cluster));
    const near = new Set(Array.from({ length: PER_ZONE }, (_, n) => buildEndpoint(n).key));
    let isNearDead = false;
    const run = (requests: number): { failed: number; near: number } => {
      const seen = { failed: 0, near: 0 };
      for (let n = 0; n < requests; n += 1) {
        clock.advance(1);
        const result = balancers.pick(cluster);
        if (result.kind !== "picked") throw new Error(result.message);
        balancers.started(result.token);
        const isNear = near.has(result.endpoint.key);
        if (isNear) seen.near += 1;
        const fails = isNear && isNearDead;
        if (fails) seen.failed += 1;
        balancers.finished(result.token, fails ? { kind: "local-failure" } : { kind: "success", status: 200 });
      }
      return seen;
    };
    expect(run(1_000)).toEqual({ failed: 0, near: 1_000 });
    isNearDead = true;
    // Two failures an endpoint take them all out; with P2C a few more requests meet those that are left.
    expect(run(1_000).failed).toBeLessThanOrEqual(2 * PER_ZONE);
    // From then on only the probes fail, 20 for each longer ejection.
    expect(run(4_000).failed).toBeLessThanOrEqual(PER_ZONE);
    isNearDead = false;
    run(40_000);
    expect(run(1_000).near).toBe(1_000);
  });
});
