/** HTTP/2 towards a downstream, by prior knowledge, on our own engine. */
import type { Duplex } from "node:stream";
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import {
  createH2Session,
  H2Code,
  type H2Session,
  type H2Stream,
  type H2StreamHandlers,
  type HeaderList,
  isBreach,
} from "@ambit/shared/http2";
import { Deadline } from "./deadline.ts";
import { requestMalformed } from "./failures.ts";
import { httpDate } from "./http-date.ts";
import { type HttpFault, httpFault } from "./http-fault.ts";
import { decodeRequest, encodeResponse } from "./http2-heads.ts";
import { writeCopy } from "./http2-sending.ts";
import { Http2ServerExchange, type StreamHost } from "./http2-server-exchange.ts";
import type { DownstreamConnection, DownstreamExchange } from "./message.ts";
import type { ServeOptions } from "./options.ts";
import { refusalOf } from "./refusal.ts";

/** Stands in for the owner of a stream that the codec itself answered or reset; what still comes is thrown away. */
const nobodyFor = (stream: H2Stream): H2StreamHandlers => ({
  onHeaders() {},
  onData: (chunk) => stream.consume(chunk.length),
  onEnd() {},
  onDrain() {},
  onClose() {},
});

/** In the words of requests: malformed, or more than is allowed. It was reset. */
function refusedByEngine({ code, message }: MeshError): MeshError {
  return requestMalformed(httpFault(code === ErrorCode.H2_PROTOCOL_ERROR ? 400 : 431, message), 0);
}

export class Http2ServerConnection implements DownstreamConnection, StreamHost {
  readonly #options: ServeOptions;
  readonly #onRequest: (exchange: DownstreamExchange) => void;
  readonly #session: H2Session;
  readonly #idle: Deadline;

  constructor(duplex: Duplex, options: ServeOptions, onRequest: (exchange: DownstreamExchange) => void) {
    this.#options = options;
    this.#onRequest = onRequest;
    this.#idle = new Deadline(options.clock, () => this.#onIdle());
    this.#idle.set(options.idleTimeoutMs);
    this.#session = createH2Session(
      "server",
      duplex,
      { ...options.http2, clock: options.clock },
      {
        onRequest: (stream, headers, endStream) => this.#serve(stream, headers, endStream),
        onRefused: (error) => this.#options.onRefused?.(refusedByEngine(error), false),
        onClose: (error) => {
          this.#idle.stop();
          // Streams that ran when the peer broke a rule tell their own ends; this tells what ended them.
          if (error !== undefined && isBreach(error)) this.#options.onRefused?.(error, false);
          this.#options.onClose?.(error);
        },
      },
    );
  }

  get date(): string {
    return httpDate(this.#options.clock);
  }

  drain(): void {
    this.#session.shutdown();
  }

  destroy(error: MeshError): void {
    this.#session.destroy(error);
  }

  onFault(error: MeshError): void {
    this.#options.onRefused?.(error, true);
  }

  #serve(stream: H2Stream, headers: HeaderList, endStream: boolean): H2StreamHandlers {
    this.#idle.set(this.#options.idleTimeoutMs);
    const decoded = decodeRequest(headers, this.#options);
    if (!decoded.ok) {
      if (decoded.error.kind === "answer") this.#refuse(stream, decoded.error.fault, endStream);
      else this.#reset(stream, decoded.error.message);
      return nobodyFor(stream);
    }
    const { contentLength } = decoded.value;
    if (endStream && contentLength !== undefined && contentLength > 0) {
      this.#reset(stream, "a body shorter than its Content-Length");
      return nobodyFor(stream);
    }
    const exchange = new Http2ServerExchange(this, stream, decoded.value, endStream);
    this.#onRequest(exchange);
    return exchange;
  }

  /** Malformed: nobody learns more than that. RFC 9113 section 8.1.1. */
  #reset(stream: H2Stream, message: string): void {
    this.#options.onRefused?.(requestMalformed(httpFault(400, message), 0), false);
    stream.reset(H2Code.PROTOCOL_ERROR);
  }

  #refuse(stream: H2Stream, fault: HttpFault, endStream: boolean): void {
    this.#options.onRefused?.(requestMalformed(fault, fault.status), false);
    const { headers, body } = refusalOf(fault);
    const head = { status: fault.status, headers };
    stream.sendHeaders(encodeResponse(head, body.length, { tellsLength: false, date: this.date }), false);
    writeCopy(stream, Buffer.from(body, "latin1"));
    stream.end();
    if (!endStream) stream.resetAfterEnd(H2Code.NO_ERROR);
  }

  /** Streams that run keep the connection. */
  #onIdle(): void {
    if (this.#session.activeStreams > 0) this.#idle.set(this.#options.idleTimeoutMs);
    else this.#session.shutdown();
  }
}
