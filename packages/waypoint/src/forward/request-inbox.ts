/**
 * Receives what the client sends and does, from the first turn of a request to its end: the body goes to whichever attempt
 * is current, and whoever works for the request hears when the client leaves.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { DownstreamExchange, ExchangeEvents } from "../http/message.ts";
import type { RequestRecorder } from "../observe/index.ts";
import type { ReplayMemory } from "../retry/index.ts";
import { RequestBody } from "./request-body.ts";

/** Who answers the request at the moment. */
export interface InboxOwner {
  /** The client has room for more of the answer. */
  onDownstreamDrain(): void;
  /** The client's message is complete. */
  onRequestComplete(trailers: HeaderList): void;
  /** One chunk of the client's body, once; for mirrors. */
  onRequestBytes(chunk: Buffer): void;
  /** The exchange is over; with an error the client left, or was cut. */
  onDownstreamClosed(error: MeshError | undefined): void;
}

/** Of exchanges that ended in order. One for all: without it `abort` makes an exception, with its stack, for each request. */
const OVER = new MeshError(ErrorCode.CANCELLED, "the exchange is over");

export class RequestInbox implements ExchangeEvents {
  readonly body: RequestBody;
  readonly #left = new AbortController();
  readonly #record: RequestRecorder;
  readonly #onOver: (error: MeshError | undefined) => void;
  #owner: InboxOwner | undefined;

  /** @param onOver  exactly once, after the owner heard of it */
  constructor(
    exchange: DownstreamExchange,
    record: RequestRecorder,
    memory: ReplayMemory,
    onOver: (error: MeshError | undefined) => void,
  ) {
    this.#record = record;
    this.#onOver = onOver;
    this.body = new RequestBody(
      {
        consume: (bytes) => exchange.consume(bytes),
        onBytes: (chunk) => this.#onBytes(chunk),
        onComplete: (trailers) => this.#owner?.onRequestComplete(trailers),
      },
      memory,
    );
  }

  /** Aborted when the client leaves. */
  get signal(): AbortSignal {
    return this.#left.signal;
  }

  handTo(owner: InboxOwner): void {
    this.#owner = owner;
  }

  onData(chunk: Buffer): void {
    this.body.onData(chunk);
  }

  onEnd(trailers: HeaderList): void {
    this.body.onEnd(trailers);
  }

  onDrain(): void {
    this.#owner?.onDownstreamDrain();
  }

  onClose(error: MeshError | undefined): void {
    this.#left.abort(error ?? OVER);
    this.#owner?.onDownstreamClosed(error);
    this.body.discard();
    this.#onOver(error);
  }

  #onBytes(chunk: Buffer): void {
    this.#record.requestData(chunk);
    this.#owner?.onRequestBytes(chunk);
  }
}
