/** One request on an HTTP/2 stream and the answer to it. Spec: RFC 9113 sections 8.1 to 8.4; RFC 8441. */
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { H2Code, type H2Stream, type H2StreamHandlers, type HeaderList } from "@ambit/shared/http2";
import { DeclaredLength } from "./declared-length.ts";
import { atEndOfTurn, type TurnTask } from "./end-of-turn.ts";
import { answeredEarly, downstreamGone, misuse, requestMalformed, unsendableField } from "./failures.ts";
import { tellsLength, unsendable } from "./format-head.ts";
import { httpFault } from "./http-fault.ts";
import { type DecodedHead, encodeAccepted, encodeResponse } from "./http2-heads.ts";
import { writeCopy } from "./http2-sending.ts";
import type { BodyLength, DownstreamExchange, ExchangeEvents, RequestHead, ResponseHead } from "./message.ts";
import { isBodiless } from "./response-head-parser.ts";
import { allowedTrailers } from "./trailers.ts";

const NONE: HeaderList = [];

export interface StreamHost {
  readonly date: string;
  onFault(error: MeshError): void;
}

export class Http2ServerExchange implements DownstreamExchange, H2StreamHandlers, TurnTask {
  readonly head: RequestHead;
  readonly bodyLength: BodyLength;
  readonly #host: StreamHost;
  readonly #stream: H2Stream;
  readonly #received: DeclaredLength;
  #events: ExchangeEvents | undefined;
  /** Came before somebody received it, or before an upgrade was decided; bounded by the stream's window. */
  #early: Buffer[] = [];
  /** Body bytes go straight to `#events`. */
  #flowing = false;
  #endTold = false;
  #trailers: HeaderList = NONE;
  #requestEnded = false;
  /** END_STREAM came with the head: `onEnd` will follow. */
  readonly #endAnnounced: boolean;
  /** The final head, kept back until it is known whether anything follows it. */
  #pending: HeaderList | undefined;
  #headSent = false;
  #answered = false;
  #raw = false;
  #bodiless = false;
  #left: number | undefined;
  #error: MeshError | undefined;
  #over = false;

  constructor(host: StreamHost, stream: H2Stream, decoded: DecodedHead<RequestHead>, endStream: boolean) {
    this.#host = host;
    this.#stream = stream;
    this.head = decoded.head;
    this.#received = new DeclaredLength(decoded.contentLength);
    this.#endAnnounced = endStream;
    this.bodyLength = endStream || decoded.head.upgrade !== undefined ? 0 : decoded.contentLength;
  }

  receive(events: ExchangeEvents): void {
    if (this.#events !== undefined) return;
    this.#events = events;
    // What comes after an upgrade is asked for belongs to the new protocol, if there will be one.
    if (this.head.upgrade === undefined || this.#raw) this.#flow();
    if (this.#over) events.onClose(this.#error);
  }

  sendInformational(head: ResponseHead): void {
    if (this.#over || this.#headSent || head.status < 100 || head.status > 199 || head.status === 101) return;
    if (this.#refuses(head.headers)) return;
    const init = { tellsLength: false, date: undefined };
    this.#stream.sendHeaders(encodeResponse(head, undefined, init), false);
  }

  sendHead(head: ResponseHead, bodyLength: BodyLength): void {
    if (this.#over || this.#headSent || this.#refuses(head.headers)) return;
    if (head.status < 200 || head.status > 599) {
      this.abort(misuse(`status ${head.status} in a final head`));
      return;
    }
    this.#headSent = true;
    const tells = tellsLength(head.status, this.head.method);
    this.#bodiless = tells || this.head.method === "HEAD" || isBodiless(head.status) || bodyLength === 0;
    const length = this.#bodiless && !(tells && bodyLength) ? undefined : bodyLength;
    this.#left = this.#bodiless ? 0 : bodyLength;
    this.#pending = encodeResponse(head, length, { tellsLength: tells, date: this.#host.date });
    atEndOfTurn(this);
  }

  acceptUpgrade(head: ResponseHead): void {
    if (this.#over || this.#headSent || this.#refuses(head.headers)) return;
    if (this.head.upgrade === undefined) {
      this.abort(misuse("an upgrade that was not asked for"));
      return;
    }
    this.#headSent = true;
    this.#raw = true;
    this.#stream.sendHeaders(encodeAccepted(head), false);
    this.#flow();
  }

  write(bytes: Buffer): boolean {
    if (this.#over || this.#answered || !this.#headSent || this.#bodiless) return true;
    if (this.#left !== undefined && !this.#raw) {
      if (bytes.length > this.#left) {
        this.abort(misuse("a response longer than its head says"));
        return true;
      }
      this.#left -= bytes.length;
    }
    this.#sendPending(false);
    return writeCopy(this.#stream, bytes);
  }

  end(trailers: HeaderList = NONE): void {
    if (this.#over || this.#answered) return;
    const allowed = this.#raw ? NONE : allowedTrailers(trailers);
    if (this.#refuses(allowed)) return;
    if (!this.#headSent || (!this.#raw && this.#left !== undefined && this.#left > 0)) {
      this.abort(misuse("a response shorter than its head says"));
      return;
    }
    this.#answered = true;
    if (this.#pending !== undefined && allowed.length === 0) this.#sendPending(true);
    else {
      this.#sendPending(false);
      if (allowed.length > 0) this.#stream.sendHeaders(allowed, true);
      else this.#stream.end();
    }
    // The answer is complete; what still comes of the request is of no use. RFC 9113 section 8.1.
    const wanted = this.#raw || this.#requestEnded || this.#endAnnounced || this.#over;
    if (!wanted) this.#stream.resetAfterEnd(H2Code.NO_ERROR);
  }

  consume(bytes: number): void {
    this.#stream.consume(bytes);
  }

  abort(error: MeshError): void {
    if (this.#over) return;
    this.#error = error;
    this.#pending = undefined;
    this.#stream.reset(resetCodeOf(error));
  }

  onEndOfTurn(): void {
    if (!this.#over) this.#sendPending(false);
  }

  // What the stream tells

  /** Trailers. */
  onHeaders(headers: HeaderList): void {
    this.#trailers = allowedTrailers(headers);
  }

  onData(chunk: Buffer): void {
    if (!this.#received.take(chunk.length)) this.#fault("a body longer than its Content-Length");
    else if (this.#flowing) this.#events?.onData(chunk);
    else if (this.#answered) this.#stream.consume(chunk.length);
    else this.#early.push(Buffer.from(chunk));
  }

  onEnd(): void {
    if (!this.#received.complete) {
      this.#fault("a body shorter than its Content-Length");
      return;
    }
    this.#requestEnded = true;
    if (this.#flowing) this.#tellEnd();
  }

  onDrain(): void {
    this.#events?.onDrain();
  }

  onClose(error: MeshError | undefined): void {
    this.#over = true;
    this.#pending = undefined;
    this.#error ??= this.#meaningOf(error);
    // Nobody will consume what nobody received; its credit belongs to the connection's other streams.
    for (const chunk of this.#early.splice(0)) this.#stream.consume(chunk.length);
    this.#events?.onClose(this.#error);
  }

  #flow(): void {
    const events = this.#events;
    if (events === undefined || this.#over) return;
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) if (!this.#over) events.onData(chunk);
    this.#flowing = true;
    if (this.#requestEnded) this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.#over || this.#endTold) return;
    this.#endTold = true;
    this.#events?.onEnd(this.#raw ? NONE : this.#trailers);
  }

  /** A request that breaks its own Content-Length never looks complete to anybody. */
  #fault(message: string): void {
    this.#error = requestMalformed(httpFault(400, message), 0);
    this.#host.onFault(this.#error);
    this.#stream.reset(H2Code.PROTOCOL_ERROR);
  }

  #meaningOf(error: MeshError | undefined): MeshError | undefined {
    if (error === undefined) return undefined;
    const code = error.context["h2Code"];
    if (this.#answered && error.origin === "local" && code === H2Code.NO_ERROR) {
      return this.head.upgrade === undefined ? answeredEarly("local") : undefined;
    }
    const cut = error.code === ErrorCode.H2_STREAM_RESET || error.code === ErrorCode.H2_SESSION_CLOSED;
    return cut && error.origin === "downstream" ? downstreamGone(error.message, error) : error;
  }

  #refuses(headers: HeaderList): boolean {
    const bad = unsendable(headers);
    if (bad === undefined) return false;
    this.abort(unsendableField(bad));
    return true;
  }

  #sendPending(endStream: boolean): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    this.#stream.sendHeaders(pending, endStream);
  }
}

/** What a client may learn of why: that it was given up, that it should slow down, or only that it failed. */
function resetCodeOf(error: MeshError): number {
  if (error.code === ErrorCode.CANCELLED) return H2Code.CANCEL;
  const code = error.context["h2Code"];
  return code === H2Code.CANCEL || code === H2Code.ENHANCE_YOUR_CALM ? code : H2Code.INTERNAL_ERROR;
}
