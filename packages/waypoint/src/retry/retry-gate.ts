/**
 * Whether a retry that the policy wants may happen: the budget of its service, and the cluster's limit of retries under
 * way. The part of this folder with a life.
 */
import type { Clock } from "@ambit/shared/time";
import type { CircuitBreaker } from "../balance/circuit-breaker.ts";
import type { Cluster, RetryBudgetConfig } from "../balance/model.ts";
import { DEFAULT_RETRY_BUDGET, RetryBudget } from "./retry-budget.ts";

export interface RetryGateInit {
  readonly clock: Clock;
  /** Of the balancers: its "retries" are taken here. */
  breaker(cluster: Cluster): CircuitBreaker;
  /** For clusters whose configuration has none. */
  readonly defaultBudget?: RetryBudgetConfig;
}

/** A "budget" or "circuit-open" refusal means: answer 503 with flag URX, or UO. */
export type RetryAdmission =
  | { readonly kind: "admitted" }
  | { readonly kind: "refused"; readonly reason: "budget" | "circuit-open"; readonly message: string };

export interface RetryGate {
  /** Every request's first attempt, when it starts. Mirrored copies are none. */
  recordFirstAttempt(cluster: Cluster): void;
  /** Asks for a retry, just before its delay. Every "admitted" is followed by one `finished`. */
  admit(cluster: Cluster): RetryAdmission;
  /** The retry is over, or was never sent. */
  finished(cluster: Cluster): void;
  /** Forgets the budgets of services that no cluster has. */
  retain(clusters: ReadonlyMap<string, Cluster>): void;
  readonly stats: { readonly admitted: number; readonly refusedByBudget: number; readonly refusedByCircuit: number };
}

export function createRetryGate(init: RetryGateInit): RetryGate {
  return new Gate(init);
}

class Gate implements RetryGate {
  readonly stats = { admitted: 0, refusedByBudget: 0, refusedByCircuit: 0 };
  readonly #init: RetryGateInit;
  readonly #budgets = new Map<string, RetryBudget>();

  constructor(init: RetryGateInit) {
    this.#init = init;
  }

  recordFirstAttempt(cluster: Cluster): void {
    this.#budgetOf(cluster).recordFirstAttempt(this.#init.clock.monotonic());
  }

  admit(cluster: Cluster): RetryAdmission {
    const breaker = this.#init.breaker(cluster);
    if (!breaker.tryAcquire("retries")) {
      this.stats.refusedByCircuit += 1;
      const limit = cluster.circuitBreakers.maximumRetries;
      const message = `cluster ${cluster.name} already has its maximum of ${limit} retries under way`;
      return { kind: "refused", reason: "circuit-open", message };
    }
    if (this.#budgetOf(cluster).tryRetry(this.#init.clock.monotonic())) {
      this.stats.admitted += 1;
      return { kind: "admitted" };
    }
    breaker.release("retries");
    this.stats.refusedByBudget += 1;
    const { percent } = this.#configOf(cluster);
    const message = `retries of ${serviceOf(cluster)} used up their budget of ${percent} % of its requests`;
    return { kind: "refused", reason: "budget", message };
  }

  finished(cluster: Cluster): void {
    this.#init.breaker(cluster).release("retries");
  }

  retain(clusters: ReadonlyMap<string, Cluster>): void {
    const wanted = new Set([...clusters.values()].map((cluster) => this.#keyOf(cluster)));
    for (const key of this.#budgets.keys()) {
      if (!wanted.has(key)) this.#budgets.delete(key);
    }
  }

  #budgetOf(cluster: Cluster): RetryBudget {
    const key = this.#keyOf(cluster);
    const known = this.#budgets.get(key);
    if (known !== undefined) return known;
    const budget = new RetryBudget(this.#configOf(cluster));
    this.#budgets.set(key, budget);
    return budget;
  }

  #configOf(cluster: Cluster): RetryBudgetConfig {
    return cluster.circuitBreakers.retryBudget ?? this.#init.defaultBudget ?? DEFAULT_RETRY_BUDGET;
  }

  /** One budget a service, over its ports and subsets; ports that are configured apart are counted apart. */
  #keyOf(cluster: Cluster): string {
    const { percent, intervalMs, minimumPerSecond } = this.#configOf(cluster);
    return `${serviceOf(cluster)}|${percent}|${intervalMs}|${minimumPerSecond}`;
  }
}

function serviceOf(cluster: Cluster): string {
  return cluster.service?.hostname ?? cluster.name;
}
