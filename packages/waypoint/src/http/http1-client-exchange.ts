/** One request on an HTTP/1 upstream connection. What concerns the connection is asked of its host. */
import type { MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { lastChunk } from "./chunked.ts";
import { misuse, unsendableField } from "./failures.ts";
import { unsendable } from "./format-head.ts";
import type { Http1Transport } from "./http1-transport.ts";
import type { BodyLength, OutgoingRequest, UpstreamEvents, UpstreamExchange } from "./message.ts";
import { allowedTrailers } from "./trailers.ts";

/** The connection, as its exchange sees it. */
export interface UpstreamHost {
  readonly transport: Http1Transport;
  /** Our side of the message is complete. */
  onRequestEnded(exchange: Http1ClientExchange): void;
  /** The exchange was cut by its owner: the connection cannot go on. */
  onCut(exchange: Http1ClientExchange, error: MeshError): void;
}

export class Http1ClientExchange implements UpstreamExchange {
  readonly reused: boolean;
  readonly events: UpstreamEvents;
  readonly method: string;
  /** Lower case; the protocol that was asked for. */
  readonly upgrade: string | undefined;
  readonly #host: UpstreamHost;
  readonly #chunked: boolean;
  #left: number;
  #unconsumed = 0;
  #wantsDrain = false;
  #over = false;
  /** Our side is complete. */
  ended: boolean;
  raw = false;

  constructor(
    host: UpstreamHost,
    head: OutgoingRequest,
    bodyLength: BodyLength,
    init: { readonly events: UpstreamEvents; readonly reused: boolean },
  ) {
    this.#host = host;
    this.events = init.events;
    this.reused = init.reused;
    this.method = head.method;
    this.upgrade = head.upgrade;
    this.#chunked = bodyLength === undefined && head.upgrade === undefined;
    this.#left = bodyLength ?? 0;
    // Without a body the head is the whole message; an upgrade that is refused was complete with its head.
    this.ended = head.upgrade !== undefined || bodyLength === 0;
  }

  get over(): boolean {
    return this.#over;
  }

  write(bytes: Buffer): boolean {
    if (this.#over || this.ended) return true;
    const { writer } = this.#host.transport;
    if (this.#chunked && !this.raw) writer.writeChunk(bytes);
    else {
      if (!this.raw && bytes.length > this.#left) {
        this.abort(misuse("a request longer than its head says"));
        return true;
      }
      this.#left -= bytes.length;
      writer.writeBytes(bytes);
    }
    this.#wantsDrain = !writer.hasRoom;
    return !this.#wantsDrain;
  }

  end(trailers: HeaderList = []): void {
    if (this.#over || this.ended) return;
    const chunked = this.#chunked && !this.raw;
    const allowed = chunked ? allowedTrailers(trailers) : [];
    const bad = unsendable(allowed);
    if (bad !== undefined || (!this.raw && !chunked && this.#left > 0)) {
      this.abort(bad === undefined ? misuse("a request shorter than its head says") : unsendableField(bad));
      return;
    }
    this.ended = true;
    const { writer } = this.#host.transport;
    if (chunked) writer.writeText(lastChunk(allowed));
    writer.flush();
    this.#host.onRequestEnded(this);
  }

  consume(bytes: number): void {
    const consumed = Math.min(bytes, this.#unconsumed);
    this.#unconsumed -= consumed;
    if (consumed > 0) this.#host.transport.consumed(consumed);
  }

  abort(error: MeshError): void {
    if (!this.#over) this.#host.onCut(this, error);
  }

  /** From here plain bytes go both ways. */
  upgraded(): void {
    this.raw = true;
    this.ended = false;
  }

  deliver(bytes: Buffer): void {
    if (this.#over) return;
    this.#unconsumed += bytes.length;
    this.#host.transport.handedOn(bytes.length);
    this.events.onData(bytes);
  }

  deliverEnd(trailers: HeaderList): void {
    if (!this.#over) this.events.onEnd(trailers);
  }

  deliverDrain(): void {
    if (this.#over || !this.#wantsDrain || !this.#host.transport.writer.hasRoom) return;
    this.#wantsDrain = false;
    this.events.onDrain();
  }

  /** The last word; what the owner still holds counts as consumed. */
  close(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#host.transport.consumed(this.#unconsumed);
    this.#unconsumed = 0;
    this.events.onClose(error);
  }
}
