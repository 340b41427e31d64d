/**
 * How many retries a destination may get: a share of its first attempts, or a few a second where that is more. Retries
 * do not count as attempts, so a failing destination cannot earn retries by being retried. The clock is an argument
 * (monotonic milliseconds).
 *
 * Spec: allowed when retries(interval) + 1 <= percent / 100 * firstAttempts(interval)
 *       or when retries(second) + 1 <= minimumPerSecond.
 * Differs: Envoy counts what is under way at the moment, and always allows three.
 */
import type { RetryBudgetConfig } from "../balance/model.ts";

/** Without any configuration. */
export const DEFAULT_RETRY_BUDGET: RetryBudgetConfig = { percent: 10, intervalMs: 10_000, minimumPerSecond: 10 };

const BUCKETS = 10;
const SECOND_MS = 1_000;
/** Bounds of a window: under it buckets are too short to mean anything, over it (GEP-3388) they keep the past too long. */
const SHORTEST_WINDOW_MS = 10;
const LONGEST_WINDOW_MS = 3_600_000;

/** Counts events of the last window in ten buckets and the running one. Memory is fixed. */
export class SlidingCounter {
  readonly #bucketMs: number;
  /** One more than a window has: the running one is not over yet. */
  readonly #counts = new Float64Array(BUCKETS + 1);
  #newest = Number.NEGATIVE_INFINITY;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / BUCKETS;
  }

  add(nowMs: number): void {
    this.#advance(nowMs);
    const slot = slotOf(this.#newest);
    this.#counts[slot] = this.#counts[slot]! + 1;
  }

  /** Events of at least the window: that and up to a bucket more. */
  atLeastWindow(nowMs: number): number {
    this.#advance(nowMs);
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** Events of at most the window: that or up to a bucket less. */
  atMostWindow(nowMs: number): number {
    const all = this.atLeastWindow(nowMs);
    return all - this.#counts[slotOf(this.#newest + 1)]!;
  }

  /** Empties the buckets that time has passed. A clock that stands still or goes back changes nothing. */
  #advance(nowMs: number): void {
    const bucket = Math.floor(nowMs / this.#bucketMs);
    if (bucket <= this.#newest) return;
    const passed = Math.min(bucket - this.#newest, BUCKETS + 1);
    for (let back = 0; back < passed; back += 1) this.#counts[slotOf(bucket - back)] = 0;
    this.#newest = bucket;
  }
}

function slotOf(bucket: number): number {
  return ((bucket % (BUCKETS + 1)) + BUCKETS + 1) % (BUCKETS + 1);
}

/**
 * The budget of one destination. Where buckets make counts uncertain it errs towards fewer retries: retries are counted
 * over at least the window, first attempts over at most it.
 */
export class RetryBudget {
  readonly #config: RetryBudgetConfig;
  readonly #firstAttempts: SlidingCounter;
  readonly #retries: SlidingCounter;
  readonly #recentRetries: SlidingCounter;
  /** The floor as whole retries in a window: one in five seconds has a window of five seconds. */
  readonly #floor: number;

  constructor(config: RetryBudgetConfig) {
    this.#config = config;
    const windowMs = clampWindow(config.intervalMs);
    this.#firstAttempts = new SlidingCounter(windowMs);
    this.#retries = new SlidingCounter(windowMs);
    const rate = Math.max(0, config.minimumPerSecond);
    this.#floor = rate > 0 ? Math.max(1, Math.floor(rate)) : 0;
    this.#recentRetries = new SlidingCounter(rate >= 1 || rate === 0 ? SECOND_MS : clampWindow(SECOND_MS / rate));
  }

  recordFirstAttempt(nowMs: number): void {
    this.#firstAttempts.add(nowMs);
  }

  /** Takes a retry out of the budget; false when there is none left. */
  tryRetry(nowMs: number): boolean {
    const wanted = this.#retries.atLeastWindow(nowMs) + 1;
    const earned = (this.#config.percent / 100) * this.#firstAttempts.atMostWindow(nowMs);
    const isAllowed = wanted <= earned || this.#recentRetries.atLeastWindow(nowMs) + 1 <= this.#floor;
    if (!isAllowed) return false;
    this.#retries.add(nowMs);
    this.#recentRetries.add(nowMs);
    return true;
  }
}

function clampWindow(ms: number): number {
  return Math.min(Math.max(ms, SHORTEST_WINDOW_MS), LONGEST_WINDOW_MS);
}
