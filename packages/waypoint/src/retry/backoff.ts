/**
 * How long to wait before a failed attempt is tried again. Pure.
 *
 * Spec: delay_n = min(cap, base * 2^n) + uniform(0, jitter * min(cap, base * 2^n)); when the server asks for a time,
 * max(delay_n, time * uniform(1, 1.5)). Differs: Envoy draws from 0 up to the cap, which breaks the minimum that
 * Gateway API promises (GEP-1731), so our jitter only ever adds.
 */
import type { Random } from "@ambit/shared/time";

export interface RetryBackoff {
  readonly baseMs: number;
  /** Never under the base. */
  readonly maximumMs: number;
  /** 0 to 1: so much of the delay may come on top; default 0.5. */
  readonly jitter?: number;
}

/** Parity: Envoy's base interval and cap. */
export const DEFAULT_BACKOFF: RetryBackoff = { baseMs: 25, maximumMs: 250 };

const DEFAULT_JITTER = 0.5;
/** 2^n must stay a number that multiplies. */
const MAXIMUM_EXPONENT = 40;

/** The part of the delay that is not random: min(cap, base * 2^n), n = 0 for the first retry. */
export function backoffFloorMs({ baseMs, maximumMs }: RetryBackoff, n: number): number {
  return Math.min(Math.max(maximumMs, baseMs), baseMs * 2 ** Math.min(n, MAXIMUM_EXPONENT));
}

/** Delay before retry `n`, between its floor and floor * (1 + jitter). */
export function retryDelayMs(backoff: RetryBackoff, n: number, random: Random): number {
  const floorMs = backoffFloorMs(backoff, n);
  return floorMs + random() * (backoff.jitter ?? DEFAULT_JITTER) * floorMs;
}

/** The delay when the server named one: never sooner than it asked, and up to half as much later. */
export function serverDelayMs(delayMs: number, askedMs: number, random: Random): number {
  return Math.max(delayMs, askedMs * (1 + random() / 2));
}
