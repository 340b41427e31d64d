/**
 * A gRPC-Web call as the stages behind see it: a request body of gRPC frames, an answer whose trailers go out in its body.
 * The head stays as it came, because policies speak of what the caller sent; `forward/` sends the fields of gRPC.
 */
import type { HeaderList } from "@ambit/shared/http2";
import { requestMalformed } from "../http/failures.ts";
import { httpFault } from "../http/http-fault.ts";
import type { BodyLength, DownstreamExchange, ExchangeEvents, RequestHead, ResponseHead } from "../http/message.ts";
import { answerFormat, Base64Pieces, requestFormat, toWebFields, trailersFrame, type WebFormat } from "./format.ts";

/** Those that are gRPC-Web are translated, all others are what they were. */
export function translateGrpcWeb(exchange: DownstreamExchange): DownstreamExchange {
  const { method, headers } = exchange.head;
  const format = method === "POST" ? requestFormat(headers) : undefined;
  return format === undefined ? exchange : new GrpcWebExchange(exchange, format);
}

class GrpcWebExchange implements DownstreamExchange {
  readonly head: RequestHead;
  readonly bodyLength: BodyLength;
  readonly #inner: DownstreamExchange;
  readonly #pieces: Base64Pieces | undefined;
  readonly #answer: WebFormat;
  /** The answer is gRPC's: its trailers go into its body. */
  #isTranslated = false;
  #hasBody = true;
  /** Decoded bytes that were handed on and not consumed, and the credit that waits for them. */
  #held = 0;
  #owed = 0;
  #isBroken = false;

  constructor(inner: DownstreamExchange, format: WebFormat) {
    this.#inner = inner;
    this.head = inner.head;
    this.#pieces = format === "text" ? new Base64Pieces() : undefined;
    this.#answer = answerFormat(inner.head.headers, format);
    this.bodyLength = this.#pieces && inner.bodyLength !== 0 ? undefined : inner.bodyLength;
  }

  receive(events: ExchangeEvents): void {
    const pieces = this.#pieces;
    if (!pieces) {
      this.#inner.receive(events);
      return;
    }
    this.#inner.receive({
      onData: (chunk) => this.#decode(pieces, chunk, events),
      onEnd: (trailers) => {
        if (this.#isBroken) return;
        if (pieces.isComplete) events.onEnd(trailers);
        else this.#fail();
      },
      onDrain: () => events.onDrain(),
      onClose: (error) => events.onClose(error),
    });
  }

  sendInformational(head: ResponseHead): void {
    this.#inner.sendInformational(head);
  }

  sendHead(head: ResponseHead, bodyLength: BodyLength): void {
    const headers = toWebFields(head.headers, this.#answer);
    this.#isTranslated = headers !== undefined;
    this.#hasBody = bodyLength !== 0;
    if (headers) this.#inner.sendHead({ ...head, headers }, this.#hasBody ? undefined : 0);
    else this.#inner.sendHead(head, bodyLength);
  }

  acceptUpgrade(head: ResponseHead): void {
    this.#inner.acceptUpgrade(head);
  }

  write(bytes: Buffer): boolean {
    return this.#inner.write(this.#isTranslated ? this.#encode(bytes) : bytes);
  }

  end(trailers: HeaderList = []): void {
    if (!this.#isTranslated) {
      this.#inner.end(trailers);
      return;
    }
    // Without a body the status is in the head already.
    if (this.#hasBody) this.#inner.write(this.#encode(trailersFrame(trailers)));
    this.#inner.end();
  }

  consume(bytes: number): void {
    if (!this.#pieces) {
      this.#inner.consume(bytes);
      return;
    }
    this.#held = Math.max(0, this.#held - bytes);
    this.#giveBack(this.#held === 0 ? this.#owed : Math.min(this.#owed, bytes));
  }

  abort(error: Parameters<DownstreamExchange["abort"]>[0]): void {
    this.#inner.abort(error);
  }

  #decode(pieces: Base64Pieces, chunk: Buffer, events: ExchangeEvents): void {
    this.#owed += chunk.length;
    const decoded = this.#isBroken ? undefined : pieces.push(chunk);
    if (!decoded) {
      this.#giveBack(this.#owed);
      this.#fail();
      return;
    }
    this.#held += decoded.length;
    if (decoded.length > 0) events.onData(decoded);
    else if (this.#held === 0) this.#giveBack(this.#owed);
  }

  #giveBack(bytes: number): void {
    this.#owed -= bytes;
    if (bytes > 0) this.#inner.consume(bytes);
  }

  #fail(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#inner.abort(requestMalformed(httpFault(400, "expected base64 in a body of grpc-web-text"), 0));
  }

  /** Each piece padded by itself, so that none waits for the next. */
  #encode(bytes: Buffer): Buffer {
    return this.#answer === "text" ? Buffer.from(bytes.toString("base64"), "latin1") : bytes;
  }
}
