/** Any interleaving of updates, picks, answers and time. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import { createClusterBalancers, type PickToken } from "./cluster-balancer.ts";
import type { Algorithm, Cluster, Endpoint } from "./model.ts";
import {
  buildCluster,
  buildEndpoint,
  buildLocality,
  clustersOf,
  ManualClock,
  OUTLIERS,
  seededRandom,
} from "./test-cluster.ts";

const algorithm = fc.constantFrom<Algorithm>(
  { kind: "least-request", choices: 2, activeRequestBias: 1 },
  { kind: "least-request", choices: 3, activeRequestBias: 1 },
  { kind: "peak-ewma", decayMs: 1_000, failurePenaltyMs: 5_000 },
  { kind: "round-robin" },
  { kind: "random" },
  { kind: "ring-hash", minimumRing: 32, maximumRing: 64 },
  { kind: "maglev", tableSize: 53 },
);

const endpoint = fc
  .record({
    n: fc.nat(9),
    weight: fc.constantFrom(1, 1, 1, 3, 0, 4_000_000_000),
    health: fc.constantFrom<Endpoint["health"]>("healthy", "healthy", "healthy", "degraded", "unhealthy"),
  })
  .map(({ n, ...fields }) => buildEndpoint(n, fields));
const locality = fc
  .tuple(fc.array(endpoint, { maxLength: 4 }), fc.nat(3))
  .map(([endpoints, weight]) => buildLocality(endpoints, { weight }));

const cluster: fc.Arbitrary<Cluster> = fc
  .record({
    algorithm,
    priorities: fc.array(fc.array(locality, { maxLength: 3 }), { maxLength: 3 }),
    panicThresholdPercent: fc.constantFrom(0, 0, 50),
    localityWeighted: fc.boolean(),
    slowStart: fc.constantFrom(undefined, { windowMs: 5_000, aggression: 1, minimumWeightPercent: 10 }),
    outlierDetection: fc.constantFrom(undefined, { ...OUTLIERS, consecutive5xx: 2, baseEjectionMs: 500 }),
  })
  .map((fields) => buildCluster(0, fields));

const outcome = fc.constantFrom<AttemptOutcome>(
  { kind: "success", status: 200, firstByteMs: 3 },
  { kind: "server-error", status: 500, firstByteMs: 1 },
  { kind: "local-failure" },
  { kind: "cancelled" },
);

type Step =
  | { readonly do: "update"; readonly cluster: Cluster }
  | {
      readonly do: "pick";
      readonly hash: number | undefined;
      readonly tried: readonly number[];
      readonly isFinalTry: boolean;
    }
  | { readonly do: "respond" | "finish"; readonly which: number; readonly outcome: AttemptOutcome }
  | { readonly do: "wait"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant("update" as const), cluster }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("pick" as const),
      hash: fc.option(fc.nat(), { nil: undefined }),
      tried: fc.array(fc.nat(9), { maxLength: 3 }),
      isFinalTry: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom("respond" as const, "finish" as const), which: fc.nat(), outcome }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(1_000) }) },
);

/** Runs steps and checks after each what must always hold. */
class World {
  readonly clock = new ManualClock();
  readonly balancers = createClusterBalancers({ clock: this.clock, random: seededRandom(1) });
  readonly running: PickToken[] = [];
  cluster: Cluster;

  constructor(first: Cluster) {
    this.cluster = first;
    this.balancers.update(clustersOf(first));
  }

  run(step: Step): void {
    if (step.do === "wait") this.clock.advance(step.ms);
    else if (step.do === "pick") this.#pick(step);
    else if (step.do === "update") {
      this.cluster = step.cluster;
      this.balancers.update(clustersOf(step.cluster));
    } else this.#answer(step);
  }

  #pick({ hash, tried, isFinalTry }: Extract<Step, { do: "pick" }>): void {
    const before = this.endpoints();
    const triedKeys = new Set(tried.map((n) => buildEndpoint(n).key));
    const result = this.balancers.pick(this.cluster, {
      tried: triedKeys,
      isFinalTry,
      ...(hash === undefined ? {} : { hash }),
    });
    const serving = before.filter(({ standing }) => standing !== "out");
    if (result.kind === "none") {
      expect(result.reason).toBe(before.length === 0 ? "no-endpoints" : "all-unhealthy");
      // Weighted localities may leave out whole localities, and hashing leaves out what has no weight at all.
      if (!this.cluster.localityWeighted) expect(serving).toEqual([]);
      return;
    }
    const picked = before.find(({ key }) => key === result.endpoint.key);
    const panics = this.status().priorities.some(({ isPanicking }) => isPanicking);
    const isProbe = picked?.phase === "ejected" && picked.ejectedForMs === 0;
    expect(picked).toBeDefined();
    if (picked?.standing === "out") expect(panics || isProbe).toBe(true);
    this.balancers.started(result.token);
    this.running.push(result.token);
  }

  #answer({ do: what, which, outcome }: Extract<Step, { do: "respond" | "finish" }>): void {
    if (this.running.length === 0) return;
    const index = which % this.running.length;
    const token = this.running[index]!;
    if (what === "respond") this.balancers.responded(token, outcome);
    else {
      this.balancers.finished(token, outcome);
      this.running.splice(index, 1);
    }
  }

  status() {
    return this.balancers.status()[0]!;
  }

  endpoints() {
    return this.status().endpoints;
  }

  check(): void {
    const { breakers, priorities } = this.status();
    expect(breakers.requests.active).toBe(this.running.length);
    for (const { key, active } of this.endpoints()) {
      expect(active).toBe(this.running.filter((token) => token.endpoint.key === key).length);
    }
    const load = priorities.reduce((sum, { loadPercent }) => sum + loadPercent, 0);
    expect([0, 100]).toContain(load);
    expect(new Set(this.endpoints().map(({ key }) => key)).size).toBe(this.endpoints().length);
  }
}

describe("any history of a cluster", () => {
  it("keeps its counts, picks only what may be picked, and ends with nothing under way", () => {
    fc.assert(
      fc.property(cluster, fc.array(step, { maxLength: 60 }), (first, steps) => {
        const world = new World(first);
        for (const each of steps) {
          world.run(each);
          world.check();
        }
        for (const token of world.running.splice(0)) world.balancers.finished(token, { kind: "cancelled" });
        world.check();
      }),
      { numRuns: 150 },
    );
  });

  it("never ejects the last that serves", () => {
    fc.assert(
      fc.property(cluster, fc.array(step, { maxLength: 60 }), (first, steps) => {
        const world = new World({
          ...first,
          outlierDetection: { ...OUTLIERS, consecutive5xx: 1, maximumEjectionPercent: 100 },
        });
        const ready = world.endpoints().filter(({ standing }) => standing !== "out").length;
        for (const each of steps) if (each.do !== "update") world.run(each);
        const serving = world.endpoints().filter(({ standing }) => standing !== "out").length;
        expect(serving).toBeGreaterThanOrEqual(Math.min(ready, 1));
      }),
      { numRuns: 150 },
    );
  });
});
