/** Retry policies. Spec: envoy.config.route.v3.RetryPolicy */
import type { RetryPolicy as RetryMessage } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { RetryCondition, RetryPolicy } from "../retry/model.ts";
import { at, InvalidField } from "./invalid-field.ts";
import { durationMs, durationOr } from "./values.ts";

const CONDITIONS: ReadonlySet<string> = new Set<RetryCondition>([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "refused-stream",
  "retriable-4xx",
  "retriable-status-codes",
  "retriable-headers",
  "envoy-ratelimited",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
]);

const BASE_BACKOFF_MS = 25;
const PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts";

/** What istiod gives a route whose owner said nothing about retries. */
const DEFAULT_CONDITIONS = "cancelled,connect-failure,refused-stream,retriable-status-codes,unavailable";
const DEFAULT_RETRIES = 2;

/** The conditions of a list that are known; the others never come true here. */
export const retryConditions = (names: readonly string[]): ReadonlySet<RetryCondition> =>
  new Set(names.map((name) => name.trim()).filter((name): name is RetryCondition => CONDITIONS.has(name)));

export function compileRetry(message: RetryMessage): RetryPolicy {
  const conditions = retryConditions(message.retryOn.split(","));
  const retries = message.numRetries ?? 1;
  const perTryTimeoutMs = at("per_try_timeout", () => durationOr(message.perTryTimeout, 0));
  const backoff = at("retry_back_off", () => compileBackoff(message.retryBackOff));
  const isDefault =
    retries === DEFAULT_RETRIES &&
    perTryTimeoutMs === 0 &&
    message.retryBackOff === undefined &&
    message.retriableStatusCodes.length === 0 &&
    [...conditions].toSorted().join() === DEFAULT_CONDITIONS;
  return {
    conditions,
    statusCodes: new Set(message.retriableStatusCodes),
    retries,
    perTryTimeoutMs,
    backoff,
    avoidsTriedEndpoints: message.retryHostPredicate.some(({ name }) => name === PREVIOUS_HOSTS),
    hostSelectionAttempts: Math.min(Number(message.hostSelectionRetryMaxAttempts || 1n), 100),
    explicit: !isDefault,
  };
}

function compileBackoff(message: RetryMessage["retryBackOff"]): RetryPolicy["backoff"] {
  if (message === undefined) return { baseMs: BASE_BACKOFF_MS, maximumMs: BASE_BACKOFF_MS * 10 };
  if (message.baseInterval === undefined) throw new InvalidField("base_interval: expected a duration");
  const baseMs = durationMs(message.baseInterval);
  const maximumMs = durationOr(message.maxInterval, baseMs * 10);
  if (baseMs === 0 || maximumMs < baseMs) {
    throw new InvalidField(`expected 0 < base_interval <= max_interval, got ${baseMs} ms and ${maximumMs} ms`);
  }
  return { baseMs, maximumMs };
}
