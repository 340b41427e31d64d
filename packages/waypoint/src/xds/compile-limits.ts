/** Circuit breakers and outlier detection of a cluster. Spec: envoy.config.cluster.v3.Cluster */

import type {
  CircuitBreakers as BreakersMessage,
  CircuitBreakers_Thresholds_RetryBudget as BudgetMessage,
} from "@ambit/envoy-api/envoy/config/cluster/v3/circuit_breaker";
import type { OutlierDetection as OutlierMessage } from "@ambit/envoy-api/envoy/config/cluster/v3/outlier_detection";
import { RoutingPriority } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type { CircuitBreakers, OutlierDetection, RetryBudgetConfig, StatisticalDetector } from "../balance/model.ts";
import { at } from "./invalid-field.ts";
import { durationMs, durationOr } from "./values.ts";

/** How istiod writes "without limit". */
const NO_LIMIT = 4_294_967_295;
const limit = (value: number | undefined): number | undefined => (value === NO_LIMIT ? undefined : value);

/**
 * Thresholds of the default priority. Differs: a limit that is not there is none, where Envoy has 1024 (and 3 retries):
 * defaults nobody chose cut long-lived connections.
 */
export function compileBreakers(message: BreakersMessage | undefined): CircuitBreakers {
  const thresholds = message?.thresholds.find(({ priority }) => priority === RoutingPriority.DEFAULT);
  const budget = thresholds?.retryBudget;
  return {
    maximumConnections: limit(thresholds?.maxConnections),
    maximumPendingRequests: limit(thresholds?.maxPendingRequests),
    maximumRequests: limit(thresholds?.maxRequests),
    maximumRetries: limit(thresholds?.maxRetries),
    retryBudget: budget && at("retry_budget", () => compileBudget(budget)),
  };
}

/** budget_interval, which is younger than the messages we generate from. */
const BUDGET_INTERVAL_FIELD = 3;
const DEFAULT_BUDGET_INTERVAL_MS = 10_000;

function compileBudget(message: BudgetMessage): RetryBudgetConfig {
  const unknown = message.$unknown?.find(({ no }) => no === BUDGET_INTERVAL_FIELD);
  const interval = unknown && durationMs(fromBinary(DurationSchema, new BinaryReader(unknown.data).bytes()));
  return {
    percent: Math.min(Math.max(message.budgetPercent?.value ?? 20, 0), 100),
    intervalMs: interval || DEFAULT_BUDGET_INTERVAL_MS,
    // Istio puts the Gateway API's minimum rate into it. Spec: GEP-3388
    minimumPerSecond: message.minRetryConcurrency ?? 3,
  };
}

/** A detector that is not enforced is off. */
const detector = (consecutive: number | undefined, enforcing: number | undefined, enforcedByDefault: number): number =>
  (enforcing ?? enforcedByDefault) > 0 ? (consecutive ?? 5) : 0;

export function compileOutlierDetection(message: OutlierMessage): OutlierDetection {
  const baseEjectionMs = at("base_ejection_time", () => durationOr(message.baseEjectionTime, 30_000));
  const maximumMs = at("max_ejection_time", () => durationOr(message.maxEjectionTime, 300_000));
  const splits = message.splitExternalLocalOriginErrors;
  return {
    consecutive5xx: detector(message.consecutive5xx, message.enforcingConsecutive5xx, 100),
    consecutiveGatewayErrors: detector(
      message.consecutiveGatewayFailure,
      message.enforcingConsecutiveGatewayFailure,
      0,
    ),
    consecutiveLocalFailures: splits
      ? detector(message.consecutiveLocalOriginFailure, message.enforcingConsecutiveLocalOriginFailure, 100)
      : 0,
    splitsLocalErrors: splits,
    intervalMs: at("interval", () => durationOr(message.interval, 10_000)),
    baseEjectionMs,
    maximumEjectionMs: Math.max(maximumMs, baseEjectionMs),
    maximumEjectionPercent: Math.min(message.maxEjectionPercent ?? 10, 100),
    statistics: [...statisticsOf(message, "answers"), ...(splits ? statisticsOf(message, "local") : [])],
  };
}

/** Envoy's defaults: the success rate is judged unless it is switched off (istiod does), the failure percentage not. */
function statisticsOf(message: OutlierMessage, of: StatisticalDetector["of"]): StatisticalDetector[] {
  const enforcing =
    of === "answers"
      ? { rate: message.enforcingSuccessRate, failures: message.enforcingFailurePercentage }
      : { rate: message.enforcingLocalOriginSuccessRate, failures: message.enforcingFailurePercentageLocalOrigin };
  const detectors: StatisticalDetector[] = [];
  if ((enforcing.rate ?? 100) > 0) {
    detectors.push({
      of,
      minimumEndpoints: message.successRateMinimumHosts ?? 5,
      minimumRequests: message.successRateRequestVolume ?? 100,
      rule: { kind: "success-rate", deviations: (message.successRateStdevFactor ?? 1_900) / 1_000 },
    });
  }
  if ((enforcing.failures ?? 0) > 0) {
    detectors.push({
      of,
      minimumEndpoints: message.failurePercentageMinimumHosts ?? 5,
      minimumRequests: message.failurePercentageRequestVolume ?? 50,
      rule: { kind: "failure-percentage", thresholdPercent: Math.min(message.failurePercentageThreshold ?? 85, 100) },
    });
  }
  return detectors;
}
