/**
 * Limits of what a cluster may have under way at once. What is over a limit is refused at once, never queued.
 *
 * Parity: Envoy circuit breakers of the default priority, HTTP 503 with flag UO.
 */
import type { CircuitBreakers } from "./model.ts";

export type BreakerResource = "connections" | "pending" | "requests" | "retries";

export const BREAKER_RESOURCES: readonly BreakerResource[] = ["connections", "pending", "requests", "retries"];

/** Whether one more fits. `limit` undefined = without limit. */
export function admits(active: number, limit: number | undefined): boolean {
  return limit === undefined || active < limit;
}

export function limitOf(breakers: CircuitBreakers, resource: BreakerResource): number | undefined {
  switch (resource) {
    case "connections":
      return breakers.maximumConnections;
    case "pending":
      return breakers.maximumPendingRequests;
    case "requests":
      return breakers.maximumRequests;
    case "retries":
      return breakers.maximumRetries;
    default:
      return resource satisfies never;
  }
}

/** Live counts of one cluster. Whoever acquires releases, exactly once. */
export class CircuitBreaker {
  readonly #active: Record<BreakerResource, number> = { connections: 0, pending: 0, requests: 0, retries: 0 };
  readonly #refused: Record<BreakerResource, number> = { connections: 0, pending: 0, requests: 0, retries: 0 };
  #limits: CircuitBreakers;

  constructor(limits: CircuitBreakers) {
    this.#limits = limits;
  }

  /** New limits hold for what comes; what is under way stays. */
  configure(limits: CircuitBreakers): void {
    this.#limits = limits;
  }

  /** Whether one more would be admitted; a refusal is counted. */
  check(resource: BreakerResource): boolean {
    const admitted = admits(this.#active[resource], limitOf(this.#limits, resource));
    if (!admitted) this.#refused[resource] += 1;
    return admitted;
  }

  /** Counts one more without asking: it was admitted before. */
  occupy(resource: BreakerResource): void {
    this.#active[resource] += 1;
  }

  tryAcquire(resource: BreakerResource): boolean {
    if (!this.check(resource)) return false;
    this.occupy(resource);
    return true;
  }

  release(resource: BreakerResource): void {
    this.#active[resource] = Math.max(0, this.#active[resource] - 1);
  }

  /** For metrics and the admin dump. */
  state(resource: BreakerResource): BreakerState {
    const limit = limitOf(this.#limits, resource);
    const active = this.#active[resource];
    return { active, limit, refused: this.#refused[resource], open: !admits(active, limit) };
  }
}

export interface BreakerState {
  readonly active: number;
  readonly limit: number | undefined;
  /** Refused since the cluster is known. */
  readonly refused: number;
  readonly open: boolean;
}
