/**
 * Which condition of a policy a failed attempt meets. Pure.
 *
 * Parity: Envoy's `retry_on`.
 * Differs: an explicit policy also covers failed connections, resets and per-try timeouts of idempotent requests, which
 * Gateway API wants wherever there is a `retry` stanza (GEP-1731) and istiod's list of conditions leaves out. A connection
 * that ends before anything of the request was written counts as "connect-failure" too: it is as safe.
 */
import type { MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { readGrpcStatus } from "../respond/grpc-status.ts";
import { type FailureKind, failureKindOf } from "./attempt-failure.ts";
import type { RetryCondition, RetryPolicy } from "./model.ts";

/** How an attempt ended that might be tried again. */
export type AttemptEnd =
  | {
      readonly kind: "response";
      readonly status: number;
      readonly headers: HeaderList;
      /** When they came before any body: a gRPC failure without a message is told here too. */
      readonly trailers?: HeaderList;
    }
  | {
      readonly kind: "failure";
      readonly error: MeshError;
      /** Some of the request was written to the upstream. */
      readonly requestSent: boolean;
      /** The connection had carried an exchange before (`UpstreamExchange.reused`). */
      readonly reused: boolean;
    }
  | { readonly kind: "per-try-timeout" };

export interface RetryTrigger {
  readonly condition: RetryCondition | "stale-connection" | "any-failure";
  /**
   * "any": the upstream did not see the request, or said that it may be sent again. "as-configured": an explicit policy
   * is needed for methods that are not idempotent. "idempotent": nothing makes others safe.
   */
  readonly methods: "any" | "as-configured" | "idempotent";
}

const FAILURE_CONDITIONS: Readonly<Record<Exclude<FailureKind, "final">, readonly RetryCondition[]>> = {
  connect: ["connect-failure", "reset", "5xx", "gateway-error"],
  refused: ["refused-stream", "reset", "5xx", "gateway-error"],
  "reset-before-request": ["reset-before-request", "connect-failure", "reset", "5xx", "gateway-error"],
  reset: ["reset", "5xx", "gateway-error"],
  stale: ["reset", "5xx", "gateway-error"],
};
const TIMEOUT_CONDITIONS: readonly RetryCondition[] = ["reset", "5xx", "gateway-error"];
const UNSEEN: ReadonlySet<FailureKind> = new Set(["connect", "refused", "reset-before-request"]);

const GRPC_CONDITIONS: ReadonlyMap<number, RetryCondition> = new Map<number, RetryCondition>([
  [1, "cancelled"],
  [4, "deadline-exceeded"],
  [8, "resource-exhausted"],
  [13, "internal"],
  [14, "unavailable"],
]);

const GATEWAY_TIMEOUT = 504;

/** Undefined: this end is not one to retry. Without a policy only a stale connection is. */
export function findTrigger(
  policy: RetryPolicy | undefined,
  end: AttemptEnd,
  isGrpc: boolean,
): RetryTrigger | undefined {
  switch (end.kind) {
    case "response":
      return policy && triggerOfAnswer(policy, end, isGrpc);
    case "failure":
      return triggerOfFailure(policy, failureKindOf(end.error, end));
    case "per-try-timeout":
      return policy && triggerOfTimeout(policy);
    default:
      return end satisfies never;
  }
}

function triggerOfFailure(policy: RetryPolicy | undefined, kind: FailureKind): RetryTrigger | undefined {
  if (kind === "final") return undefined;
  const condition = FAILURE_CONDITIONS[kind].find((each) => policy?.conditions.has(each));
  const unseen = UNSEEN.has(kind);
  if (condition !== undefined) return { condition, methods: unseen ? "any" : "as-configured" };
  // Spec: RFC 9112 section 9.3.1: a client may repeat an idempotent request by itself.
  if (kind === "stale") return { condition: "stale-connection", methods: "idempotent" };
  return policy?.explicit ? { condition: "any-failure", methods: unseen ? "any" : "idempotent" } : undefined;
}

function triggerOfTimeout(policy: RetryPolicy): RetryTrigger | undefined {
  const condition = TIMEOUT_CONDITIONS.find((each) => policy.conditions.has(each));
  if (condition !== undefined) return { condition, methods: "as-configured" };
  if (retriesStatus(policy, GATEWAY_TIMEOUT)) return { condition: "retriable-status-codes", methods: "as-configured" };
  return policy.explicit ? { condition: "any-failure", methods: "idempotent" } : undefined;
}

function triggerOfAnswer(
  policy: RetryPolicy,
  answer: Extract<AttemptEnd, { kind: "response" }>,
  isGrpc: boolean,
): RetryTrigger | undefined {
  // Parity: an answer that a rate limiter marked is retried on this condition only.
  if (answer.headers.some(([name]) => name === "x-envoy-ratelimited")) {
    return policy.conditions.has("envoy-ratelimited") ? { condition: "envoy-ratelimited", methods: "any" } : undefined;
  }
  const ofStatus = conditionOfStatus(policy, answer.status);
  if (ofStatus !== undefined) return { condition: ofStatus, methods: "as-configured" };
  const ofGrpc = isGrpc ? conditionOfGrpc(answer) : undefined;
  // gRPC knows no method but POST: whoever lists a gRPC status means exactly these.
  return ofGrpc !== undefined && policy.conditions.has(ofGrpc) ? { condition: ofGrpc, methods: "any" } : undefined;
}

function conditionOfStatus(policy: RetryPolicy, status: number): RetryCondition | undefined {
  const { conditions } = policy;
  if (status >= 500 && conditions.has("5xx")) return "5xx";
  if (status >= 502 && status <= 504 && conditions.has("gateway-error")) return "gateway-error";
  if (status === 409 && conditions.has("retriable-4xx")) return "retriable-4xx";
  return retriesStatus(policy, status) ? "retriable-status-codes" : undefined;
}

function retriesStatus({ conditions, statusCodes }: RetryPolicy, status: number): boolean {
  return conditions.has("retriable-status-codes") && statusCodes.has(status);
}

function conditionOfGrpc({
  headers,
  trailers = [],
}: {
  readonly headers: HeaderList;
  readonly trailers?: HeaderList;
}): RetryCondition | undefined {
  const status = readGrpcStatus(headers) ?? readGrpcStatus(trailers);
  return status === undefined ? undefined : GRPC_CONDITIONS.get(status);
}
