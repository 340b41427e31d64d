export { type FailureKind, failureKindOf } from "./attempt-failure.ts";
export { ATTEMPT_HEADER, attemptOf, withAttempt } from "./attempt-header.ts";
export {
  type AttemptTimeoutInit,
  decideAttemptTimeout,
  type ExpiredTimeout,
  startAttemptTimeout,
} from "./attempt-timeout.ts";
export { DEFAULT_BACKOFF, type RetryBackoff, retryDelayMs } from "./backoff.ts";
export type { RetryCondition, RetryPolicy } from "./model.ts";
export { applyRetryOverrides, isRetryCondition, type RetryOverrides } from "./policy-overrides.ts";
export {
  DEFAULT_REPLAY_BYTES,
  MAXIMUM_REPLAY_BYTES,
  ReplayBuffer,
  type ReplayBufferInit,
  ReplayMemory,
} from "./replay-buffer.ts";
export { DEFAULT_RETRY_BUDGET } from "./retry-budget.ts";
export { createRetryGate, type RetryAdmission, type RetryGate, type RetryGateInit } from "./retry-gate.ts";
export { decideRetry, isIdempotent, type RetryDecision, type RetryQuestion, type StopReason } from "./retry-policy.ts";
export type { AttemptEnd, RetryTrigger } from "./retry-trigger.ts";
export { parseRetryAfter, readServerAdvice, type ServerAdvice } from "./server-advice.ts";
