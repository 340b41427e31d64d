import { describe, expect, it } from "@jest/globals";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import { type ClusterBalancers, createClusterBalancers, type PickRequest, type PickToken } from "./cluster-balancer.ts";
import type { EndpointEvent } from "./cluster-state.ts";
import type { Cluster, LocalityEndpoints, StatisticalDetector } from "./model.ts";
import {
  buildCluster,
  buildEndpoint,
  buildLocality,
  clustersOf,
  ManualClock,
  NO_BREAKERS,
  OUTLIERS,
  seededRandom,
} from "./test-cluster.ts";

function setUp(...clusters: readonly Cluster[]) {
  const clock = new ManualClock();
  const events: EndpointEvent[] = [];
  const balancers = createClusterBalancers({ clock, random: seededRandom(5), onEvent: (event) => events.push(event) });
  balancers.update(clustersOf(...clusters));
  return { clock, balancers, events };
}

function pickToken(balancers: ClusterBalancers, cluster: Cluster, request?: PickRequest): PickToken {
  const result = balancers.pick(cluster, request);
  if (result.kind !== "picked") throw new Error(`nothing picked: ${result.message}`);
  return result.token;
}

/** Key of the endpoint of a request that starts and does not end. */
function begin(balancers: ClusterBalancers, cluster: Cluster, request?: PickRequest): PickToken {
  const token = pickToken(balancers, cluster, request);
  balancers.started(token);
  return token;
}

function exchange(balancers: ClusterBalancers, cluster: Cluster, outcomeOf: (key: string) => AttemptOutcome): string {
  const token = begin(balancers, cluster);
  balancers.finished(token, outcomeOf(token.endpoint.key));
  return token.endpoint.key;
}

const SUCCESS: AttemptOutcome = { kind: "success", status: 200, firstByteMs: 5 };
const FAILURE: AttemptOutcome = { kind: "gateway-error", status: 503, firstByteMs: 1 };
const BAD = "10.0.0.1:8080";
const badFails = (key: string): AttemptOutcome => (key === BAD ? FAILURE : SUCCESS);

function share(
  balancers: ClusterBalancers,
  cluster: Cluster,
  requests: number,
  request?: PickRequest,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let n = 0; n < requests; n += 1) {
    const { key } = pickToken(balancers, cluster, request).endpoint;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

function statusOf(balancers: ClusterBalancers, key: string) {
  return balancers.status()[0]?.endpoints.find((endpoint) => endpoint.key === key);
}

describe("pick", () => {
  it("says why there is nothing: no endpoints, none healthy, or a limit", () => {
    const empty = buildCluster(0, { name: "empty" });
    const unready = buildCluster(0, {
      name: "unready",
      priorities: [[buildLocality([buildEndpoint(0, { health: "unhealthy" })])]],
    });
    const full = buildCluster(1, { name: "full", circuitBreakers: { ...NO_BREAKERS, maximumRequests: 1 } });
    const { balancers } = setUp(empty, unready, full);
    const token = begin(balancers, full);
    expect([empty, unready, full].map((cluster) => balancers.pick(cluster))).toEqual([
      { kind: "none", reason: "no-endpoints", message: "cluster empty has no endpoints" },
      {
        kind: "none",
        reason: "all-unhealthy",
        message: "of 1 endpoints of cluster unready none is healthy (0 ejected for failing)",
      },
      { kind: "none", reason: "circuit-open", message: "cluster full already has its maximum of 1 requests under way" },
    ]);
    balancers.finished(token, SUCCESS);
    expect(balancers.pick(full).kind).toBe("picked");
  });

  it("prefers the endpoint with fewer requests under way", () => {
    const cluster = buildCluster(2);
    const { balancers } = setUp(cluster);
    const first = begin(balancers, cluster);
    const second = begin(balancers, cluster);
    expect(second.endpoint.key).not.toBe(first.endpoint.key);
    balancers.finished(first, SUCCESS);
    expect(begin(balancers, cluster).endpoint.key).toBe(first.endpoint.key);
  });

  it("respects unequal weights with least request", () => {
    const heavy = [buildEndpoint(0, { weight: 8_000_000_000 }), buildEndpoint(1, { weight: 2_000_000_000 })];
    const cluster = buildCluster(0, { priorities: [[buildLocality(heavy)]] });
    const { balancers } = setUp(cluster);
    expect(share(balancers, cluster, 1_000).get(BAD)).toBe(800);
  });

  it("retries on another endpoint while there is one, and on the same one when there is not", () => {
    const cluster = buildCluster(3);
    const { balancers } = setUp(cluster);
    const tried = new Set<string>();
    for (let attempt = 0; attempt < 3; attempt += 1) tried.add(pickToken(balancers, cluster, { tried }).endpoint.key);
    expect(tried.size).toBe(3);
    expect(balancers.pick(cluster, { tried }).kind).toBe("picked");
  });

  it("finds an untried endpoint in another priority when its own has none", () => {
    const cluster = buildCluster(0, {
      priorities: [[buildLocality([buildEndpoint(0)])], [buildLocality([buildEndpoint(1)])]],
    });
    const { balancers } = setUp(cluster);
    expect(pickToken(balancers, cluster).endpoint.key).toBe("10.0.0.1:8080");
    expect(pickToken(balancers, cluster, { tried: new Set(["10.0.0.1:8080"]) }).endpoint.key).toBe("10.0.0.2:8080");
  });

  it("leaves the priority that was tried on the final try", () => {
    const near = [buildEndpoint(0), buildEndpoint(1), buildEndpoint(2)];
    const cluster = buildCluster(0, { priorities: [[buildLocality(near)], [buildLocality([buildEndpoint(9)])]] });
    const { balancers } = setUp(cluster);
    const tried = new Set(["10.0.0.1:8080"]);
    expect([...share(balancers, cluster, 50, { tried, isFinalTry: true }).keys()]).toEqual(["10.0.0.10:8080"]);
    expect([...share(balancers, cluster, 200, { tried }).keys()].sort()).toEqual(["10.0.0.2:8080", "10.0.0.3:8080"]);
  });

  it("sends everybody everywhere in panic, and nobody anywhere without", () => {
    const endpoints = [0, 1, 2, 3].map((n) => buildEndpoint(n, n === 0 ? {} : { health: "unhealthy" }));
    const priorities = [[buildLocality(endpoints)]];
    const panicking = buildCluster(0, { name: "panicking", priorities, panicThresholdPercent: 50 });
    const calm = buildCluster(0, { name: "calm", priorities });
    const { balancers } = setUp(panicking, calm);
    expect(share(balancers, panicking, 400).size).toBe(4);
    expect([...share(balancers, calm, 400).keys()]).toEqual([BAD]);
  });

  it("spreads over all priorities by their size when all of them panic", () => {
    const unready = (from: number, count: number) =>
      buildLocality(Array.from({ length: count }, (_, n) => buildEndpoint(from + n, { health: "unhealthy" })));
    const cluster = buildCluster(0, { panicThresholdPercent: 50, priorities: [[unready(0, 1)], [unready(10, 3)]] });
    const { balancers } = setUp(cluster);
    expect((share(balancers, cluster, 4_000).get(BAD) ?? 0) / 4_000).toBeCloseTo(0.25, 1);
  });

  it("keeps a hash with its priority while load is split between two", () => {
    const halfReady = [0, 1, 2, 3].map((n) => buildEndpoint(n, n < 2 ? {} : { health: "unhealthy" }));
    const priorities = [[buildLocality(halfReady)], [buildLocality([buildEndpoint(8), buildEndpoint(9)])]];
    const cluster = buildCluster(0, { algorithm: { kind: "maglev", tableSize: 1_009 }, priorities });
    const { balancers } = setUp(cluster);
    const hashes = Array.from({ length: 300 }, (_, n) => n * 2 ** 44 + n);
    const keysOf = () => hashes.map((hash) => pickToken(balancers, cluster, { hash }).endpoint.key);
    const keys = keysOf();
    expect(keysOf()).toEqual(keys);
    expect(new Set(keys).size).toBe(4);
  });

  it("counts an endpoint that is listed twice once", () => {
    const twice = [buildEndpoint(0), buildEndpoint(0), buildEndpoint(1)];
    const cluster = buildCluster(0, { algorithm: { kind: "round-robin" }, priorities: [[buildLocality(twice)]] });
    const { balancers } = setUp(cluster);
    expect(share(balancers, cluster, 100).get(BAD)).toBe(50);
  });

  it("weights localities, and spills from one that misses endpoints", () => {
    const zone = (zoneName: string, weight: number, from: number, healthy: number): LocalityEndpoints =>
      buildLocality(
        [0, 1, 2, 3].map((n) => buildEndpoint(from + n, n < healthy ? {} : { health: "unhealthy" })),
        { zone: zoneName, weight },
      );
    const cluster = buildCluster(0, {
      localityWeighted: true,
      priorities: [[zone("a", 50, 0, 2), zone("b", 50, 10, 4), zone("c", 0, 20, 4)]],
    });
    const { balancers } = setUp(cluster);
    const counts = share(balancers, cluster, 20_000);
    const inZone = (from: number) =>
      [0, 1, 2, 3].reduce((sum, n) => sum + (counts.get(buildEndpoint(from + n).key) ?? 0), 0);
    // effective(a) = 50 * min(1, 1.4 * 2/4) = 35, effective(b) = 50.
    expect(Math.abs(inZone(0) / 20_000 - 35 / 85)).toBeLessThan(0.015);
    expect(inZone(20)).toBe(0);
  });

  it.each(["ring-hash", "maglev"] as const)(
    "keeps equal hashes together with %s, through an ejection and back",
    (kind) => {
      const algorithm =
        kind === "maglev" ? { kind, tableSize: 1_009 } : { kind, minimumRing: 1_024, maximumRing: 4_096 };
      const cluster = buildCluster(5, { algorithm, outlierDetection: { ...OUTLIERS, consecutive5xx: 1 } });
      const { balancers, clock } = setUp(cluster);
      const keyOf = (hash: number) => pickToken(balancers, cluster, { hash }).endpoint.key;
      const hashes = Array.from({ length: 200 }, (_, n) => n * 2 ** 45 + 12_345);
      const before = hashes.map(keyOf);
      expect(hashes.map(keyOf)).toEqual(before);
      expect(new Set(before).size).toBe(5);
      while (statusOf(balancers, BAD)?.phase === "in") exchange(balancers, cluster, badFails);
      const during = hashes.map(keyOf);
      for (const [index, key] of before.entries()) {
        if (key === BAD) expect(during[index]).not.toBe(BAD);
        else expect(during[index]).toBe(key);
      }
      clock.advance(30_000);
      while (statusOf(balancers, BAD)?.phase !== "in") exchange(balancers, cluster, () => SUCCESS);
      expect(hashes.map(keyOf)).toEqual(before);
    },
  );

  it("probes with a request of the endpoint's own where requests belong to endpoints", () => {
    const outlierDetection = { ...OUTLIERS, consecutive5xx: 1 };
    const cluster = buildCluster(3, { algorithm: { kind: "maglev", tableSize: 1_009 }, outlierDetection });
    const { balancers, clock } = setUp(cluster);
    const hashes = Array.from({ length: 60 }, (_, n) => n * 2 ** 47 + n);
    const keyOf = (hash: number) => pickToken(balancers, cluster, { hash }).endpoint.key;
    const homes = new Map(hashes.map((hash) => [hash, keyOf(hash)]));
    while (statusOf(balancers, BAD)?.phase === "in") exchange(balancers, cluster, badFails);
    clock.advance(30_000);
    for (const [hash, home] of homes) expect(keyOf(hash)).toBe(home);
  });

  it("goes where the tunnel pointed in clusters without endpoints of their own", () => {
    const cluster = buildCluster(0, { original: true });
    const { balancers } = setUp(cluster);
    const token = begin(balancers, cluster, { original: buildEndpoint(77) });
    balancers.finished(token, FAILURE);
    expect(token.endpoint.key).toBe("10.0.0.78:8080");
    expect(balancers.status()[0]?.breakers.requests.active).toBe(0);
  });

  it("leaves out endpoints whose weight is no positive number", () => {
    const odd = [buildEndpoint(0, { weight: 0 }), buildEndpoint(1, { weight: Number.NaN }), buildEndpoint(2)];
    const cluster = buildCluster(0, { priorities: [[buildLocality(odd)]] });
    const { balancers } = setUp(cluster);
    expect([...share(balancers, cluster, 100).keys()]).toEqual(["10.0.0.3:8080"]);
  });
});

describe("slow start", () => {
  const linear = { windowMs: 60_000, aggression: 1, minimumWeightPercent: 10 };

  it("holds for least request too, whose weights are equal but for age", () => {
    const { balancers, clock } = setUp(buildCluster(1, { slowStart: linear }));
    clock.advance(120_000);
    const grown = buildCluster(2, { slowStart: linear });
    balancers.update(clustersOf(grown));
    expect((share(balancers, grown, 2_000).get("10.0.0.2:8080") ?? 0) / 2_000).toBeCloseTo(0.1 / 1.1, 1);
  });

  it("begins anew when an endpoint turns healthy again", () => {
    const withSecond = (health: "healthy" | "unhealthy"): Cluster =>
      buildCluster(0, {
        slowStart: linear,
        priorities: [[buildLocality([buildEndpoint(0), buildEndpoint(1, { health })])]],
      });
    const { balancers, clock } = setUp(withSecond("unhealthy"));
    clock.advance(120_000);
    const recovered = withSecond("healthy");
    balancers.update(clustersOf(recovered));
    expect((share(balancers, recovered, 2_000).get("10.0.0.2:8080") ?? 0) / 2_000).toBeCloseTo(0.1 / 1.1, 1);
  });

  it("ramps an endpoint that joins from a tenth of its weight to all of it", () => {
    const slowStart = { windowMs: 60_000, aggression: 1, minimumWeightPercent: 10 };
    const algorithm = { kind: "round-robin" } as const;
    const cluster = buildCluster(1, { slowStart, algorithm });
    const { balancers, clock } = setUp(cluster);
    clock.advance(120_000);
    const grown = buildCluster(2, { slowStart, algorithm });
    balancers.update(clustersOf(grown));
    const shareOfNew = () => (share(balancers, grown, 2_000).get("10.0.0.2:8080") ?? 0) / 2_000;
    expect(shareOfNew()).toBeCloseTo(0.1 / 1.1, 1);
    clock.advance(30_000);
    expect(shareOfNew()).toBeCloseTo(0.5 / 1.5, 1);
    clock.advance(30_000);
    expect(shareOfNew()).toBeCloseTo(0.5, 1);
  });
});

describe("peak EWMA", () => {
  const algorithm = { kind: "peak-ewma", decayMs: 10_000, failurePenaltyMs: 5_000 } as const;

  it("avoids the endpoint that fails fastest", () => {
    const cluster = buildCluster(3, { algorithm });
    const { balancers, clock } = setUp(cluster);
    const counts = new Map<string, number>();
    for (let n = 0; n < 300; n += 1) {
      const key = exchange(balancers, cluster, badFails);
      counts.set(key, (counts.get(key) ?? 0) + 1);
      clock.advance(1);
    }
    expect(counts.get(BAD) ?? 0).toBeLessThanOrEqual(3);
  });

  it("gives an endpoint without a sample its part, neither all nor nothing", () => {
    const warm = buildCluster(4, { algorithm });
    const { balancers, clock } = setUp(warm);
    const tokens = Array.from({ length: 40 }, () => begin(balancers, warm));
    expect(new Set(tokens.map(({ endpoint }) => endpoint.key)).size).toBe(4);
    for (const [n, token] of tokens.entries()) {
      balancers.finished(token, { kind: "success", status: 200, firstByteMs: 90 + n / 2 });
    }
    clock.advance(2_000);
    const grown = buildCluster(5, { algorithm });
    balancers.update(clustersOf(grown));
    const ofNew = (share(balancers, grown, 4_000).get("10.0.0.5:8080") ?? 0) / 4_000;
    expect(ofNew).toBeGreaterThan(0.05);
    expect(ofNew).toBeLessThan(0.395);
  });

  it("shuns an endpoint for as long as it asked with Retry-After", () => {
    const cluster = buildCluster(2, { algorithm });
    const { balancers } = setUp(cluster);
    exchange(balancers, cluster, () => ({ kind: "success", status: 429, firstByteMs: 1, retryAfterMs: 60_000 }));
    expect(
      balancers
        .status()[0]
        ?.endpoints.map(({ latencyMs }) => latencyMs)
        .filter(Boolean),
    ).toEqual([60_000]);
  });

  it("counts the head of an answer, not the end of its stream", () => {
    const cluster = buildCluster(1, { algorithm });
    const { balancers, clock } = setUp(cluster);
    const token = begin(balancers, cluster);
    balancers.responded(token, { kind: "success", status: 200, firstByteMs: 20 });
    clock.advance(600_000);
    balancers.finished(token, { kind: "success", status: 200, firstByteMs: 20 });
    expect(statusOf(balancers, BAD)).toMatchObject({ latencyMs: 20, active: 0 });
  });

  it("does not take a request that was given up quickly for a fast answer", () => {
    const cluster = buildCluster(1, { algorithm });
    const { balancers, clock } = setUp(cluster);
    exchange(balancers, cluster, () => ({ kind: "success", status: 200, firstByteMs: 50 }));
    exchange(balancers, cluster, () => ({ kind: "cancelled" }));
    expect(statusOf(balancers, BAD)?.latencyMs).toBe(50);
    const slow = begin(balancers, cluster);
    clock.advance(400);
    balancers.finished(slow, { kind: "cancelled" });
    expect(statusOf(balancers, BAD)?.latencyMs).toBe(400);
  });
});

describe("outlier detection", () => {
  const cluster = buildCluster(3, { outlierDetection: OUTLIERS, algorithm: { kind: "round-robin" } });

  function ejectBad({ balancers }: ReturnType<typeof setUp>): void {
    for (let n = 0; n < 15; n += 1) exchange(balancers, cluster, badFails);
  }

  it("ejects after five failures in a row, and the rest takes the load", () => {
    const world = setUp(cluster);
    ejectBad(world);
    expect(world.events).toEqual([
      { kind: "ejected", cluster: cluster.name, endpoint: BAD, reason: "consecutive-5xx", durationMs: 30_000 },
    ]);
    expect([...share(world.balancers, cluster, 30).keys()].sort()).toEqual(["10.0.0.2:8080", "10.0.0.3:8080"]);
    expect(statusOf(world.balancers, BAD)).toMatchObject({ standing: "out", phase: "ejected", ejectedForMs: 30_000 });
  });

  it("sends exactly one probe when the time is over, whatever else comes meanwhile", () => {
    const world = setUp(cluster);
    ejectBad(world);
    world.clock.advance(30_000);
    const tokens = Array.from({ length: 20 }, () => begin(world.balancers, cluster));
    const probes = tokens.filter(({ endpoint }) => endpoint.key === BAD);
    expect(probes).toHaveLength(1);
    world.balancers.finished(probes[0]!, SUCCESS);
    expect(world.events.map(({ kind }) => kind)).toEqual(["ejected", "probed", "returned"]);
    expect(share(world.balancers, cluster, 30).size).toBe(3);
  });

  it("ejects for twice as long when the probe fails", () => {
    const world = setUp(cluster);
    ejectBad(world);
    world.clock.advance(30_000);
    expect(exchange(world.balancers, cluster, badFails)).toBe(BAD);
    expect(world.events.at(-1)).toMatchObject({ kind: "ejected", durationMs: 60_000 });
    world.clock.advance(59_999);
    expect(share(world.balancers, cluster, 30).has(BAD)).toBe(false);
  });

  it("never probes with a retry", () => {
    const world = setUp(cluster);
    ejectBad(world);
    world.clock.advance(30_000);
    expect(share(world.balancers, cluster, 20, { tried: new Set(["10.0.0.2:8080"]) }).has(BAD)).toBe(false);
  });

  it("probes again when the probe was given up, and when it was picked but never sent", () => {
    const world = setUp(cluster);
    ejectBad(world);
    world.clock.advance(30_000);
    expect(pickToken(world.balancers, cluster).endpoint.key).toBe(BAD);
    expect(exchange(world.balancers, cluster, () => ({ kind: "cancelled" }))).toBe(BAD);
    expect(exchange(world.balancers, cluster, () => SUCCESS)).toBe(BAD);
    expect(statusOf(world.balancers, BAD)?.phase).toBe("in");
  });

  it("keeps an ejection across an update, and drops it when detection is switched off", () => {
    const world = setUp(cluster);
    ejectBad(world);
    world.balancers.update(clustersOf({ ...cluster }));
    expect(share(world.balancers, cluster, 30).has(BAD)).toBe(false);
    const without = { ...cluster, outlierDetection: undefined };
    world.balancers.update(clustersOf(without));
    expect(share(world.balancers, without, 30).has(BAD)).toBe(true);
  });

  it("says nothing of an endpoint that is gone, whatever its last requests do", () => {
    const strict = { ...cluster, outlierDetection: { ...OUTLIERS, consecutive5xx: 1 } };
    const { balancers, events } = setUp(strict);
    const tokens = [1, 2, 3].map(() => begin(balancers, strict));
    const leaving = tokens.find(({ endpoint }) => endpoint.key === "10.0.0.3:8080");
    balancers.update(clustersOf({ ...buildCluster(2), outlierDetection: strict.outlierDetection }));
    balancers.finished(leaving!, FAILURE);
    expect(events).toEqual([]);
  });

  it("ejects who fails every other request once the interval is over, and judges the next one afresh", () => {
    const statistics: StatisticalDetector[] = [
      { of: "answers", minimumEndpoints: 3, minimumRequests: 10, rule: { kind: "success-rate", deviations: 1 } },
    ];
    const judged = { ...cluster, outlierDetection: { ...OUTLIERS, statistics } };
    const { balancers, events, clock } = setUp(judged);
    let turn = 0;
    const everyOther = (key: string) => (key === BAD && turn++ % 2 === 0 ? FAILURE : SUCCESS);
    for (let n = 0; n < 60; n += 1) exchange(balancers, judged, everyOther);
    expect(events).toEqual([]);
    clock.advance(10_000);
    exchange(balancers, judged, everyOther);
    expect(events).toEqual([
      { kind: "ejected", cluster: cluster.name, endpoint: BAD, reason: "success-rate", durationMs: 30_000 },
    ]);
    for (let round = 0; round < 2; round += 1) {
      for (let n = 0; n < 60; n += 1) exchange(balancers, judged, () => SUCCESS);
      clock.advance(10_000);
    }
    expect(events).toHaveLength(1);
  });

  it("never ejects the last endpoint, however it fails", () => {
    const alone = buildCluster(1, { outlierDetection: { ...OUTLIERS, maximumEjectionPercent: 100 } });
    const { balancers, events } = setUp(alone);
    for (let n = 0; n < 100; n += 1) exchange(balancers, alone, () => FAILURE);
    expect(events).toEqual([]);
  });
});

describe("life of state", () => {
  it("keeps load by endpoint across updates, and forgets an endpoint with its last request", () => {
    const cluster = buildCluster(2);
    const { balancers } = setUp(cluster);
    const [first, second] = [begin(balancers, cluster), begin(balancers, cluster)];
    balancers.update(clustersOf(buildCluster(3)));
    expect(balancers.status()[0]?.endpoints.map(({ active }) => active)).toEqual([1, 1, 0]);
    balancers.update(clustersOf(buildCluster(0)));
    balancers.update(clustersOf(buildCluster(2)));
    expect(balancers.status()[0]?.endpoints.map(({ active }) => active)).toEqual([1, 1]);
    balancers.update(clustersOf(buildCluster(0)));
    for (const token of [first, second]) balancers.finished(token, SUCCESS);
    balancers.update(clustersOf(buildCluster(2)));
    expect(balancers.status()[0]?.endpoints.map(({ active, started }) => [active, started])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it("serves requests of an older model whose cluster is gone", () => {
    const cluster = buildCluster(2);
    const { balancers } = setUp(cluster);
    const token = begin(balancers, cluster);
    balancers.update(new Map());
    expect(balancers.pick(cluster).kind).toBe("picked");
    balancers.finished(token, SUCCESS);
    expect(balancers.breaker(cluster).state("requests").active).toBe(0);
    expect(balancers.status()).toEqual([]);
  });

  it("counts every start and end once", () => {
    const cluster = buildCluster(1, { outlierDetection: OUTLIERS });
    const { balancers } = setUp(cluster);
    const token = pickToken(balancers, cluster);
    balancers.finished(token, FAILURE);
    balancers.started(token);
    balancers.started(token);
    balancers.responded(token, SUCCESS);
    balancers.finished(token, SUCCESS);
    balancers.finished(token, FAILURE);
    expect(statusOf(balancers, BAD)).toMatchObject({ active: 0, started: 1, failed: 0 });
    expect(balancers.breaker(cluster).state("requests").active).toBe(0);
  });

  it("counts a failure in the middle of an answer that began well", () => {
    const cluster = buildCluster(2, { outlierDetection: { ...OUTLIERS, consecutive5xx: 1 } });
    const { balancers, events } = setUp(cluster);
    const token = begin(balancers, cluster);
    balancers.responded(token, SUCCESS);
    balancers.finished(token, { kind: "local-failure" });
    expect(events.map(({ kind }) => kind)).toEqual(["ejected"]);
  });

  it("uses what DNS says through updates, until the names change", () => {
    const dns = { hostnames: [{ hostname: "db.example", port: 5432 }], logical: false };
    const cluster = buildCluster(0, { dns });
    const { balancers } = setUp(cluster);
    expect(balancers.pick(cluster)).toMatchObject({ kind: "none", reason: "no-endpoints" });
    balancers.resolved(cluster.name, [[buildLocality([buildEndpoint(4)])]]);
    balancers.update(clustersOf(cluster));
    const reconfigured = { ...cluster, connectTimeoutMs: 1 };
    balancers.update(clustersOf(reconfigured));
    expect(pickToken(balancers, reconfigured).endpoint.key).toBe("10.0.0.5:8080");
    const renamed = { ...cluster, dns: { ...dns, hostnames: [{ hostname: "other.example", port: 5432 }] } };
    balancers.update(clustersOf(renamed));
    expect(balancers.pick(renamed).kind).toBe("none");
  });
});
