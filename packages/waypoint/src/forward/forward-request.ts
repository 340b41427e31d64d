/**
 * Stage "forward": a request on its way, over as many attempts as policy and budget allow, and its answer on the way back.
 * One object a request. Decisions are elsewhere (`retry/`, `balance/`, `route/`); this carries them out in order.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { type AttemptOutcome, resultOfAnswer, resultOfError } from "../balance/index.ts";
import { failureOutcome } from "../failure-outcome.ts";
import type { BodyLength, DownstreamExchange, ResponseHead } from "../http/message.ts";
import type { RequestRecorder } from "../observe/index.ts";
import type { RequestPermit } from "../policy/model.ts";
import { readGrpcStatus } from "../respond/index.ts";
import type { Attempt } from "./attempt.ts";
import type { ForwardInit } from "./forward-init.ts";
import { type AttemptsOwner, RequestAttempts } from "./request-attempts.ts";
import type { InboxOwner } from "./request-inbox.ts";
import { idleTimeout, requestTimeout } from "./request-timeout.ts";
import { RequestTimers } from "./request-timers.ts";
import { responseHeaders } from "./response-headers.ts";

/** An upstream that answered but does not take the rest of the request is given so long. */
const LINGER_MS = 5_000;

/** Runs until the exchange is over; the inbox tells it what the client does. */
export function forwardRequest(permit: RequestPermit, init: ForwardInit): void {
  const forwarding = new ForwardedRequest(permit, init);
  init.inbox.handTo(forwarding);
  forwarding.begin();
}

class ForwardedRequest implements AttemptsOwner, InboxOwner {
  readonly #init: ForwardInit;
  readonly #exchange: DownstreamExchange;
  readonly #record: RequestRecorder;
  readonly #timers: RequestTimers;
  readonly #attempts: RequestAttempts;
  /** The answer's head went to the client: from here nothing can be tried again. */
  responded = false;
  over = false;
  #status = 0;
  /** Plain bytes both ways: each direction ends on its own. */
  #upgraded = false;
  /** Credit of the upstream for bytes that wait for the client. */
  #owed = 0;
  /** The answer is complete. */
  #answered = false;

  constructor(permit: RequestPermit, init: ForwardInit) {
    this.#init = init;
    this.#exchange = init.context.exchange;
    this.#record = init.context.record;
    this.#timers = new RequestTimers(init.clock);
    this.#attempts = new RequestAttempts(permit, init, this.#timers, this);
  }

  begin(): void {
    const { inbox, mirrors, timeouts, isGrpcDeadline } = this.#init;
    const { body } = inbox;
    for (const mirror of mirrors) for (const chunk of body.kept) mirror.write(chunk);
    if (isGrpcDeadline) this.#timers.startDeadline(timeouts.requestMs, () => this.#timeOut());
    if (body.isComplete) this.onRequestComplete(body.trailers);
    this.#watchIdle();
    this.#attempts.begin();
  }

  // The client's side.

  /** Parity: Envoy starts the route's time-out, and that of a try, when the whole request is there. */
  onRequestComplete(trailers: HeaderList): void {
    for (const mirror of this.#init.mirrors) mirror.end(trailers);
    if (this.over) return;
    this.#timers.touch();
    this.#timers.startDeadline(this.#init.timeouts.requestMs, () => this.#timeOut());
    this.#attempts.startTimeout();
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
    this.#attempts.consume(bytes);
  }

  onDownstreamClosed(error: MeshError | undefined): void {
    if (this.over) return;
    if (error === undefined && this.#answered) {
      // In this turn, as a rule, the upstream's side is over too.
      queueMicrotask(() => this.#linger());
      return;
    }
    const cause = error ?? new MeshError(ErrorCode.DOWNSTREAM_RESET, "the client left", { origin: "downstream" });
    this.#attempts.abandon(cause, { kind: "cancelled" });
    this.#finish(cause.message);
  }

  // The upstream's side.

  onInformational(head: ResponseHead): void {
    this.#timers.touch();
    if (!this.over) this.#exchange.sendInformational(head);
  }

  onHead(attempt: Attempt, head: ResponseHead, bodyLength: BodyLength): void {
    this.#timers.cancelTry();
    this.#timers.touch();
    this.#status = head.status;
    if (this.#attempts.onHead(attempt, head)) return;
    this.#respond(head, (sent) => this.#exchange.sendHead(sent, bodyLength));
  }

  onUpgraded(attempt: Attempt, head: ResponseHead): void {
    this.#timers.cancel();
    this.#upgraded = true;
    this.#status = head.status;
    attempt.responded(this.#attempts.outcomeOf(head));
    this.#watchIdle();
    this.#respond(head, (sent) => this.#exchange.acceptUpgrade(sent));
  }

  onData(chunk: Buffer): void {
    this.#timers.touch();
    this.#record.responseData(chunk);
    if (this.#exchange.write(chunk)) this.#attempts.consume(chunk.length);
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
    this.#attempts.end({ kind: resultOfAnswer(this.#status), status: this.#status }, undefined, grpcStatus);
    this.#init.inbox.body.discardUnlessComplete();
    this.#exchange.end(trailers);
  }

  onComplete(attempt: Attempt): void {
    const outcome: AttemptOutcome = { kind: resultOfAnswer(this.#status), status: this.#status };
    attempt.finish(outcome);
    this.#attempts.end(outcome, undefined);
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
    this.#attempts.end({ kind: "local-failure" }, error.code);
    if (error.origin === "upstream") this.#record.upstreamFailure = error.message;
    if (this.over) return;
    if (this.responded) {
      this.#cut(error);
      return;
    }
    const last = this.#attempts.onFailed(attempt, error);
    if (last !== undefined) this.giveUp(last);
  }

  // The clocks.

  #timeOut(): void {
    const { timeouts, isGrpcDeadline } = this.#init;
    this.#stop(requestTimeout(timeouts.requestMs, isGrpcDeadline), { kind: "local-failure" });
  }

  /** Nothing moved for the chain's idle limit: the stream is cut, whichever side it waits for. */
  #watchIdle(): void {
    const limitMs = this.#init.context.chain.streamIdleTimeoutMs;
    this.#timers.watchIdle(limitMs, () => this.#stop(idleTimeout(limitMs), { kind: "cancelled" }));
  }

  /** Ends everything by our own decision. */
  #stop(error: MeshError, outcome: AttemptOutcome): void {
    if (this.over) return;
    this.#attempts.abandon(error, outcome);
    if (this.responded) this.#cut(error);
    else this.giveUp(error);
  }

  // The answer.

  #respond(head: ResponseHead, send: (sent: ResponseHead) => void): void {
    this.responded = true;
    this.#init.inbox.body.commit();
    const { endpoint, elapsedMs } = this.#attempts;
    const headers = responseHeaders(this.#init, head, endpoint, Math.round(elapsedMs));
    const sent = { status: head.status, headers };
    this.#record.upstreamResponse(sent);
    send(sent);
  }

  giveUp(error: MeshError): void {
    if (this.over) return;
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
    if (this.over) return;
    this.#timers.cancel();
    this.#timers.later(LINGER_MS, () => {
      const error = new MeshError(ErrorCode.CANCELLED, "the answer is complete, its request is not taken");
      this.#attempts.abandon(error, { kind: "cancelled" });
      this.#finish(error.message);
    });
  }

  #finish(reason: string | undefined): void {
    this.over = true;
    this.#attempts.release();
    this.#timers.cancel();
    for (const mirror of this.#init.mirrors) {
      if (reason === undefined) mirror.originalEnded();
      else mirror.cut(reason);
    }
  }
}
