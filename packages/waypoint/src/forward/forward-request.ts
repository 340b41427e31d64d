/**
 * Stage "forward": a request on its way, over as many attempts as policy and budget allow, and its answer on the way back.
 * One object a request. Decisions are elsewhere (`retry/`, `balance/`, `route/`); this carries them out in order.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock, Random } from "@ambit/shared/time";
import { type AttemptOutcome, type ClusterBalancers, hashText, resultOfAnswer } from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { BodyLength, DownstreamExchange, ResponseHead, UpstreamConnection } from "../http/message.ts";
import { type OpenAttempt, type PeerInfo, type RequestRecorder, randomSpanId } from "../observe/index.ts";
import type { RequestPermit } from "../policy/model.ts";
import type { RoutedContext } from "../request-context.ts";
import { readGrpcStatus } from "../respond/index.ts";
import { type AttemptEnd, decideRetry, type RetryGate, type RetryPolicy } from "../retry/index.ts";
import { type EffectiveTimeouts, type FormatFacts, type HashKey, mutateHeaders, resolverOf } from "../route/index.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { MirrorRequest } from "./mirror-request.ts";
import type { InboxOwner, RequestInbox } from "./request-inbox.ts";
import { attemptHead, type RequestTemplate, replaced } from "./upstream-head.ts";

export interface ForwardInit {
  readonly context: RoutedContext;
  readonly cluster: Cluster;
  readonly inbox: RequestInbox;
  readonly template: RequestTemplate;
  readonly timeouts: EffectiveTimeouts;
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
    to: { readonly endpoint: Endpoint; readonly fresh: boolean },
    use: (connection: UpstreamConnection) => void,
  ): Promise<void>;
  peerOf(endpoint: Endpoint): PeerInfo;
  /** Answers in our own name; the head was not sent yet. */
  answer(error: MeshError): void;
}

const NEVER_CANCEL = (): void => {};

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
  readonly #tried = new Set<string>();
  #attempt: Attempt | undefined;
  #attempts = 0;
  #open: OpenAttempt | undefined;
  #attemptStartedMs = 0;
  #status = 0;
  /** The answer's head went to the client: from here nothing can be tried again. */
  #responded = false;
  #over = false;
  /** Credit of the upstream for bytes that wait for the client. */
  #owed = 0;
  #deadlineMs: number | undefined;
  /** Why a retry that the policy wanted was not admitted. */
  #budgetError: MeshError | undefined;
  #needsFresh = false;
  /** A place among the retries under way is ours. */
  #holdsRetry = false;
  /** The answer is complete. */
  #answered = false;
  #cancelTimeout = NEVER_CANCEL;
  #cancelTry = NEVER_CANCEL;
  #cancelRetry = NEVER_CANCEL;
  #cancelIdle = NEVER_CANCEL;
  #lastActivityMs = 0;

  constructor(permit: RequestPermit, init: ForwardInit) {
    this.#permit = permit;
    this.#init = init;
    this.#exchange = init.context.exchange;
    this.#record = init.context.record;
  }

  begin(): void {
    if (this.#init.inbox.signal.aborted) {
      this.onDownstreamClosed(undefined);
      return;
    }
    const { body } = this.#init.inbox;
    for (const mirror of this.#init.mirrors) for (const chunk of body.kept) mirror.write(chunk);
    if (body.isComplete) this.onRequestComplete(body.trailers);
    this.#watchIdle();
    this.#init.retryGate.recordFirstAttempt(this.#init.cluster);
    this.#try();
  }

  // The client's side.

  /** Parity: Envoy starts the route's time-out when the whole request is there. */
  onRequestComplete(trailers: HeaderList): void {
    for (const mirror of this.#init.mirrors) mirror.end(trailers);
    const { timeouts, clock } = this.#init;
    if (timeouts.requestMs <= 0 || this.#deadlineMs !== undefined || this.#over) return;
    this.#deadlineMs = clock.monotonic() + timeouts.requestMs;
    this.#cancelTimeout = clock.after(timeouts.requestMs, () => this.#timeOut());
  }

  onRequestBytes(chunk: Buffer): void {
    this.#lastActivityMs = this.#init.clock.monotonic();
    for (const mirror of this.#init.mirrors) mirror.write(chunk);
  }

  onDownstreamDrain(): void {
    const bytes = this.#owed;
    if (bytes === 0) return;
    this.#owed = 0;
    this.#attempt?.consume(bytes);
  }

  onDownstreamClosed(error: MeshError | undefined): void {
    if (this.#over || (error === undefined && this.#answered)) return;
    const cause = error ?? new MeshError(ErrorCode.DOWNSTREAM_RESET, "the client left", { origin: "downstream" });
    this.#record.cut(cause.code, cause.origin === "downstream" ? "DC" : undefined, "downstream_remote_disconnect");
    this.#endAttempt({ kind: "cancelled" }, cause.code);
    this.#attempt?.abandon(cause, { kind: "cancelled" });
    this.#finish(cause.message);
  }

  // The upstream's side.

  onInformational(head: ResponseHead): void {
    if (!this.#over) this.#exchange.sendInformational(head);
  }

  onHead(attempt: Attempt, head: ResponseHead, bodyLength: BodyLength): void {
    this.#cancelTry();
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
    this.#cancelTimers();
    this.#status = head.status;
    attempt.responded(this.#outcomeOf(head));
    this.#respond(head, (sent) => this.#exchange.acceptUpgrade(sent));
    this.#watchIdle();
  }

  onData(chunk: Buffer): void {
    this.#lastActivityMs = this.#init.clock.monotonic();
    this.#record.responseData(chunk);
    if (this.#exchange.write(chunk)) this.#attempt?.consume(chunk.length);
    else this.#owed += chunk.length;
  }

  onEnd(trailers: HeaderList): void {
    this.#answered = true;
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
    if (this.#answered) {
      // It has said everything; what became of the rest of the request changes nothing.
      this.onComplete(attempt);
      return;
    }
    this.#cancelTry();
    attempt.finish(isLocal(error) ? { kind: "cancelled" } : { kind: "local-failure" });
    this.#endAttempt({ kind: "local-failure" }, error.code);
    this.#record.upstreamFailure = error.message;
    if (this.#over) return;
    if (this.#responded) {
      this.#cut(error);
      return;
    }
    this.#needsFresh = attempt.wasReused;
    const end = { kind: "failure", error, requestSent: attempt.wasSent, reused: attempt.wasReused } as const;
    if (!this.#retries(end)) this.#giveUp(this.#budgetError ?? error);
  }

  // Attempts.

  #try(): void {
    const { clock, cluster, balancers, inbox, hash, retry, timeouts, random } = this.#init;
    this.#attempts += 1;
    this.#attemptStartedMs = clock.monotonic();
    const fresh = this.#needsFresh;
    const spanId = randomSpanId(random);
    const attempt = new Attempt({
      cluster,
      balancers,
      body: inbox.body,
      bodyLength: this.#exchange.bodyLength,
      owner: this,
      pick: {
        ...(retry?.avoidsTriedEndpoints ? { tried: this.#tried, rePicks: retry.hostSelectionAttempts } : {}),
        ...(hash.key === undefined ? {} : { hash: hashText(hash.key) }),
        isFinalTry: this.#attempts > (retry?.retries ?? 0),
      },
      connect: (endpoint, use) => this.#init.connect(this.#permit, { endpoint, fresh }, use),
      headFor: () =>
        attemptHead(this.#init.template, this.#init.context, {
          attempt: this.#attempts,
          arrivedAs: this.#init.arrivedAs,
          spanId,
          timeouts,
          remainingMs: this.#remainingMs(),
        }),
      onPicked: (endpoint) => this.#picked(endpoint, spanId),
      onConnected: (version) => {
        this.#record.upstreamVersion = version;
      },
    });
    this.#attempt = attempt;
    if (timeouts.perTryMs > 0) {
      this.#cancelTry = clock.after(timeouts.perTryMs, () => this.#tryTimedOut(attempt));
    }
    void attempt.start();
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

  /** Begins the next attempt if there is to be one. */
  #retries(end: AttemptEnd): boolean {
    const { context, clock, random, retry, arrivedAs, inbox } = this.#init;
    if (this.#over || inbox.signal.aborted) return false;
    const question = {
      policy: retry,
      end,
      attempt: this.#attempts,
      method: context.exchange.head.method,
      headers: context.headers,
      bodyReplayable: inbox.body.isReplayable,
      responseStarted: this.#responded,
      remainingMs: this.#remainingMs(),
      isRetriedByCaller: arrivedAs > 1,
    };
    const decision = decideRetry(question, { now: clock.now(), random });
    if (decision.kind === "stop") {
      if (decision.reason === "limit-reached" && (retry?.retries ?? 0) > 0) this.#record.flag("URX");
      return false;
    }
    // A stale connection is our own affair: trying once more adds no load to the upstream.
    if (decision.because !== "stale-connection" && !this.#admitsRetry()) return false;
    inbox.body.detach();
    this.#cancelRetry = clock.after(decision.delayMs, () => this.#try());
    return true;
  }

  #admitsRetry(): boolean {
    const admission = this.#init.retryGate.admit(this.#init.cluster);
    if (admission.kind === "admitted") {
      this.#holdsRetry = true;
      return true;
    }
    this.#record.flag(admission.reason === "budget" ? "URX" : "UO");
    const code = admission.reason === "budget" ? ErrorCode.RETRY_BUDGET_EXHAUSTED : ErrorCode.CIRCUIT_OPEN;
    this.#budgetError = new MeshError(code, admission.message);
    return false;
  }

  #tryTimedOut(attempt: Attempt): void {
    const error = new MeshError(
      ErrorCode.REQUEST_TIMEOUT,
      `no answer within ${this.#init.timeouts.perTryMs} ms, the time-out of one try`,
      { origin: "upstream" },
    );
    const outcome: AttemptOutcome = { kind: "local-failure" };
    this.#endAttempt(outcome, error.code);
    attempt.abandon(error, outcome);
    if (!this.#retries({ kind: "per-try-timeout" })) this.#giveUp(this.#budgetError ?? error);
  }

  #timeOut(): void {
    if (this.#over) return;
    const message = `no complete answer within ${this.#init.timeouts.requestMs} ms`;
    const error = new MeshError(ErrorCode.REQUEST_TIMEOUT, message, { origin: "upstream" });
    const outcome: AttemptOutcome = { kind: "local-failure" };
    this.#endAttempt(outcome, error.code);
    this.#attempt?.abandon(error, outcome);
    if (this.#responded) this.#cut(error);
    else this.#giveUp(error);
  }

  #remainingMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - this.#init.clock.monotonic();
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
    const { context, facts, hash, responseHeaders } = this.#init;
    const levels = [context.cluster?.headers, context.route.headers, context.virtualHost.headers].flatMap((level) =>
      level ? [level.response] : [],
    );
    const response = [[":status", String(head.status)] as const, ...head.headers];
    const upstreamHost = this.#attempt?.endpoint?.key;
    const mutated = mutateHeaders(head.headers, levels, resolverOf({ ...facts, response, upstreamHost }));
    const serviceMs = Math.round(this.#init.clock.monotonic() - this.#attemptStartedMs);
    return [
      ...replaced(mutated, [["x-envoy-upstream-service-time", String(serviceMs)], ...responseHeaders.set]),
      ...responseHeaders.append,
      ...hash.setCookies.map((value) => ["set-cookie", value] as const),
    ];
  }

  #outcomeOf(head: ResponseHead): AttemptOutcome {
    const grpcStatus = this.#record.isGrpc ? readGrpcStatus(head.headers) : undefined;
    return {
      kind: resultOfAnswer(head.status, grpcStatus),
      status: head.status,
      firstByteMs: this.#init.clock.monotonic() - this.#attemptStartedMs,
    };
  }

  #endAttempt(outcome: AttemptOutcome, failure: string | undefined, grpcStatus?: number): void {
    this.#open?.end({ status: outcome.status ?? 0, grpcStatus, failure });
    this.#open = undefined;
    this.#releaseRetry();
  }

  #releaseRetry(): void {
    if (!this.#holdsRetry) return;
    this.#holdsRetry = false;
    this.#init.retryGate.finished(this.#init.cluster);
  }

  #giveUp(error: MeshError): void {
    if (this.#over) return;
    this.#finish(error.message);
    this.#init.inbox.body.discard();
    this.#init.answer(error);
  }

  /** What was sent must not look complete. */
  #cut(error: MeshError): void {
    const flag = error.code === ErrorCode.REQUEST_TIMEOUT ? "UT" : "UC";
    this.#record.cut(error.code, flag, "upstream_reset_after_response_started");
    this.#finish(error.message);
    this.#exchange.abort(error);
  }

  /** Nothing moved for the chain's idle limit: the stream is cut, whichever side it waits for. */
  #watchIdle(): void {
    const { context, clock } = this.#init;
    const limitMs = context.chain.streamIdleTimeoutMs;
    if (limitMs <= 0) return;
    this.#lastActivityMs = clock.monotonic();
    const check = (): void => {
      const leftMs = limitMs - (clock.monotonic() - this.#lastActivityMs);
      if (leftMs > 0) {
        this.#cancelIdle = clock.after(leftMs, check);
        return;
      }
      const error = new MeshError(ErrorCode.REQUEST_TIMEOUT, `nothing was sent for ${limitMs} ms`);
      this.#attempt?.abandon(error, { kind: "cancelled" });
      if (this.#responded) this.#cut(error);
      else this.#giveUp(error);
    };
    this.#cancelIdle = clock.after(limitMs, check);
  }

  #finish(reason: string | undefined): void {
    this.#over = true;
    this.#releaseRetry();
    this.#cancelTimers();
    for (const mirror of this.#init.mirrors) if (reason !== undefined) mirror.cut(reason);
  }

  #cancelTimers(): void {
    this.#cancelTimeout();
    this.#cancelTry();
    this.#cancelRetry();
    this.#cancelIdle();
  }
}

/** Our own doing, not the endpoint's. */
const isLocal = (error: MeshError): boolean =>
  error.code === ErrorCode.CIRCUIT_OPEN ||
  error.code === ErrorCode.NO_HEALTHY_UPSTREAM ||
  error.code === ErrorCode.CONNECTION_DRAINED ||
  error.code === ErrorCode.CONNECTION_LIMIT_REACHED;
