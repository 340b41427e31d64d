/**
 * HTTP/1.1 towards a downstream: requests one after another off one byte stream, each with one unambiguous end.
 * Pipelined requests wait, unread, and are answered in order. What is malformed is answered by the codec and ends the
 * connection; nothing after it is read.
 *
 * Spec: RFC 9112; RFC 9110 sections 7.8 and 10.1.1.
 */
import type { Duplex } from "node:stream";
import type { MeshError } from "@ambit/shared/errors";
import { BodyReader } from "./body-reader.ts";
import { Deadline } from "./deadline.ts";
import { answeredEarly, downstreamGone, ownerThrew, requestMalformed } from "./failures.ts";
import { RequestHeadParser } from "./head-parser.ts";
import { httpDate } from "./http-date.ts";
import { type HttpFault, httpFault } from "./http-fault.ts";
import { endOfInput, isAmbiguousAfter, isWorthDiscarding, MAX_DISCARDED_BYTES, type Phase } from "./http1-phase.ts";
import { type ExchangeHost, Http1ServerExchange } from "./http1-server-exchange.ts";
import { Http1Transport, type TransportOwner } from "./http1-transport.ts";
import { closeAbruptly, closeAfterLinger } from "./linger.ts";
import type { DownstreamConnection, DownstreamExchange } from "./message.ts";
import type { ServeOptions } from "./options.ts";
import { formatRefusal } from "./refusal.ts";

/** Draining: how long an idle connection may still bring the request that its client had sent already. */
const LAST_REQUEST_MS = 1_000;

export class Http1ServerConnection implements DownstreamConnection, TransportOwner, ExchangeHost {
  readonly transport: Http1Transport;
  readonly #options: ServeOptions;
  readonly #onRequest: (exchange: DownstreamExchange) => void;
  readonly #parser: RequestHeadParser;
  readonly #body: BodyReader;
  readonly #deadline: Deadline;
  #phase: Phase = "head";
  #exchange: Http1ServerExchange | undefined;
  #keepAlive = true;
  #draining = false;
  #headTimed = false;
  #discarded = 0;
  #rawEnded = false;
  #closeTold = false;

  constructor(duplex: Duplex, options: ServeOptions, onRequest: (exchange: DownstreamExchange) => void) {
    this.#options = options;
    this.#onRequest = onRequest;
    this.transport = new Http1Transport(duplex, this, options.windowBytes);
    this.#parser = new RequestHeadParser(options);
    this.#body = new BodyReader(options, (bytes) => this.#onBody(bytes));
    this.#deadline = new Deadline(options.clock, () => this.#onDeadline());
    this.#deadline.set(options.idleTimeoutMs);
    this.transport.start();
  }

  get date(): string {
    return httpDate(this.#options.clock);
  }

  drain(): void {
    this.#draining = true;
    const idle = this.#phase === "head" && !this.#parser.started && this.transport.waitingBytes === 0;
    // A request may be on its way: it is still answered, with `connection: close`.
    if (idle) this.#deadline.set(LAST_REQUEST_MS);
  }

  destroy(error: MeshError): void {
    if (this.#phase === "closed") return;
    const exchange = this.#exchange;
    const abruptly = exchange?.endsWithConnection === true && !exchange.answered;
    this.#stop();
    if (abruptly) closeAbruptly(this.transport.duplex, error);
    else this.transport.duplex.destroy();
    exchange?.close(error);
    this.#tellClosed(error);
  }

  // What the transport tells

  onBytes(chunk: Buffer, at: number): number {
    switch (this.#phase) {
      case "head":
        return this.#readHead(chunk, at);
      case "body":
        return this.#exchange?.receiving ? this.#readBody(chunk, at) : at;
      case "discard":
        return this.#readBody(chunk, at);
      case "raw":
        if (!this.#exchange?.receiving) return at;
        this.#exchange.deliver(at === 0 ? chunk : chunk.subarray(at));
        return chunk.length;
      default:
        return at;
    }
  }

  onFin(): void {
    const gaveUp = this.#phase === "answering" || this.#phase === "body";
    if (gaveUp && !this.#options.allowsHalfClose) this.destroy(downstreamGone("the client closed before the answer"));
  }

  onEnd(): void {
    if (this.#phase === "raw") {
      this.#rawEnded = true;
      this.#exchange?.deliverEnd([]);
      this.#finishRaw();
      return;
    }
    const end = endOfInput({ phase: this.#phase, headStarted: this.#parser.started, bodyDone: this.#body.done });
    if (end === "complete") this.#keepAlive = false;
    else if (end === "idle") this.#closeGently(undefined);
    else this.destroy(downstreamGone("the client closed in the middle of a request"));
  }

  onDrain(): void {
    this.#exchange?.deliverDrain();
  }

  onGone(cause: Error | undefined): void {
    if (this.#phase === "closed") {
      this.#tellClosed(undefined);
      return;
    }
    const exchange = this.#exchange;
    const inOrder = exchange === undefined && this.#phase === "head" && !this.#parser.started && cause === undefined;
    const error = inOrder
      ? undefined
      : downstreamGone(`the client's connection ended: ${cause?.message ?? "closed"}`, cause);
    this.#stop();
    exchange?.close(error);
    this.#tellClosed(error);
  }

  onThrow(thrown: unknown): void {
    this.destroy(ownerThrew(thrown));
  }

  // What the exchange asks

  onReceive(): void {
    this.#settleBody();
    this.transport.pump();
  }

  closesAfter(exchange: Http1ServerExchange, isAsked: boolean): boolean {
    if (isAsked || this.#draining || isAmbiguousAfter(exchange, this.#phase)) this.#keepAlive = false;
    return !this.#keepAlive;
  }

  onRaw(): void {
    this.#phase = "raw";
    this.transport.pump();
  }

  onAnswered(exchange: Http1ServerExchange): void {
    if (this.#phase === "raw") {
      this.transport.writer.end();
      this.#finishRaw();
      return;
    }
    if (this.#phase === "body" && this.#body.done) {
      this.#phase = "answering";
      if (exchange.head.upgrade === undefined) exchange.deliverEnd(this.#body.trailers);
    }
    if (this.#phase === "answering") {
      this.#exchange = undefined;
      exchange.close(undefined);
      this.#next();
      return;
    }
    this.#phase = "discard";
    this.#exchange = undefined;
    this.#deadline.set(this.#options.headersTimeoutMs);
    exchange.close(answeredEarly("local"));
    if (!this.#keepAlive || !isWorthDiscarding(exchange.bodyLength)) this.#closeGently(undefined);
    else this.transport.pump();
  }

  onCut(_exchange: Http1ServerExchange, error: MeshError): void {
    this.destroy(error);
  }

  // Reading

  #readHead(chunk: Buffer, at: number): number {
    const next = this.#parser.read(chunk, at);
    const { fault, parsed } = this.#parser;
    if (fault !== undefined) this.#refuse(fault);
    else if (parsed !== undefined) this.#begin();
    else if (!this.#headTimed) {
      this.#headTimed = true;
      this.#deadline.set(this.#options.headersTimeoutMs);
    }
    return next;
  }

  #begin(): void {
    const parsed = this.#parser.parsed as NonNullable<RequestHeadParser["parsed"]>;
    this.#parser.reset();
    this.#headTimed = false;
    this.#deadline.clear();
    this.#keepAlive = parsed.keepAlive;
    this.#discarded = 0;
    this.#body.begin(parsed.framing);
    this.#phase = "body";
    this.#exchange = new Http1ServerExchange(this, parsed);
    this.#onRequest(this.#exchange);
    this.#settleBody();
  }

  #readBody(chunk: Buffer, at: number): number {
    const next = this.#body.read(chunk, at);
    if (this.#body.fault !== undefined) this.#onBodyFault(this.#body.fault);
    else this.#settleBody();
    return next;
  }

  #onBody(bytes: Buffer): void {
    if (this.#phase === "body") this.#exchange?.deliver(bytes);
    else if (this.#phase === "discard") {
      this.#discarded += bytes.length;
      if (this.#discarded > MAX_DISCARDED_BYTES) this.#closeGently(undefined);
    }
  }

  /** The request may be complete. */
  #settleBody(): void {
    if (!this.#body.done) return;
    const exchange = this.#exchange;
    if (this.#phase === "discard") this.#next();
    else if (this.#phase === "body" && exchange?.receiving) {
      this.#phase = "answering";
      // After an upgrade the end is that of the plain bytes.
      if (exchange.head.upgrade === undefined) exchange.deliverEnd(this.#body.trailers);
    }
  }

  #onBodyFault(fault: HttpFault): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    const headSent = exchange?.headSent === true;
    // Of a request that was answered already: another answer would be taken for the next request's.
    const isAnswered = exchange === undefined || headSent;
    const error = requestMalformed(fault, isAnswered ? 0 : fault.status);
    if (isAnswered) {
      this.#exchange = exchange;
      this.#options.onRefused?.(error, true);
      this.destroy(error);
      return;
    }
    this.#refuse(fault, true);
    exchange.close(error);
  }

  // Ending

  /** The next request may be read. */
  #next(): void {
    if (!this.#keepAlive) {
      this.#closeGently(undefined);
      return;
    }
    this.#phase = "head";
    this.#deadline.set(this.#draining ? LAST_REQUEST_MS : this.#options.idleTimeoutMs);
    this.transport.pump();
  }

  #refuse(fault: HttpFault, wasHandedOver = false): void {
    const error = requestMalformed(fault, fault.status);
    this.#options.onRefused?.(error, wasHandedOver);
    this.transport.writer.writeText(formatRefusal(fault, this.date));
    this.#closeGently(error);
  }

  #onDeadline(): void {
    if (this.#phase === "head" && this.#parser.started) this.#refuse(httpFault(408, "the request head took too long"));
    else this.#closeGently(undefined);
  }

  #finishRaw(): void {
    const exchange = this.#exchange;
    if (!this.#rawEnded || exchange?.answered !== true) return;
    this.#exchange = undefined;
    this.#closeGently(undefined);
    exchange.close(undefined);
  }

  /** Sends what waits, then FIN, and reads to nobody for a while. */
  #closeGently(error: MeshError | undefined): void {
    if (this.#phase === "closed") return;
    this.transport.writer.end();
    this.#stop();
    closeAfterLinger(this.transport.duplex, this.#options.clock);
    this.#tellClosed(error);
  }

  #stop(): void {
    this.#phase = "closed";
    this.#exchange = undefined;
    this.#deadline.stop();
    this.transport.stop();
    this.transport.writer.close();
  }

  #tellClosed(error: MeshError | undefined): void {
    if (this.#closeTold) return;
    this.#closeTold = true;
    this.#options.onClose?.(error);
  }
}
