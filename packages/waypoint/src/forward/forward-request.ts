/**
 * Stage "forward": a request on its way, over as many attempts as policy and budget allow, and its answer on the way back.
 * One object a request. Decisions are elsewhere (`retry/`, `balance/`, `route/`); this carries them out in order.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock, Random } from "@ambit/shared/time";
import {
  type AttemptOutcome,
  type ClusterBalancers,
  hashText,
  type PickRequest,
  resultOfAnswer,
  resultOfError,
} from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import { failureOutcome, type RequestTimer } from "../failure-outcome.ts";
import type { BodyLength, DownstreamExchange, ResponseHead, UpstreamConnection } from "../http/message.ts";
import {
  answerHeaders,
  DEFAULT_PROXY_HEADERS,
  type OpenAttempt,
  type PeerInfo,
  type RequestRecorder,
  randomSpanId,
} from "../observe/index.ts";
import type { RequestPermit } from "../policy/model.ts";
import type { RoutedContext } from "../request-context.ts";
import { readGrpcStatus } from "../respond/index.ts";
import { type AttemptEnd, type RetryGate, type RetryPolicy, readServerAdvice } from "../retry/index.ts";
import type { EffectiveTimeouts, FormatFacts, HashKey } from "../route/index.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { MirrorRequest } from "./mirror-request.ts";
import type { InboxOwner, RequestInbox } from "./request-inbox.ts";
import { RequestRetries } from "./request-retries.ts";
import { RequestTimers } from "./request-timers.ts";
import { attemptHead, mutateResponse, type RequestTemplate, replaced } from "./upstream-head.ts";
import type { AcquireOptions } from "./upstream-pool.ts";

export interface ForwardInit {
  readonly context: RoutedContext;
  readonly cluster: Cluster;
  readonly inbox: RequestInbox;
  readonly template: RequestTemplate;
  readonly timeouts: EffectiveTimeouts;
  /** The deadline is one that a gRPC caller named: it runs from the request's head on. */
  readonly isGrpcDeadline: boolean;
  readonly retry: RetryPolicy | undefined;
  readonly retryGate: RetryGate;
  /** Which attempt the request was when it came; more than 1: it is not multiplied further. */
  readonly arrivedAs: number;
  readonly facts: FormatFacts;
  readonly hash: HashKey;
  /** Set on the answer beside what the route says: CORS, an external authorizer's. */
  readonly responseHeaders: { readonly set: HeaderList; readonly append: HeaderList };
  readonly mirrors: readonly MirrorRequest[];
  readonly clock: Clock;
  readonly random: Random;
  readonly balancers: ClusterBalancers;
  connect(
    permit: RequestPermit,
    to: AcquireOptions & { readonly endpoint: Endpoint },
    use: (connection: UpstreamConnection) => void,
  ): Promise<void>;
  peerOf(endpoint: Endpoint): PeerInfo;
  /** Something was refused by a limit of the cluster, or by the budget of its retries. */
  onLimit(limit: string): void;
  /** Where the tunnel pointed, for clusters that send there. */
  readonly original: Endpoint | undefined;
  /** Answers in our own name; the head was not sent yet. */
  answer(error: MeshError): void;
}

/** An upstream that answered but does not take the rest of the request is given so long. */
const LINGER_MS = 5_000;

/** Runs until the exchange is over; the inbox tells it what the client does. */
export function forwardRequest(permit: RequestPermit, init: ForwardInit): void {
  const forwarding = new ForwardedRequest(permit, init);
  init.inbox.handTo(forwarding);
  forwarding.begin();
}

class ForwardedRequest implements AttemptOwner, InboxOwner {
  readonly #permit: RequestPermit;
  readonly #init: ForwardInit;
  readonly #exchange: DownstreamExchange;
  readonly #record: RequestRecorder;
  readonly #timers: RequestTimers;
  readonly #retry: RequestRetries;
  readonly #tried = new Set<string>();
  #attempt: Attempt | undefined;
  #attempts = 0;
  #open: OpenAttempt | undefined;
  #attemptStartedMs = 0;
  /** The current attempt's head was written. */
  #sent = false;
  #status = 0;
  /** The answer's head went to the client: from here nothing can be tried again. */
  #responded = false;
  /** Plain bytes both ways: each direction ends on its own. */
  #upgraded = false;
  #over = false;
  /** Credit of the upstream for bytes that wait for the client. */
  #owed = 0;
  /** Why a retry that the policy wanted was not admitted. */
  #limitError: MeshError | undefined;
  #needsFresh = false;
  /** The answer is complete. */
  #answered = false;

  constructor(permit: RequestPermit, init: ForwardInit) {
    this.#permit = permit;
    this.#init = init;
    this.#exchange = init.context.exchange;
    this.#record = init.context.record;
    this.#timers = new RequestTimers(init.clock);
    const { clock, random, cluster, retry: policy, retryGate: gate, arrivedAs, context } = init;
    const request = { method: context.exchange.head.method, headers: context.headers };
    this.#retry = new RequestRetries({ clock, random, cluster, policy, gate, arrivedAs, request });
  }

  begin(): void {
    const { inbox, mirrors, timeouts, isGrpcDeadline } = this.#init;
    const { body } = inbox;
    for (const mirror of mirrors) for (const chunk of body.kept) mirror.write(chunk);
    if (isGrpcDeadline) this.#timers.startDeadline(timeouts.requestMs, () => this.#timeOut());
    if (body.isComplete) this.onRequestComplete(body.trailers);
    this.#watchIdle();
    this.#retry.begin();
    this.#try();
  }

  // The client's side.

  /** Parity: Envoy starts the route's time-out, and that of a try, when the whole request is there. */
  onRequestComplete(trailers: HeaderList): void {
    for (const mirror of this.#init.mirrors) mirror.end(trailers);
    if (this.#over) return;
    this.#timers.touch();
    this.#timers.startDeadline(this.#init.timeouts.requestMs, () => this.#timeOut());
    this.#startTry();
  }

  onRequestBytes(chunk: Buffer): void {
    this.#timers.touch();
    for (const mirror of this.#init.mirrors) mirror.write(chunk);
  }

  onDownstreamDrain(): void {
    this.#timers.touch();
    const bytes = this.#owed;
    if (bytes === 0) return;
    this.#owed = 0;
    this.#attempt?.consume(bytes);
  }

  onDownstreamClosed(error: MeshError | undefined): void {
    if (this.#over) return;
    if (error === undefined && this.#answered) {
      // In this turn, as a rule, the upstream's side is over too.
      queueMicrotask(() => this.#linger());
      return;
    }
    const cause = error ?? new MeshError(ErrorCode.DOWNSTREAM_RESET, "the client left", { origin: "downstream" });
    this.#abandon(cause, { kind: "cancelled" });
    this.#finish(cause.message);
  }

  // The upstream's side.

  onInformational(head: ResponseHead): void {
    this.#timers.touch();
    if (!this.#over) this.#exchange.sendInformational(head);
  }

  onHead(attempt: Attempt, head: ResponseHead, bodyLength: BodyLength): void {
    this.#timers.cancelTry();
    this.#timers.touch();
    this.#status = head.status;
    const outcome = this.#outcomeOf(head);
    attempt.responded(outcome);
    if (this.#retries({ kind: "response", status: head.status, headers: head.headers })) {
      this.#endAttempt(outcome, undefined);
      attempt.abandon(new MeshError(ErrorCode.CANCELLED, "the answer is tried again"), outcome);
      return;
    }
    this.#respond(head, (sent) => this.#exchange.sendHead(sent, bodyLength));
  }

  onUpgraded(attempt: Attempt, head: ResponseHead): void {
    this.#timers.cancel();
    this.#upgraded = true;
    this.#status = head.status;
    attempt.responded(this.#outcomeOf(head));
    this.#watchIdle();
    this.#respond(head, (sent) => this.#exchange.acceptUpgrade(sent));
  }

  onData(chunk: Buffer): void {
    this.#timers.touch();
    this.#record.responseData(chunk);
    if (this.#exchange.write(chunk)) this.#attempt?.consume(chunk.length);
    else this.#owed += chunk.length;
  }

  onEnd(trailers: HeaderList): void {
    this.#answered = true;
    if (this.#upgraded) {
      // A half-close: what the client still says goes on.
      this.#exchange.end();
      return;
    }
    this.#record.responseTrailers(trailers);
    // Before the client hears the end: then the exchange is over, and its record written.
    const grpcStatus = this.#record.isGrpc ? readGrpcStatus(trailers) : undefined;
    this.#endAttempt({ kind: resultOfAnswer(this.#status), status: this.#status }, undefined, grpcStatus);
    this.#init.inbox.body.discardUnlessComplete();
    this.#exchange.end(trailers);
  }

  onComplete(attempt: Attempt): void {
    const outcome: AttemptOutcome = { kind: resultOfAnswer(this.#status), status: this.#status };
    attempt.finish(outcome);
    this.#endAttempt(outcome, undefined);
    this.#finish(undefined);
  }

  onFailed(attempt: Attempt, error: MeshError): void {
    if (this.#answered && !this.#upgraded) {
      // It has said everything; what became of the rest of the request changes nothing.
      this.onComplete(attempt);
      return;
    }
    this.#timers.cancelTry();
    attempt.finish({ kind: resultOfError(error) });
    this.#endAttempt({ kind: "local-failure" }, error.code);
    if (error.origin === "upstream") this.#record.upstreamFailure = error.message;
    if (this.#over) return;
    if (this.#responded) {
      this.#cut(error);
      return;
    }
    this.#needsFresh = attempt.wasReused;
    const end = { kind: "failure", error, requestSent: attempt.wasSent, reused: attempt.wasReused } as const;
    if (!this.#retries(end)) this.#giveUp(this.#limitError ?? error);
  }

  // Attempts.

  #try(): void {
    const { clock, cluster, balancers, inbox, random, template, context, timeouts, arrivedAs } = this.#init;
    this.#attempts += 1;
    this.#attemptStartedMs = clock.monotonic();
    this.#sent = false;
    const fresh = this.#needsFresh;
    const spanId = randomSpanId(random);
    const attempt: Attempt = new Attempt({
      cluster,
      balancers,
      body: inbox.body,
      bodyLength: this.#exchange.bodyLength,
      owner: this,
      pick: this.#pickRequest(),
      connect: (endpoint, use) => {
        const isWanted = (): boolean => !attempt.isAbandoned;
        return this.#init.connect(this.#permit, { endpoint, fresh, isWanted }, use);
      },
      headFor: () => {
        const { remainingMs } = this.#timers;
        return attemptHead(template, context, { attempt: this.#attempts, arrivedAs, spanId, timeouts, remainingMs });
      },
      onPicked: (endpoint) => this.#picked(endpoint, spanId),
      onConnected: (version) => {
        this.#record.upstreamVersion = version;
      },
      onSent: () => {
        this.#sent = true;
        this.#startTry();
      },
    });
    this.#attempt = attempt;
    void attempt.start();
  }

  #pickRequest(): PickRequest {
    const { hash, retry, original } = this.#init;
    return {
      ...(retry?.avoidsTriedEndpoints ? { tried: this.#tried, rePicks: retry.hostSelectionAttempts } : {}),
      ...(hash.key === undefined ? {} : { hash: hashText(hash.key) }),
      ...(original === undefined ? {} : { original }),
      isFinalTry: this.#attempts > (retry?.retries ?? 0),
    };
  }

  #picked(endpoint: Endpoint, spanId: string): void {
    this.#tried.add(endpoint.key);
    this.#open = this.#record.beginAttempt({
      cluster: this.#init.cluster.name,
      spanId,
      upstreamHost: endpoint.key,
      destination: this.#init.peerOf(endpoint),
    });
  }

  /** From when the upstream has all it needs to answer; connecting has a time-out of its own. */
  #startTry(): void {
    const attempt = this.#attempt;
    const isWaiting = this.#sent && this.#init.inbox.body.isComplete && !this.#responded;
    if (attempt && isWaiting) this.#timers.startTry(this.#init.timeouts.perTryMs, () => this.#tryTimedOut(attempt));
  }

  /** Begins the next attempt if there is to be one. */
  #retries(end: AttemptEnd): boolean {
    const { inbox, onLimit } = this.#init;
    if (this.#over || inbox.signal.aborted) {
      this.#retry.release();
      return false;
    }
    const next = this.#retry.next(end, {
      attempt: this.#attempts,
      bodyReplayable: inbox.body.isReplayable,
      responseStarted: this.#responded,
      remainingMs: this.#timers.remainingMs,
    });
    if (next.kind === "stop") {
      if (next.flag) this.#record.flag(next.flag);
      if (next.limit) onLimit(next.limit);
      this.#limitError = next.error;
      return false;
    }
    inbox.body.detach();
    this.#timers.later(next.delayMs, () => this.#try());
    return true;
  }

  #tryTimedOut(attempt: Attempt): void {
    const error = timeout("per-try", `no answer within ${this.#init.timeouts.perTryMs} ms, the time-out of one try`);
    const outcome: AttemptOutcome = { kind: "local-failure" };
    this.#endAttempt(outcome, error.code);
    attempt.abandon(error, outcome);
    if (!this.#retries({ kind: "per-try-timeout" })) this.#giveUp(this.#limitError ?? error);
  }

  #timeOut(): void {
    const { timeouts, isGrpcDeadline } = this.#init;
    const message = `no complete answer within ${timeouts.requestMs} ms`;
    this.#stop(timeout(isGrpcDeadline ? "grpc-deadline" : undefined, message), { kind: "local-failure" });
  }

  /** Nothing moved for the chain's idle limit: the stream is cut, whichever side it waits for. */
  #watchIdle(): void {
    const limitMs = this.#init.context.chain.streamIdleTimeoutMs;
    this.#timers.watchIdle(limitMs, () =>
      this.#stop(timeout("stream-idle", `nothing was sent for ${limitMs} ms`), { kind: "cancelled" }),
    );
  }

  /** Ends everything by our own decision. */
  #stop(error: MeshError, outcome: AttemptOutcome): void {
    if (this.#over) return;
    this.#abandon(error, outcome);
    if (this.#responded) this.#cut(error);
    else this.#giveUp(error);
  }

  #abandon(error: MeshError, outcome: AttemptOutcome): void {
    this.#endAttempt(outcome, error.code);
    this.#attempt?.abandon(error, outcome);
  }

  // The answer.

  #respond(head: ResponseHead, send: (sent: ResponseHead) => void): void {
    this.#responded = true;
    this.#init.inbox.body.commit();
    const sent = { status: head.status, headers: this.#responseHeaders(head) };
    this.#record.upstreamResponse(sent);
    send(sent);
  }

  #responseHeaders(head: ResponseHead): HeaderList {
    const { context, facts, hash, responseHeaders, clock } = this.#init;
    const mutated = mutateResponse(context, head, { ...facts, upstreamHost: this.#attempt?.endpoint?.key });
    const { proxyHeaders = DEFAULT_PROXY_HEADERS } = context.chain;
    const serviceMs = Math.round(clock.monotonic() - this.#attemptStartedMs);
    return [
      ...replaced(mutated, [...answerHeaders(proxyHeaders, serviceMs), ...responseHeaders.set]),
      ...responseHeaders.append,
      ...hash.setCookies.map((value) => ["set-cookie", value] as const),
    ];
  }

  #outcomeOf({ status, headers }: ResponseHead): AttemptOutcome {
    const { clock } = this.#init;
    const grpcStatus = this.#record.isGrpc ? readGrpcStatus(headers) : undefined;
    const firstByteMs = clock.monotonic() - this.#attemptStartedMs;
    const outcome: AttemptOutcome = { kind: resultOfAnswer(status, grpcStatus), status, firstByteMs };
    if (status < 400 && grpcStatus === undefined) return outcome;
    const advice = readServerAdvice({ status, headers, trailers: [] }, clock.now());
    return advice.kind === "after" ? { ...outcome, retryAfterMs: advice.delayMs } : outcome;
  }

  #endAttempt(outcome: AttemptOutcome, failure: string | undefined, grpcStatus?: number): void {
    this.#open?.end({ status: outcome.status ?? 0, grpcStatus, failure });
    this.#open = undefined;
  }

  #giveUp(error: MeshError): void {
    if (this.#over) return;
    const limit = error.context["limit"];
    if (typeof limit === "string") this.#init.onLimit(limit);
    this.#finish(error.message);
    this.#init.inbox.body.discard();
    this.#init.answer(error);
  }

  /** What was sent must not look complete. */
  #cut(error: MeshError): void {
    const { flag, details } = failureOutcome(error);
    const isTimeout = error.code === ErrorCode.REQUEST_TIMEOUT;
    this.#record.cut(error.code, flag ?? "UC", isTimeout ? details : "upstream_reset_after_response_started");
    this.#finish(error.message);
    this.#exchange.abort(error);
  }

  /** The client has its answer, and the upstream does not take the rest of a request that it answered. */
  #linger(): void {
    if (this.#over) return;
    this.#timers.cancel();
    this.#timers.later(LINGER_MS, () => {
      const error = new MeshError(ErrorCode.CANCELLED, "the answer is complete, its request is not taken");
      this.#abandon(error, { kind: "cancelled" });
      this.#finish(error.message);
    });
  }

  #finish(reason: string | undefined): void {
    this.#over = true;
    this.#retry.release();
    this.#timers.cancel();
    for (const mirror of this.#init.mirrors) {
      if (reason === undefined) mirror.originalEnded();
      else mirror.cut(reason);
    }
  }
}

function timeout(timer: RequestTimer | undefined, message: string): MeshError {
  const context = timer === undefined ? {} : { context: { timer } };
  return new MeshError(ErrorCode.REQUEST_TIMEOUT, message, { origin: "upstream", ...context });
}
