/**
 * Stage "forward": the tries of one request, one after another: where each goes, how it ended, whether there is another.
 * What comes back of the one that answers is the owner's.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type AttemptOutcome, hashText, type PickRequest, resultOfAnswer } from "../balance/index.ts";
import type { Endpoint } from "../balance/model.ts";
import type { ResponseHead } from "../http/message.ts";
import { type OpenAttempt, randomSpanId } from "../observe/index.ts";
import type { RequestPermit } from "../policy/model.ts";
import { readGrpcStatus } from "../respond/index.ts";
import { type AttemptEnd, readServerAdvice } from "../retry/index.ts";
import { presentedSession } from "../route/session.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { ForwardInit } from "./forward-init.ts";
import { RequestRetries } from "./request-retries.ts";
import { perTryTimeout } from "./request-timeout.ts";
import type { RequestTimers } from "./request-timers.ts";
import { attemptHead } from "./upstream-head.ts";

export interface AttemptsOwner extends AttemptOwner {
  /** The answer's head went to the client: from there nothing can be tried again. */
  readonly responded: boolean;
  readonly over: boolean;
  /** A try took too long, and it was the last. */
  giveUp(error: MeshError): void;
}

export class RequestAttempts {
  readonly #permit: RequestPermit;
  readonly #init: ForwardInit;
  readonly #timers: RequestTimers;
  readonly #owner: AttemptsOwner;
  readonly #retry: RequestRetries;
  /** Kept where the policy wants to know. */
  readonly #tried: Set<string> | undefined;
  #current: Attempt | undefined;
  #count = 0;
  #open: OpenAttempt | undefined;
  #startedMs = 0;
  /** The current attempt's head was written. */
  #sent = false;
  #needsFresh = false;
  /** Why a retry that the policy wanted was not admitted. */
  #limitError: MeshError | undefined;

  constructor(permit: RequestPermit, init: ForwardInit, timers: RequestTimers, owner: AttemptsOwner) {
    this.#permit = permit;
    this.#init = init;
    this.#timers = timers;
    this.#owner = owner;
    this.#retry = new RequestRetries(init);
    this.#tried = init.retry?.avoidsTriedEndpoints ? new Set() : undefined;
  }

  /** Where the current one goes; undefined until one is picked. */
  get endpoint(): Endpoint | undefined {
    return this.#current?.endpoint;
  }

  /** Since the current one began. */
  get elapsedMs(): number {
    return this.#init.clock.monotonic() - this.#startedMs;
  }

  begin(): void {
    this.#retry.begin();
    this.#try();
  }

  consume(bytes: number): void {
    this.#current?.consume(bytes);
  }

  /** From when the upstream has all it needs to answer; connecting has a time-out of its own. */
  startTimeout(): void {
    const current = this.#current;
    const isWaiting = this.#sent && this.#init.inbox.body.isComplete && !this.#owner.responded;
    if (current && isWaiting) this.#timers.startTry(this.#init.timeouts.perTryMs, () => this.#onTimeout(current));
  }

  /** The current one was answered. @returns whether the answer is tried again */
  onHead(attempt: Attempt, head: ResponseHead): boolean {
    const outcome = this.outcomeOf(head);
    attempt.responded(outcome);
    if (!this.#again({ kind: "response", status: head.status, headers: head.headers })) return false;
    this.end(outcome, undefined);
    attempt.abandon(new MeshError(ErrorCode.CANCELLED, "the answer is tried again"), outcome);
    return true;
  }

  /** @returns what to answer, when there is no other */
  onFailed(attempt: Attempt, error: MeshError): MeshError | undefined {
    this.#needsFresh = attempt.wasReused;
    const end = { kind: "failure", error, requestSent: attempt.wasSent, reused: attempt.wasReused } as const;
    return this.#again(end) ? undefined : (this.#limitError ?? error);
  }

  outcomeOf({ status, headers }: ResponseHead): AttemptOutcome {
    const { clock, context } = this.#init;
    const grpcStatus = context.record.isGrpc ? readGrpcStatus(headers) : undefined;
    const kind = resultOfAnswer(status, grpcStatus);
    const outcome: AttemptOutcome = { kind, status, firstByteMs: this.elapsedMs };
    if (status < 400 && grpcStatus === undefined) return outcome;
    const advice = readServerAdvice({ status, headers, trailers: [] }, clock.now());
    return advice.kind === "after" ? { ...outcome, retryAfterMs: advice.delayMs } : outcome;
  }

  /** How the current one ended, for its span. */
  end(outcome: AttemptOutcome, failure: string | undefined, grpcStatus?: number): void {
    this.#open?.end({ status: outcome.status ?? 0, grpcStatus, failure });
    this.#open = undefined;
  }

  abandon(error: MeshError, outcome: AttemptOutcome): void {
    this.end(outcome, error.code);
    this.#current?.abandon(error, outcome);
  }

  /** The request is over. */
  release(): void {
    this.#retry.release();
  }

  #try(): void {
    const { clock, cluster, balancers, inbox, random, template, context, timeouts, arrivedAs } = this.#init;
    this.#count += 1;
    this.#startedMs = clock.monotonic();
    this.#sent = false;
    const fresh = this.#needsFresh;
    const spanId = randomSpanId(random);
    const attempt: Attempt = new Attempt({
      cluster,
      balancers,
      body: inbox.body,
      bodyLength: context.exchange.bodyLength,
      owner: this.#owner,
      pick: this.#pickRequest(),
      connect: (endpoint, use) => {
        const isWanted = (): boolean => !attempt.isAbandoned;
        return this.#init.connect(this.#permit, { endpoint, fresh, isWanted }, use);
      },
      headFor: () => {
        const { remainingMs } = this.#timers;
        return attemptHead(template, context, { attempt: this.#count, arrivedAs, spanId, timeouts, remainingMs });
      },
      onPicked: (endpoint) => this.#picked(endpoint, spanId),
      onConnected: (version) => {
        context.record.upstreamVersion = version;
      },
      onSent: () => {
        this.#sent = true;
        this.startTimeout();
      },
    });
    this.#current = attempt;
    void attempt.start();
  }

  #pickRequest(): PickRequest {
    const { hash, retry, original, context } = this.#init;
    const { session: how } = context.route;
    const session = how && presentedSession(how, context.headers);
    return {
      ...(session === undefined ? {} : { session }),
      ...(this.#tried === undefined ? {} : { tried: this.#tried, rePicks: retry?.hostSelectionAttempts ?? 0 }),
      ...(hash.key === undefined ? {} : { hash: hashText(hash.key) }),
      ...(original === undefined ? {} : { original }),
      isFinalTry: this.#count > (retry?.retries ?? 0),
    };
  }

  #picked(endpoint: Endpoint, spanId: string): void {
    this.#tried?.add(endpoint.key);
    this.#open = this.#init.context.record.beginAttempt({
      cluster: this.#init.cluster.name,
      spanId,
      upstreamHost: endpoint.key,
      destination: this.#init.peerOf(endpoint),
    });
  }

  /** Begins the next one if there is to be one. */
  #again(end: AttemptEnd): boolean {
    const { inbox, onLimit, context } = this.#init;
    if (this.#owner.over || inbox.signal.aborted) {
      this.#retry.release();
      return false;
    }
    const next = this.#retry.next(end, {
      attempt: this.#count,
      bodyReplayable: inbox.body.isReplayable,
      responseStarted: this.#owner.responded,
      remainingMs: this.#timers.remainingMs,
    });
    if (next.kind === "stop") {
      if (next.flag) context.record.flag(next.flag);
      if (next.limit) onLimit(next.limit);
      this.#limitError = next.error;
      return false;
    }
    inbox.body.detach();
    this.#timers.later(next.delayMs, () => this.#try());
    return true;
  }

  #onTimeout(attempt: Attempt): void {
    const error = perTryTimeout(this.#init.timeouts.perTryMs);
    const outcome: AttemptOutcome = { kind: "local-failure" };
    this.end(outcome, error.code);
    attempt.abandon(error, outcome);
    if (!this.#again({ kind: "per-try-timeout" })) this.#owner.giveUp(this.#limitError ?? error);
  }
}
