/** When and how a failed attempt is tried again. Parity: Envoy RetryPolicy, Gateway API GEP-1731. */

/** Names as in Envoy's `retry_on`. */
export type RetryCondition =
  | "5xx"
  | "gateway-error"
  | "reset"
  | "reset-before-request"
  | "connect-failure"
  | "refused-stream"
  | "retriable-4xx"
  | "retriable-status-codes"
  | "retriable-headers"
  | "envoy-ratelimited"
  | "cancelled"
  | "deadline-exceeded"
  | "internal"
  | "resource-exhausted"
  | "unavailable";

export interface RetryPolicy {
  readonly conditions: ReadonlySet<RetryCondition>;
  readonly statusCodes: ReadonlySet<number>;
  /** Retries, not attempts. */
  readonly retries: number;
  /** 0 = none. */
  readonly perTryTimeoutMs: number;
  readonly backoff: { readonly baseMs: number; readonly maximumMs: number };
  /** Another endpoint than those tried, with so many re-picks. */
  readonly avoidsTriedEndpoints: boolean;
  readonly hostSelectionAttempts: number;
  /** The route itself asked for retries (not a default): then other methods than idempotent ones count too. */
  readonly explicit: boolean;
}
