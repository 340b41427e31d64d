/** For tests of this folder and of `retry/`: clusters and endpoints that default what does not matter, time, and dice. */
import { parseIp } from "@ambit/shared/net";
import type { Clock, Random } from "@ambit/shared/time";
import type { CircuitBreakers, Cluster, Endpoint, LocalityEndpoints, OutlierDetection } from "./model.ts";

export const NO_BREAKERS: CircuitBreakers = {
  maximumConnections: undefined,
  maximumPendingRequests: undefined,
  maximumRequests: undefined,
  maximumRetries: undefined,
  retryBudget: undefined,
};

export const OUTLIERS: OutlierDetection = {
  consecutive5xx: 5,
  consecutiveGatewayErrors: 0,
  consecutiveLocalFailures: 5,
  splitsLocalErrors: false,
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maximumEjectionMs: 300_000,
  maximumEjectionPercent: 50,
  statistics: [],
};

/** Endpoint `10.0.0.<n>:8080`. */
export function buildEndpoint(n: number, fields: Partial<Endpoint> = {}): Endpoint {
  const text = `10.0.${Math.floor(n / 250)}.${(n % 250) + 1}`;
  const ip = parseIp(text);
  if (!ip.ok) throw new Error(ip.error);
  return {
    key: `${text}:8080`,
    address: { ip: ip.value, port: 8080 },
    weight: 1,
    health: "healthy",
    reach: { kind: "plain" },
    workload: "",
    ...fields,
  };
}

export function buildLocality(
  endpoints: readonly Endpoint[],
  fields: Partial<LocalityEndpoints> = {},
): LocalityEndpoints {
  return { region: "r1", zone: "z1", subzone: "", weight: 0, ...fields, endpoints };
}

/** A cluster of one priority and locality with so many equal endpoints, unless `fields` says otherwise. */
export function buildCluster(endpoints: number, fields: Partial<Cluster> = {}): Cluster {
  return {
    name: "inbound-vip|80|http|cart.shop.svc.cluster.local",
    service: undefined,
    algorithm: { kind: "least-request", choices: 2, activeRequestBias: 1 },
    priorities: [[buildLocality(Array.from({ length: endpoints }, (_, n) => buildEndpoint(n)))]],
    overprovisioningPercent: 140,
    panicThresholdPercent: 0,
    localityWeighted: false,
    slowStart: undefined,
    outlierDetection: undefined,
    circuitBreakers: NO_BREAKERS,
    connectTimeoutMs: 10_000,
    http: { protocol: "as-downstream", idleTimeoutMs: 0, maximumRequestsPerConnection: 0 },
    transport: { kind: "raw" },
    original: false,
    dns: undefined,
    ...fields,
  };
}

export const clustersOf = (...clusters: readonly Cluster[]): ReadonlyMap<string, Cluster> =>
  new Map(clusters.map((cluster) => [cluster.name, cluster]));

/** Time that stands until it is moved. */
export class ManualClock implements Clock {
  nowMs = 1_000_000;
  readonly #timers = new Set<{ readonly atMs: number; readonly task: () => void }>();

  now(): number {
    return 1_700_000_000_000 + this.nowMs;
  }

  monotonic(): number {
    return this.nowMs;
  }

  after(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.nowMs = due.atMs;
      due.task();
    }
    this.nowMs = untilMs;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }
}

/** Dice that roll the same for the same seed (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
