/** One request on an HTTP/1 connection and the answer to it. What concerns the connection is asked of its host. */
import type { MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { lengthOf } from "./body-reader.ts";
import { lastChunk } from "./chunked.ts";
import { misuse, unsendableField } from "./failures.ts";
import { formatInformational, formatResponse, formatSwitching, type SentFraming, unsendable } from "./format-head.ts";
import type { ParsedRequest } from "./head-parser.ts";
import type { Http1Transport } from "./http1-transport.ts";
import type { BodyLength, DownstreamExchange, ExchangeEvents, RequestHead, ResponseHead } from "./message.ts";
import { allowedTrailers } from "./trailers.ts";
import { withAccept } from "./websocket-key.ts";

/** The connection, as its exchange sees it. */
export interface ExchangeHost {
  readonly transport: Http1Transport;
  readonly date: string;
  /** The owner listens now. */
  onReceive(exchange: Http1ServerExchange): void;
  /**
   * A final head is about to be written. @returns whether it must say that the connection closes
   * @param isAsked  by whoever answers
   */
  closesAfter(exchange: Http1ServerExchange, isAsked: boolean): boolean;
  /** Both directions carry plain bytes from here. */
  onRaw(exchange: Http1ServerExchange): void;
  /** Our side of the message is complete. */
  onAnswered(exchange: Http1ServerExchange): void;
  /** The exchange was cut by its owner: the connection cannot go on. */
  onCut(exchange: Http1ServerExchange, error: MeshError): void;
}

export class Http1ServerExchange implements DownstreamExchange {
  readonly head: RequestHead;
  readonly bodyLength: BodyLength;
  readonly #host: ExchangeHost;
  #events: ExchangeEvents | undefined;
  #over = false;
  #closeError: MeshError | undefined;
  #framing: SentFraming = "none";
  /** Of a response whose length was declared. */
  #left = 0;
  #unconsumed = 0;
  #wantsDrain = false;
  headSent = false;
  /** Our side is complete. */
  answered = false;
  raw = false;
  /** The client was told to send the body it held back. */
  continued = false;
  /** A byte of the body came. */
  bodySeen = false;

  constructor(host: ExchangeHost, { head, framing }: ParsedRequest) {
    this.#host = host;
    this.head = head;
    this.bodyLength = lengthOf(framing);
  }

  get receiving(): boolean {
    return this.#events !== undefined;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Only the end of the connection tells the client where the response ends. */
  get endsWithConnection(): boolean {
    return this.raw || (this.headSent && this.#framing === "until-close");
  }

  receive(events: ExchangeEvents): void {
    if (this.#events !== undefined) return;
    this.#events = events;
    if (this.#over) events.onClose(this.#closeError);
    else this.#host.onReceive(this);
  }

  sendInformational(head: ResponseHead): void {
    const sendable = !this.#over && !this.headSent && this.head.version !== "HTTP/1.0";
    if (!sendable || head.status < 100 || head.status > 199 || head.status === 101) return;
    const bad = unsendable(head.headers);
    if (bad !== undefined) {
      this.abort(unsendableField(bad));
      return;
    }
    if (head.status === 100) this.continued = true;
    this.#host.transport.writer.writeText(formatInformational(head));
  }

  sendHead(head: ResponseHead, bodyLength: BodyLength): void {
    if (this.#over || this.headSent) return;
    const bad = unsendable(head.headers);
    if (bad !== undefined || head.status < 200 || head.status > 599) {
      this.abort(bad === undefined ? misuse(`status ${head.status} in a final head`) : unsendableField(bad));
      return;
    }
    const closes = this.#host.closesAfter(this, head.headers.some(isClose));
    this.headSent = true;
    const http10 = this.head.version === "HTTP/1.0";
    const context = { requestMethod: this.head.method, http10, closes, date: this.#host.date };
    const { text, framing } = formatResponse(head, bodyLength, context);
    this.#framing = framing;
    this.#left = framing === "length" ? (bodyLength as number) : 0;
    this.#host.transport.writer.writeText(text);
  }

  acceptUpgrade(head: ResponseHead): void {
    if (this.#over || this.headSent) return;
    const { upgrade } = this.head;
    const bad = unsendable(head.headers);
    if (upgrade === undefined || bad !== undefined) {
      this.abort(bad === undefined ? misuse("an upgrade that was not asked for") : unsendableField(bad));
      return;
    }
    this.headSent = true;
    this.raw = true;
    this.#framing = "until-close";
    const { writer } = this.#host.transport;
    writer.writeText(formatSwitching(withAccept(upgrade, this.head.headers, head.headers), upgrade));
    this.#host.onRaw(this);
  }

  write(bytes: Buffer): boolean {
    if (this.#over || this.answered || !this.headSent || this.#framing === "none") return true;
    const { writer } = this.#host.transport;
    if (this.#framing === "chunked") writer.writeChunk(bytes);
    else {
      if (this.#framing === "length" && bytes.length > this.#left) {
        this.abort(misuse("a response longer than its head says"));
        return true;
      }
      this.#left -= bytes.length;
      writer.writeBytes(bytes);
    }
    this.#wantsDrain = !writer.hasRoom;
    return !this.#wantsDrain;
  }

  end(trailers: HeaderList = []): void {
    if (this.#over || this.answered) return;
    const complete = this.headSent && (this.#framing !== "length" || this.#left === 0);
    const allowed = this.#framing === "chunked" ? allowedTrailers(trailers) : [];
    const bad = unsendable(allowed);
    if (!complete || bad !== undefined) {
      this.abort(bad === undefined ? misuse("a response shorter than its head says") : unsendableField(bad));
      return;
    }
    this.answered = true;
    const { writer } = this.#host.transport;
    if (this.#framing === "chunked") writer.writeText(lastChunk(allowed));
    writer.flush();
    this.#host.onAnswered(this);
  }

  consume(bytes: number): void {
    const consumed = Math.min(bytes, this.#unconsumed);
    this.#unconsumed -= consumed;
    if (consumed > 0) this.#host.transport.consumed(consumed);
  }

  abort(error: MeshError): void {
    if (!this.#over) this.#host.onCut(this, error);
  }

  /** Body bytes, or plain ones after an upgrade. */
  deliver(bytes: Buffer): void {
    if (this.#over) return;
    this.bodySeen = true;
    this.#unconsumed += bytes.length;
    this.#host.transport.handedOn(bytes.length);
    this.#events?.onData(bytes);
  }

  deliverEnd(trailers: HeaderList): void {
    if (!this.#over) this.#events?.onEnd(trailers);
  }

  deliverDrain(): void {
    if (this.#over || !this.#wantsDrain || !this.#host.transport.writer.hasRoom) return;
    this.#wantsDrain = false;
    this.#events?.onDrain();
  }

  /** The last word; what the owner still holds counts as consumed. Whoever receives later is told then. */
  close(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#closeError = error;
    this.#host.transport.consumed(this.#unconsumed);
    this.#unconsumed = 0;
    this.#events?.onClose(error);
  }
}

const isClose = ([name, value]: readonly [string, string]): boolean => name === "connection" && value === "close";
