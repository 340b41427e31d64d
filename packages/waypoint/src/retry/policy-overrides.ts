/** A route's retry policy after what the caller asked for itself. Pure. Parity: Envoy's `x-envoy-retry-on` and friends. */
import { DEFAULT_BACKOFF } from "./backoff.ts";
import type { RetryCondition, RetryPolicy } from "./model.ts";

/** As `route/` reads them from the request's fields, for callers that may ask. */
export interface RetryOverrides {
  readonly maximumRetries: number | undefined;
  readonly retryOn: readonly string[] | undefined;
  readonly retriableStatusCodes: readonly number[];
}

const CONDITIONS: Readonly<Record<RetryCondition, true>> = {
  "5xx": true,
  "gateway-error": true,
  reset: true,
  "reset-before-request": true,
  "connect-failure": true,
  "refused-stream": true,
  "retriable-4xx": true,
  "retriable-status-codes": true,
  "retriable-headers": true,
  "envoy-ratelimited": true,
  cancelled: true,
  "deadline-exceeded": true,
  internal: true,
  "resource-exhausted": true,
  unavailable: true,
};

/** Whether text is one of the conditions; unknown ones are left out by whoever reads them, as Envoy does. */
export function isRetryCondition(text: string): text is RetryCondition {
  return Object.hasOwn(CONDITIONS, text);
}

/**
 * Conditions add to the route's, the number of retries replaces it. A caller that names conditions has asked for
 * retries itself, so the policy is explicit.
 */
export function applyRetryOverrides(
  policy: RetryPolicy | undefined,
  overrides: RetryOverrides,
): RetryPolicy | undefined {
  const { maximumRetries, retryOn, retriableStatusCodes } = overrides;
  const asked = (retryOn ?? []).filter(isRetryCondition);
  if (asked.length === 0) {
    if (policy === undefined || maximumRetries === undefined) return policy;
    return { ...policy, retries: maximumRetries };
  }
  const base = policy ?? WITHOUT_ROUTE;
  return {
    ...base,
    conditions: new Set([...base.conditions, ...asked]),
    statusCodes: new Set([...base.statusCodes, ...retriableStatusCodes]),
    retries: maximumRetries ?? base.retries,
    explicit: true,
  };
}

const WITHOUT_ROUTE: RetryPolicy = {
  conditions: new Set(),
  statusCodes: new Set(),
  retries: 1,
  perTryTimeoutMs: 0,
  backoff: DEFAULT_BACKOFF,
  avoidsTriedEndpoints: false,
  hostSelectionAttempts: 1,
  explicit: true,
};
