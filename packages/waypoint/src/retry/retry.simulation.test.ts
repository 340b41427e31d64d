/** Requests against endpoints that fail, balanced, retried and held to the budget, by the clock of the simulation. */
import { describe, expect, it } from "@jest/globals";
import { type AttemptOutcome, resultOfAnswer } from "../balance/attempt-outcome.ts";
import { createClusterBalancers } from "../balance/cluster-balancer.ts";
import type { Cluster } from "../balance/model.ts";
import { buildCluster, clustersOf, ManualClock, NO_BREAKERS, OUTLIERS, seededRandom } from "../balance/test-cluster.ts";
import type { RetryPolicy } from "./model.ts";
import { createRetryGate } from "./retry-gate.ts";
import { decideRetry } from "./retry-policy.ts";

const POLICY: RetryPolicy = {
  conditions: new Set(["5xx"]),
  statusCodes: new Set(),
  retries: 2,
  perTryTimeoutMs: 0,
  backoff: { baseMs: 25, maximumMs: 250 },
  avoidsTriedEndpoints: true,
  hostSelectionAttempts: 5,
  explicit: true,
};

const BAD: ReadonlySet<string> = new Set(["10.0.0.1:8080"]);
const ALL: ReadonlySet<string> = new Set(["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]);

function simulate(cluster: Cluster, failing: ReadonlySet<string>, load: { requests: number; perSecond: number }) {
  const clock = new ManualClock();
  const random = seededRandom(99);
  const balancers = createClusterBalancers({ clock, random });
  balancers.update(clustersOf(cluster));
  const gate = createRetryGate({ clock, breaker: (each) => balancers.breaker(each) });
  const seen = { retries: 0, failed: 0, budgetRefused: 0, circuitRefused: 0 };

  const attempt = (number: number, tried: Set<string>): void => {
    const result = balancers.pick(cluster, { tried });
    if (result.kind !== "picked") throw new Error(result.message);
    const { token, endpoint } = result;
    balancers.started(token);
    tried.add(endpoint.key);
    clock.after(2, () => {
      const status = failing.has(endpoint.key) ? 503 : 200;
      const outcome: AttemptOutcome = { kind: resultOfAnswer(status), status, firstByteMs: 2 };
      balancers.finished(token, outcome);
      if (number > 1) gate.finished(cluster);
      conclude(number, tried, status);
    });
  };
  const conclude = (number: number, tried: Set<string>, status: number): void => {
    const decision = decideRetry(
      {
        policy: POLICY,
        end: { kind: "response", status, headers: [] },
        attempt: number,
        method: "GET",
        headers: [],
        bodyReplayable: true,
        responseStarted: false,
        remainingMs: undefined,
        isRetriedByCaller: false,
      },
      { now: clock.now(), random },
    );
    if (decision.kind === "retry") {
      const admission = gate.admit(cluster);
      if (admission.kind === "admitted") {
        seen.retries += 1;
        clock.after(decision.delayMs, () => attempt(number + 1, tried));
        return;
      }
      if (admission.reason === "budget") seen.budgetRefused += 1;
      else seen.circuitRefused += 1;
    }
    if (status !== 200) seen.failed += 1;
  };

  for (let n = 0; n < load.requests; n += 1) {
    gate.recordFirstAttempt(cluster);
    attempt(1, new Set());
    clock.advance(1_000 / load.perSecond);
  }
  clock.advance(10_000);
  return {
    ...seen,
    active: balancers.breaker(cluster).state("requests").active,
    retrying: balancers.breaker(cluster).state("retries").active,
  };
}

const LOAD = { requests: 6_000, perSecond: 200 };
const withBudget = (percent: number, minimumPerSecond: number): Cluster =>
  buildCluster(3, {
    circuitBreakers: { ...NO_BREAKERS, retryBudget: { percent, intervalMs: 10_000, minimumPerSecond } },
  });

describe("one of three endpoints fails everything", () => {
  it("has retries of no more than a tenth of the requests, and uses them", () => {
    const seen = simulate(withBudget(10, 0), BAD, LOAD);
    expect(seen.retries).toBeLessThanOrEqual(LOAD.requests * 0.1);
    expect(seen.retries).toBeGreaterThan(LOAD.requests * 0.08);
    expect(seen.budgetRefused).toBeGreaterThan(0);
    expect([seen.active, seen.retrying]).toEqual([0, 0]);
  });

  it("with outlier detection stops failing, so that the budget is hardly needed", () => {
    const cluster = { ...withBudget(10, 0), outlierDetection: OUTLIERS };
    const seen = simulate(cluster, BAD, LOAD);
    expect(seen.retries).toBeLessThan(20);
    expect(seen.failed).toBeLessThan(20);
  });

  it("with a budget of plenty answers everybody: each retry goes to another endpoint", () => {
    expect(simulate(withBudget(100, 100), BAD, LOAD).failed).toBe(0);
  });
});

describe("everything fails", () => {
  it("is not made worse: retries stay a tenth, where two for each would have been asked", () => {
    const seen = simulate(withBudget(10, 0), ALL, LOAD);
    expect(seen.retries).toBeLessThanOrEqual(LOAD.requests * 0.1);
    expect(seen.failed).toBe(LOAD.requests);
  });

  it("has its floor a second beside the share, by default ten", () => {
    const seconds = LOAD.requests / LOAD.perSecond;
    const seen = simulate(buildCluster(3), ALL, LOAD);
    expect(seen.retries).toBeLessThanOrEqual(LOAD.requests * 0.1 + 10 * (seconds + 1));
    expect(seen.retries).toBeGreaterThan(9 * seconds);
  });

  it("is held by the limit of retries under way too", () => {
    const cluster = buildCluster(3, { circuitBreakers: { ...NO_BREAKERS, maximumRetries: 1 } });
    const seen = simulate(cluster, ALL, { requests: 500, perSecond: 1_000 });
    expect(seen.circuitRefused).toBeGreaterThan(0);
    expect(seen.retrying).toBe(0);
  });
});

describe("createRetryGate", () => {
  const clock = new ManualClock();
  const serviceOf = (hostname: string) => ({ name: "cart", namespace: "shop", hostname });
  const retryBudget = { percent: 0, intervalMs: 10_000, minimumPerSecond: 1 };
  const portOf = (name: string, hostname: string): Cluster =>
    buildCluster(1, { name, service: serviceOf(hostname), circuitBreakers: { ...NO_BREAKERS, retryBudget } });

  it("has one budget for the ports of a service, and another for another service", () => {
    const balancers = createClusterBalancers({ clock, random: () => 0 });
    const gate = createRetryGate({ clock, breaker: (each) => balancers.breaker(each) });
    const [http, grpc, other] = [portOf("a", "cart.shop"), portOf("b", "cart.shop"), portOf("c", "web.shop")];
    expect([http, grpc, other].map((cluster) => gate.admit(cluster).kind)).toEqual(["admitted", "refused", "admitted"]);
    expect(gate.admit(grpc)).toEqual({
      kind: "refused",
      reason: "budget",
      message: "retries of cart.shop used up their budget of 0 % of its requests",
    });
    expect(gate.stats).toEqual({ admitted: 2, refusedByBudget: 2, refusedByCircuit: 0 });
    expect(balancers.breaker(grpc).state("retries").active).toBe(0);
  });

  it("forgets the budgets of services that are gone", () => {
    const balancers = createClusterBalancers({ clock, random: () => 0 });
    const gate = createRetryGate({ clock, breaker: (each) => balancers.breaker(each) });
    const cluster = portOf("a", "cart.shop");
    gate.admit(cluster);
    gate.retain(clustersOf(cluster));
    expect(gate.admit(cluster).kind).toBe("refused");
    gate.retain(new Map());
    expect(gate.admit(cluster).kind).toBe("admitted");
  });
});
