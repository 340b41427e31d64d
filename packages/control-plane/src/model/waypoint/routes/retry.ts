import type { RetryPolicySchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { PreviousHostsPredicateSchema } from "@ambit/envoy-api/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts";
import { isRecord } from "@ambit/shared/kube";
import { whole } from "../numbers.ts";
import { duration, filter, type Init } from "../proto.ts";
import { milliseconds } from "../time.ts";

export type RetryInit = Init<typeof RetryPolicySchema>;

/** Conditions under which nothing was done yet, or gRPC says it may be tried again. */
export const SAFE_CONDITIONS = "connect-failure,refused-stream,unavailable,cancelled";
const DEFAULT_RETRIES = 2;
/** More would only make an outage worse. */
const MAX_RETRIES = 100;
const HOST_ATTEMPTS = 5n;

/** Never the endpoint that just failed, if there is another. */
export const elsewhere = (): Pick<RetryInit, "retryHostPredicate" | "hostSelectionRetryMaxAttempts"> => ({
  retryHostPredicate: [filter("envoy.retry_host_predicates.previous_hosts", PreviousHostsPredicateSchema)],
  hostSelectionRetryMaxAttempts: HOST_ATTEMPTS,
});

/** Istio's retries where nobody asks for others. Parity: istiod. */
export const defaultRetry = (): RetryInit => ({
  retryOn: `${SAFE_CONDITIONS},retriable-status-codes`,
  numRetries: DEFAULT_RETRIES,
  ...elsewhere(),
});

/**
 * Gateway API's `retry` stanza of a rule; Istio's default without one. A try that takes too long counts as one that failed.
 *
 * Spec: GEP-1731. `attempts` are retries.
 * Differs: istiod leaves out connections that break after the request was sent; GEP-1731 wants them retried.
 */
export function routeRetry(retry: unknown, perTryMs: number): { readonly retryPolicy?: RetryInit } {
  if (!isRecord(retry)) return { retryPolicy: defaultRetry() };
  const { attempts, codes, backoff } = retry;
  if (attempts === 0) return {};
  const statusCodes = Array.isArray(codes) ? codes.filter(isStatus) : [];
  const backoffMs = milliseconds(backoff);
  const conditions = [`${SAFE_CONDITIONS},reset`, ...(statusCodes.length > 0 ? ["retriable-status-codes"] : [])];
  return {
    retryPolicy: {
      retryOn: conditions.join(","),
      numRetries: retriesIn(attempts),
      ...(statusCodes.length > 0 && { retriableStatusCodes: statusCodes }),
      ...(perTryMs > 0 && { perTryTimeout: duration(perTryMs) }),
      ...(backoffMs !== undefined && backoffMs > 0 && { retryBackOff: { baseInterval: duration(backoffMs) } }),
      ...elsewhere(),
    },
  };
}

/** As many as asked for, within reason. */
export const retriesIn = (attempts: unknown): number =>
  Math.min(whole(attempts, 1, 0x7fff_ffff) ?? DEFAULT_RETRIES, MAX_RETRIES);

const isStatus = (code: unknown): code is number =>
  typeof code === "number" && Number.isInteger(code) && code >= 400 && code <= 599;
