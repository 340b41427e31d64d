/**
 * Stage "retry": whether a failed attempt is followed by another, and when. Pure; the budget and the circuit breaker
 * are asked afterwards (`retry-gate.ts`), since asking them takes from them.
 *
 * Spec: envoy.config.route.v3.RetryPolicy; Gateway API HTTPRouteRetry.
 */
import type { HeaderList } from "@ambit/shared/http2";
import type { Random } from "@ambit/shared/time";
import { isGrpcMessage } from "../respond/grpc-status.ts";
import { retryDelayMs, serverDelayMs } from "./backoff.ts";
import type { RetryPolicy } from "./model.ts";
import { type AttemptEnd, findTrigger, type RetryTrigger } from "./retry-trigger.ts";
import { readServerAdvice, type ServerAdvice } from "./server-advice.ts";

export interface RetryQuestion {
  /** Undefined: the route has no retries. */
  readonly policy: RetryPolicy | undefined;
  readonly end: AttemptEnd;
  /** Number of the attempt that ended, 1 for the first. */
  readonly attempt: number;
  readonly method: string;
  /** Of the request. */
  readonly headers: HeaderList;
  /** All that came of the body so far can be sent again. */
  readonly bodyReplayable: boolean;
  /** A final head, or an upgrade, already went to the client. */
  readonly responseStarted: boolean;
  /** Until the request's own deadline; undefined = none. */
  readonly remainingMs: number | undefined;
  /** An in-mesh caller sent this request as a repeated one (`attemptOf` over 1). */
  readonly isRetriedByCaller: boolean;
}

export type StopReason =
  | "not-retriable"
  /** It would have been retried, but all retries are used: flag URX. */
  | "limit-reached"
  | "method-not-idempotent"
  | "body-not-replayable"
  | "response-started"
  /** Another hop repeats this request already. */
  | "retried-by-caller"
  | "server-refuses-retries"
  /** The next attempt would begin after the deadline, or too late to keep anybody waiting. */
  | "no-time";

export type RetryDecision =
  | {
      readonly kind: "retry";
      readonly delayMs: number;
      readonly onAnotherEndpoint: boolean;
      /** No retry is left after this one. */
      readonly isFinal: boolean;
      readonly because: RetryTrigger["condition"];
    }
  | { readonly kind: "stop"; readonly reason: StopReason };

/** Parity: Envoy's `max_interval` of rate-limited back-off; a longer wait is the client's affair. */
export const LONGEST_WAIT_MS = 300_000;

/** @param now  wall clock, milliseconds since the epoch: Retry-After may be a date */
export function decideRetry(
  question: RetryQuestion,
  deps: { readonly now: number; readonly random: Random },
): RetryDecision {
  const { policy, end, attempt } = question;
  if (question.responseStarted) return stop("response-started");
  const trigger = findTrigger(policy, end, isGrpcMessage(question.headers));
  if (trigger === undefined) return stop("not-retriable");
  const obstacle = findObstacle(question, trigger);
  if (obstacle !== undefined) return stop(obstacle);
  const advice = end.kind === "response" ? readServerAdvice({ trailers: [], ...end }, deps.now) : NO_ADVICE;
  if (advice.kind === "never") return stop("server-refuses-retries");
  const delayMs = delayOf(question, trigger, advice, deps.random);
  if (delayMs > LONGEST_WAIT_MS || delayMs >= (question.remainingMs ?? Number.POSITIVE_INFINITY))
    return stop("no-time");
  return {
    kind: "retry",
    delayMs,
    onAnotherEndpoint: policy?.avoidsTriedEndpoints ?? false,
    isFinal: attempt >= (policy?.retries ?? 1),
    because: trigger.condition,
  };
}

const NO_ADVICE: ServerAdvice = { kind: "none" };

function findObstacle(question: RetryQuestion, trigger: RetryTrigger): StopReason | undefined {
  const { policy, attempt } = question;
  // A stale connection is no failure of the upstream, so it needs no policy and adds no load; but once only.
  const isStale = trigger.condition === "stale-connection";
  if (attempt > (isStale ? Math.max(1, policy?.retries ?? 0) : (policy?.retries ?? 0))) return "limit-reached";
  if (question.isRetriedByCaller && !isStale) return "retried-by-caller";
  if (!methodMayRepeat(question, trigger)) return "method-not-idempotent";
  return question.bodyReplayable ? undefined : "body-not-replayable";
}

function methodMayRepeat({ policy, method, headers }: RetryQuestion, { methods }: RetryTrigger): boolean {
  if (methods === "any" || isIdempotent(method, headers)) return true;
  return methods === "as-configured" && policy?.explicit === true;
}

function delayOf(question: RetryQuestion, trigger: RetryTrigger, advice: ServerAdvice, random: Random): number {
  const { policy, attempt } = question;
  if (policy === undefined || trigger.condition === "stale-connection") return 0;
  const delayMs = retryDelayMs(policy.backoff, attempt - 1, random);
  return advice.kind === "after" ? serverDelayMs(delayMs, advice.delayMs, random) : delayMs;
}

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Spec: RFC 9110 section 9.2.2; or the client says so with Idempotency-Key. Methods are case-sensitive. */
export function isIdempotent(method: string, headers: HeaderList): boolean {
  return IDEMPOTENT.has(method) || headers.some(([name, value]) => name === "idempotency-key" && value !== "");
}

function stop(reason: StopReason): RetryDecision {
  return { kind: "stop", reason };
}
