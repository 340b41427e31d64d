/**
 * Outliers among endpoints: those that fail much more than the others of their cluster, or more than a share of the
 * time, in one interval. Consecutive failures (`outlier-detection.ts`) say nothing of an endpoint that fails every
 * other request. Pure.
 *
 * Parity: Envoy's success rate and failure percentage detectors.
 * Differs: the worst go first, which matters once the maximum percent is reached; an interval is judged by the first
 * result after its end, so a cluster without requests needs no timer.
 */
import type { StatisticalDetector } from "./model.ts";
import type { AttemptResult, EjectionReason } from "./outlier-detection.ts";

interface Tally {
  total: number;
  succeeded: number;
}

/** What one endpoint did in the running interval. With a split, local failures and answers are counted apart. */
export class IntervalResults {
  readonly answers: Tally = { total: 0, succeeded: 0 };
  readonly local: Tally = { total: 0, succeeded: 0 };

  add(result: AttemptResult, splitsLocalErrors: boolean): void {
    if (result === "cancelled") return;
    if (splitsLocalErrors) {
      count(this.local, result !== "local-failure");
      if (result === "local-failure") return;
    }
    count(this.answers, result === "success");
  }

  clear(): void {
    for (const tally of [this.answers, this.local]) {
      tally.total = 0;
      tally.succeeded = 0;
    }
  }
}

function count(tally: Tally, succeeded: boolean): void {
  tally.total += 1;
  if (succeeded) tally.succeeded += 1;
}

export interface Outlier<Key> {
  readonly endpoint: Key;
  readonly reason: EjectionReason;
}

/** Endpoints that should be ejected for their last interval, the worst first; none twice. */
export function outliersOf<Key>(
  endpoints: readonly { readonly endpoint: Key; readonly results: IntervalResults }[],
  detectors: readonly StatisticalDetector[],
): readonly Outlier<Key>[] {
  const found = new Map<Key, Outlier<Key>>();
  for (const detector of detectors) {
    const rates = endpoints
      .map(({ endpoint, results }) => ({ endpoint, tally: results[detector.of] }))
      .filter(({ tally }) => tally.total > 0 && tally.total >= detector.minimumRequests)
      .map(({ endpoint, tally }) => ({ endpoint, percent: (100 * tally.succeeded) / tally.total }));
    if (rates.length < detector.minimumEndpoints) continue;
    const { rule } = detector;
    const threshold = thresholdOf(rule, rates);
    const isOutlier = (percent: number): boolean =>
      rule.kind === "success-rate" ? percent < threshold : percent <= threshold;
    for (const { endpoint, percent } of rates.sort((a, b) => a.percent - b.percent)) {
      if (isOutlier(percent) && !found.has(endpoint)) found.set(endpoint, { endpoint, reason: rule.kind });
    }
  }
  return [...found.values()];
}

/** The success rate, in percent, from which an endpoint is an outlier. */
function thresholdOf(rule: StatisticalDetector["rule"], rates: readonly { readonly percent: number }[]): number {
  if (rule.kind === "failure-percentage") return 100 - rule.thresholdPercent;
  const mean = rates.reduce((sum, { percent }) => sum + percent, 0) / rates.length;
  const variance = rates.reduce((sum, { percent }) => sum + (percent - mean) ** 2, 0) / rates.length;
  return mean - rule.deviations * Math.sqrt(variance);
}
