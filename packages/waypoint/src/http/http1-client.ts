/**
 * HTTP/1.1 towards an upstream: one request at a time. A response whose end is in doubt is malformed, and a connection
 * that said anything it was not asked for is never used again: the next answer must belong to the next request.
 *
 * Spec: RFC 9112; RFC 9110 sections 7.8 and 15.2.
 */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError, type RetryVerdict } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { BodyReader, lengthOf } from "./body-reader.ts";
import {
  answeredEarly,
  misuse,
  noRoom,
  ownerThrew,
  responseMalformed,
  unsendableField,
  upstreamGone,
} from "./failures.ts";
import { formatRequest, unsendable } from "./format-head.ts";
import { Http1ClientExchange, type UpstreamHost } from "./http1-client-exchange.ts";
import { Http1Transport, type TransportOwner } from "./http1-transport.ts";
import { closeAbruptly, closeAfterLinger } from "./linger.ts";
import type { BodyLength, OutgoingRequest, UpstreamConnection, UpstreamEvents, UpstreamExchange } from "./message.ts";
import type { ConnectOptions } from "./options.ts";
import { type ParsedResponse, ResponseHeadParser } from "./response-head-parser.ts";
import { missingKey } from "./websocket-key.ts";

/** 1xx heads before the final one. */
const MAX_INFORMATIONAL = 32;
const REQUEST_LINE_PART = /^[\x21-\x7e]+$/;

/**
 * - `idle`: no exchange; the upstream has nothing to say
 * - `head`: a request is out, the response head is awaited or being read
 * - `body`: the response's body is coming
 * - `raw`: upgraded
 * - `closed`: over
 */
type Phase = "idle" | "head" | "body" | "raw" | "closed";

export class Http1ClientConnection implements UpstreamConnection, TransportOwner, UpstreamHost {
  readonly version = "HTTP/1.1";
  readonly transport: Http1Transport;
  readonly #options: ConnectOptions;
  readonly #parser: ResponseHeadParser;
  readonly #body: BodyReader;
  #phase: Phase = "idle";
  #exchange: Http1ClientExchange | undefined;
  #requests = 0;
  #informational = 0;
  #keepAlive = true;
  #rawEnded = false;
  #retireTold = false;

  constructor(duplex: Duplex, options: ConnectOptions) {
    this.#options = options;
    this.transport = new Http1Transport(duplex, this, options.windowBytes);
    this.#parser = new ResponseHeadParser(options);
    this.#body = new BodyReader(options, (bytes) => this.#exchange?.deliver(bytes));
    this.transport.start();
  }

  get active(): number {
    return this.#exchange === undefined ? 0 : 1;
  }

  get hasRoom(): boolean {
    const { duplex } = this.transport;
    const open = !duplex.destroyed && !duplex.writableEnded && !duplex.readableEnded;
    return open && this.#phase === "idle" && this.#keepAlive;
  }

  request(head: OutgoingRequest, bodyLength: BodyLength, events: UpstreamEvents): UpstreamExchange {
    if (!this.hasRoom) throw noRoom("this HTTP/1 connection takes no request now");
    const extra = missingKey(head.upgrade, head.headers);
    const text = requestText(head, bodyLength, extra);
    const exchange = new Http1ClientExchange(this, head, bodyLength, { events, reused: this.#requests > 0 });
    this.#requests++;
    this.#informational = 0;
    this.#exchange = exchange;
    this.#phase = "head";
    this.#parser.reset();
    this.#parser.toHead = head.method === "HEAD";
    this.transport.writer.writeText(text);
    if (exchange.ended) this.transport.writer.flush();
    return exchange;
  }

  drain(): void {
    this.#retire();
    if (this.#phase === "idle") this.#close(undefined);
  }

  destroy(error: MeshError): void {
    if (this.#phase === "closed") return;
    this.#close(error);
  }

  // What the transport tells

  onBytes(chunk: Buffer, at: number): number {
    switch (this.#phase) {
      case "head":
        return this.#readHead(chunk, at);
      case "body":
        return this.#readBody(chunk, at);
      case "raw":
        this.#exchange?.deliver(at === 0 ? chunk : chunk.subarray(at));
        return chunk.length;
      case "idle":
        this.#close(responseMalformed("the upstream sent bytes that no request asked for"));
        return at;
      default:
        return at;
    }
  }

  onFin(): void {}

  onEnd(): void {
    switch (this.#phase) {
      case "idle":
        this.#close(undefined);
        return;
      case "raw":
        this.#rawEnded = true;
        this.#exchange?.deliverEnd([]);
        this.#finishRaw();
        return;
      case "body":
        if (!this.#body.endsWithConnection) break;
        this.#responseRead(true);
        return;
    }
    this.#close(upstreamGone("the upstream closed before its response was complete", this.#retryVerdict()));
  }

  onDrain(): void {
    this.#exchange?.deliverDrain();
  }

  onGone(cause: Error | undefined): void {
    if (this.#phase === "closed") return;
    const reason = cause?.message ?? "closed";
    const idle = this.#phase === "idle" && cause === undefined;
    this.#close(
      idle ? undefined : upstreamGone(`the upstream's connection ended: ${reason}`, this.#retryVerdict(), cause),
    );
  }

  onThrow(thrown: unknown): void {
    this.destroy(ownerThrew(thrown));
  }

  // What the exchange asks

  onRequestEnded(): void {
    if (this.#phase !== "raw") return;
    this.transport.writer.end();
    this.#finishRaw();
  }

  onCut(_exchange: Http1ClientExchange, error: MeshError): void {
    this.#close(error);
  }

  // Reading

  #readHead(chunk: Buffer, at: number): number {
    const next = this.#parser.read(chunk, at);
    const { fault, parsed } = this.#parser;
    if (fault !== undefined) this.#close(responseMalformed(fault.message));
    else if (parsed !== undefined) this.#onHead(parsed, this.transport.waitingBytes > next - at);
    return next;
  }

  #onHead(parsed: ParsedResponse, more: boolean): void {
    const exchange = this.#exchange as Http1ClientExchange;
    if (parsed.head.status === 101) this.#onSwitching(exchange, parsed);
    else if (parsed.head.status < 200) this.#onInformational(exchange, parsed);
    else {
      this.#phase = "body";
      if (!parsed.keepAlive) this.#retire();
      this.#body.begin(parsed.framing);
      exchange.events.onHead(parsed.head, lengthOf(parsed.framing));
      if (this.#phase === "body" && this.#body.done) this.#responseRead(more);
    }
  }

  #onInformational(exchange: Http1ClientExchange, { head }: ParsedResponse): void {
    this.#parser.reset();
    if (++this.#informational > MAX_INFORMATIONAL) this.#close(responseMalformed("too many informational responses"));
    else exchange.events.onInformational(head);
  }

  #onSwitching(exchange: Http1ClientExchange, { head, upgrade }: ParsedResponse): void {
    const agreed = exchange.upgrade !== undefined && upgrade.length === 1 && upgrade[0] === exchange.upgrade;
    if (!agreed) {
      this.#close(responseMalformed("101 to a protocol that was not asked for"));
      return;
    }
    this.#phase = "raw";
    this.#retire();
    exchange.upgraded();
    exchange.events.onUpgraded(head);
  }

  #readBody(chunk: Buffer, at: number): number {
    const next = this.#body.read(chunk, at);
    if (this.#phase !== "body") return next;
    if (this.#body.fault !== undefined) this.#close(responseMalformed(this.#body.fault.message));
    else if (this.#body.done) this.#responseRead(this.transport.waitingBytes > next - at);
    return next;
  }

  /** @param more bytes that belong to no response wait, or the connection ended: it is of no further use */
  #responseRead(more: boolean): void {
    const exchange = this.#exchange as Http1ClientExchange;
    if (more) this.#retire();
    exchange.deliverEnd(this.#body.trailers);
    // The owner may have cut the exchange, or completed its request, while it was told.
    if (this.#phase !== "body") return;
    if (!exchange.ended || !this.#keepAlive) {
      this.#close(exchange.ended ? undefined : answeredEarly("upstream"));
      return;
    }
    this.#phase = "idle";
    this.#exchange = undefined;
    exchange.close(undefined);
    if (this.hasRoom) this.#options.onRoom?.();
  }

  #finishRaw(): void {
    if (this.#rawEnded && this.#exchange?.ended) this.#close(undefined);
  }

  // Ending

  /** Whether the request may be sent again, as far as this connection knows. */
  #retryVerdict(): RetryVerdict {
    return this.#phase === "head" && !this.#parser.started && this.#informational === 0 ? "if-session-reused" : "never";
  }

  /** No further request. */
  #retire(): void {
    this.#keepAlive = false;
    if (this.#retireTold) return;
    this.#retireTold = true;
    this.#options.onRetired?.();
  }

  #close(error: MeshError | undefined): void {
    if (this.#phase === "closed") return;
    const exchange = this.#exchange;
    const gently = error === undefined;
    const raw = this.#phase === "raw";
    this.#phase = "closed";
    this.#exchange = undefined;
    this.#keepAlive = false;
    if (gently) this.transport.writer.end();
    this.transport.stop();
    this.transport.writer.close();
    if (gently) closeAfterLinger(this.transport.duplex, this.#options.clock);
    else if (raw) closeAbruptly(this.transport.duplex, error);
    else this.transport.duplex.destroy();
    exchange?.close(error);
    this.#options.onClose?.(error);
  }
}

/** @throws MeshError when the head cannot be sent as it is meant */
function requestText(head: OutgoingRequest, bodyLength: BodyLength, extra: HeaderList): string {
  const bad = unsendable(head.headers);
  if (bad !== undefined) throw unsendableField(bad);
  const line = [head.method, head.path, head.authority, head.upgrade ?? "-"];
  if (!line.every((part) => REQUEST_LINE_PART.test(part))) {
    throw new MeshError(ErrorCode.REQUEST_MALFORMED, "method, path or authority with a blank or control character");
  }
  if (head.upgrade !== undefined && bodyLength !== 0) throw misuse("an upgrade with a body");
  return formatRequest(head, bodyLength, extra);
}
