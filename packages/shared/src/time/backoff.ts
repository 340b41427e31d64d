import type { Random } from "./clock.ts";

export interface BackoffInit {
  readonly baseMs: number;
  readonly capMs: number;
  /** 0..1: the share of the delay that is random, spread to both sides. */
  readonly jitter: number;
}

/** Delay before attempt `n` (0 = first retry): min(cap, base * 2^n), spread by `jitter`. Never negative, never above cap * (1 + jitter). */
export function backoffDelayMs(init: BackoffInit, n: number, random: Random): number {
  const raw = Math.min(init.capMs, init.baseMs * 2 ** Math.min(n, 40));
  return raw * (1 - init.jitter + 2 * init.jitter * random());
}
