/** Stage "forward": whether a request that failed is tried once more, and the place that it holds among the retries under way. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { ResponseFlag } from "../observe/index.ts";
import { type AttemptEnd, decideRetry, type RetryQuestion } from "../retry/index.ts";
import type { ForwardInit } from "./forward-init.ts";

type RequestRetriesInit = Pick<
  ForwardInit,
  "clock" | "random" | "cluster" | "retry" | "retryGate" | "arrivedAs" | "context"
>;

/** How things stand at the end of an attempt. */
export type Standing = Pick<RetryQuestion, "attempt" | "bodyReplayable" | "responseStarted" | "remainingMs">;

export type NextTry =
  | { readonly kind: "again"; readonly delayMs: number }
  | {
      readonly kind: "stop";
      readonly flag: ResponseFlag | undefined;
      /** What refused a retry that the policy wanted; "budget" or "retries". */
      readonly limit: string | undefined;
      /** To be answered instead of the attempt's own failure. */
      readonly error: MeshError | undefined;
    };

const STOP = { kind: "stop", flag: undefined, limit: undefined, error: undefined } as const;

export class RequestRetries {
  readonly #init: RequestRetriesInit;
  #holds = false;

  constructor(init: RequestRetriesInit) {
    this.#init = init;
  }

  /** Counts the request, once, before its first attempt. */
  begin(): void {
    this.#init.retryGate.recordFirstAttempt(this.#init.cluster);
  }

  next(end: AttemptEnd, standing: Standing): NextTry {
    const { clock, random, retry: policy, arrivedAs, context } = this.#init;
    const request = { method: context.exchange.head.method, headers: context.headers };
    // Of the attempt that just ended, if it was a retry.
    this.release();
    const question = { policy, end, ...request, ...standing, isRetriedByCaller: arrivedAs > 1 };
    const decision = decideRetry(question, { now: clock.now(), random });
    if (decision.kind === "stop") {
      const isSpent = decision.reason === "limit-reached" && (policy?.retries ?? 0) > 0;
      return isSpent ? { ...STOP, flag: "URX" } : STOP;
    }
    // A stale connection is our own affair: trying once more adds no load to the upstream.
    const refused = decision.because === "stale-connection" ? undefined : this.#admit();
    return refused ?? { kind: "again", delayMs: decision.delayMs };
  }

  /** The retry is over, or was never sent. Any number of times. */
  release(): void {
    if (!this.#holds) return;
    this.#holds = false;
    this.#init.retryGate.finished(this.#init.cluster);
  }

  #admit(): NextTry | undefined {
    const admission = this.#init.retryGate.admit(this.#init.cluster);
    if (admission.kind === "admitted") {
      this.#holds = true;
      return undefined;
    }
    const isBudget = admission.reason === "budget";
    const code = isBudget ? ErrorCode.RETRY_BUDGET_EXHAUSTED : ErrorCode.CIRCUIT_OPEN;
    return {
      kind: "stop",
      flag: isBudget ? "URX" : "UO",
      limit: isBudget ? "budget" : "retries",
      error: new MeshError(code, admission.message),
    };
  }
}
