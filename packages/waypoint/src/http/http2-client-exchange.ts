/** One request on an HTTP/2 upstream stream. Spec: RFC 9113 sections 8.1 to 8.4; RFC 8441. */
import type { MeshError } from "@ambit/shared/errors";
import { H2Code, type H2Stream, type H2StreamHandlers, type HeaderList } from "@ambit/shared/http2";
import { DeclaredLength } from "./declared-length.ts";
import { answeredEarly, misuse, responseMalformed, unsendableField } from "./failures.ts";
import { unsendable } from "./format-head.ts";
import { decodeResponse, type Http2Limits } from "./http2-heads.ts";
import { writeCopy } from "./http2-sending.ts";
import type { BodyLength, OutgoingRequest, UpstreamEvents, UpstreamExchange } from "./message.ts";
import { isBodiless } from "./response-head-parser.ts";
import { allowedTrailers } from "./trailers.ts";

const NONE: HeaderList = [];

export interface ClientExchangeInit {
  readonly events: UpstreamEvents;
  readonly reused: boolean;
  readonly limits: Http2Limits;
}

export class Http2ClientExchange implements UpstreamExchange, H2StreamHandlers {
  readonly reused: boolean;
  readonly #events: UpstreamEvents;
  readonly #limits: Http2Limits;
  readonly #method: string;
  readonly #upgrade: boolean;
  /** Absent while an upgrade waits for the peer's SETTINGS. */
  #stream: H2Stream | undefined;
  #left: number | undefined;
  #received = new DeclaredLength(undefined);
  #trailers: HeaderList = NONE;
  #answered = false;
  #ended: boolean;
  #raw = false;
  #complete = false;
  #error: MeshError | undefined;
  #over = false;

  constructor(head: OutgoingRequest, bodyLength: BodyLength, init: ClientExchangeInit) {
    this.#events = init.events;
    this.reused = init.reused;
    this.#limits = init.limits;
    this.#method = head.method;
    this.#upgrade = head.upgrade !== undefined;
    this.#left = bodyLength;
    this.#ended = bodyLength === 0;
  }

  get over(): boolean {
    return this.#over;
  }

  /** The stream was opened. */
  onStream(stream: H2Stream): void {
    this.#stream = stream;
  }

  write(bytes: Buffer): boolean {
    if (this.#over || this.#ended || this.#stream === undefined) return true;
    if (!this.#raw && this.#left !== undefined) {
      if (bytes.length > this.#left) {
        this.abort(misuse("a request longer than its head says"));
        return true;
      }
      this.#left -= bytes.length;
    }
    return writeCopy(this.#stream, bytes);
  }

  end(trailers: HeaderList = NONE): void {
    if (this.#over || this.#ended) return;
    const allowed = this.#raw ? NONE : allowedTrailers(trailers);
    const bad = unsendable(allowed);
    if (bad !== undefined || (!this.#raw && this.#left !== undefined && this.#left > 0)) {
      this.abort(bad === undefined ? misuse("a request shorter than its head says") : unsendableField(bad));
      return;
    }
    this.#ended = true;
    if (allowed.length > 0) this.#stream?.sendHeaders(allowed, true);
    else this.#stream?.end();
  }

  consume(bytes: number): void {
    this.#stream?.consume(bytes);
  }

  abort(error: MeshError): void {
    if (this.#over) return;
    this.#error = error;
    if (this.#stream === undefined) this.onClose(error);
    else this.#stream.reset(H2Code.CANCEL);
  }

  // What the stream tells

  onInformational(headers: HeaderList): void {
    const decoded = decodeResponse(headers, this.#limits);
    if (decoded.ok) this.#events.onInformational(decoded.value.head);
    else this.#fault(decoded.error);
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    if (this.#answered) {
      this.#trailers = allowedTrailers(headers);
      return;
    }
    this.#answered = true;
    const decoded = decodeResponse(headers, this.#limits);
    if (!decoded.ok) {
      this.#fault(decoded.error);
      return;
    }
    const { head, contentLength } = decoded.value;
    if (this.#upgrade && head.status >= 200 && head.status <= 299 && !endStream) {
      this.#raw = true;
      this.#ended = false;
      this.#events.onUpgraded(head);
      return;
    }
    const bodiless = this.#method === "HEAD" || isBodiless(head.status);
    const expected = bodiless ? 0 : contentLength;
    this.#received = new DeclaredLength(expected);
    this.#events.onHead(head, endStream ? 0 : expected);
  }

  onData(chunk: Buffer): void {
    if (this.#received.take(chunk.length)) this.#events.onData(chunk);
    else this.#fault("a body longer than its head says");
  }

  onEnd(): void {
    if (!this.#received.complete) {
      this.#fault("a body shorter than its Content-Length");
      return;
    }
    this.#complete = true;
    this.#events.onEnd(this.#raw ? NONE : this.#trailers);
    if (this.#over || this.#raw) return;
    // A refused upgrade has nothing more to say; a request whose answer is complete need not be finished.
    if (this.#upgrade) this.#stream?.end();
    else if (!this.#ended) this.#stream?.reset(H2Code.CANCEL);
  }

  onDrain(): void {
    if (!this.#over) this.#events.onDrain();
  }

  onClose(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onClose(this.#error ?? this.#meaningOf(error));
  }

  #meaningOf(error: MeshError | undefined): MeshError | undefined {
    if (error === undefined || !this.#complete || this.#raw) return error;
    return this.#ended || this.#upgrade ? undefined : answeredEarly("upstream");
  }

  #fault(message: string): void {
    this.#error = responseMalformed(message);
    this.#stream?.reset(H2Code.PROTOCOL_ERROR);
  }
}
