/**
 * Latency as a moving average that believes bad news at once and good news slowly. Pure.
 *
 * Spec: a sample over the estimate replaces it; one under it is mixed in with weight 1 - e^(-dt / decay). Read
 * later, the estimate decays by the same factor, so that an endpoint which was slow is tried again.
 * Parity: tower's peak EWMA, as in Linkerd. Differs: a failure counts as a latency of its own (an endpoint that fails
 * within a millisecond must not look like the fastest), and an endpoint without a sample counts as the median of its
 * group, neither flooded nor shunned.
 */

/** Of a group without any sample. */
export const DEFAULT_RTT_MS = 30;

/** The estimate after a sample; `estimateMs` undefined = the first one. `elapsedMs` is since the estimate was made. */
export function observeLatency(
  estimateMs: number | undefined,
  sample: { readonly elapsedMs: number; readonly rttMs: number; readonly decayMs: number },
): number {
  if (estimateMs === undefined || sample.rttMs > estimateMs) return sample.rttMs;
  const weight = decayFactor(sample.elapsedMs, sample.decayMs);
  return estimateMs * weight + sample.rttMs * (1 - weight);
}

/** The estimate as it is worth after some time without a sample. */
export function decayedLatency(estimateMs: number, elapsedMs: number, decayMs: number): number {
  return estimateMs * decayFactor(elapsedMs, decayMs);
}

/** What one more request there would cost: estimate * (active + 1) / weight. */
export function peakEwmaCost(estimateMs: number, active: number, weight: number): number {
  return (estimateMs * (active + 1)) / weight;
}

/** The middle one, the lower of two; `DEFAULT_RTT_MS` of none. */
export function medianLatency(estimatesMs: readonly number[]): number {
  const sorted = Float64Array.from(estimatesMs).sort();
  return sorted[(sorted.length - 1) >>> 1] ?? DEFAULT_RTT_MS;
}

function decayFactor(elapsedMs: number, decayMs: number): number {
  return decayMs > 0 ? Math.exp(-Math.max(0, elapsedMs) / decayMs) : 0;
}
