/**
 * The one form in which every stage after `http/` sees an HTTP exchange, whatever version it came in or goes out by.
 * The codecs of this folder make it and write it; nobody else reads bytes off the wire.
 */
import type { MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";

export type HttpVersion = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

/**
 * A request as it arrived, already checked against the rules of its version (RFC 9112, RFC 9113): framing is
 * unambiguous, `authority` and `path` are well-formed, no header name or value can split a message.
 */
export interface RequestHead {
  readonly version: HttpVersion;
  /** A token, in the case it came. */
  readonly method: string;
  /** `:scheme`, or "http" for HTTP/1. */
  readonly scheme: string;
  /** `:authority`, or Host, or the authority of an absolute-form target; as it came, never with user information. */
  readonly authority: string;
  /** Path and query as they came: starts with "/", or is "*" for OPTIONS. No fragment. */
  readonly path: string;
  /**
   * Names in lower case, in order, repeated fields apart. Without pseudo-headers, Host, and everything that belongs to
   * one connection only (RFC 9110 section 7.6.1): framing is the codec's. `te: trailers` stays. `content-length` stays as
   * information; what is sent follows the `bodyLength` given with the head (and this field only to HEAD and in a 304).
   */
  readonly headers: HeaderList;
  /** The protocol an upgrade asks for, lower case: HTTP/1.1 `Upgrade`, or `:protocol` of an extended CONNECT. */
  readonly upgrade?: string;
  /** The sender waits for 100 before it sends the body. */
  readonly expectsContinue: boolean;
}

/** A response head; the same rules for `headers`. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: HeaderList;
}

/** How long a body is, as far as its head says. `undefined`: it ends when it ends. 0: there is none. */
export type BodyLength = number | undefined;

/** Receives one direction's body. Methods are called synchronously and must not throw. */
export interface BodyReceiver {
  /**
   * `chunk` is valid only during the call: copy what must outlive it. It holds flow-control credit until
   * `consume(chunk.length)` of the side it came from.
   */
  onData(chunk: Buffer): void;
  /**
   * The message is complete; trailers are empty when there were none. Where an upgrade was asked for it comes only after
   * the upgrade was accepted, and is then the end of the peer's bytes.
   */
  onEnd(trailers: HeaderList): void;
}

/** The part of an exchange that both sides have. */
export interface ExchangeIo {
  /**
   * Queues body bytes; they are copied or sent before the call returns, so the caller keeps the buffer.
   * @returns false: wait for `onDrain` before writing more (more than 1 MiB would be queued otherwise)
   */
  write(bytes: Buffer): boolean;
  /** Completes our direction of the message. Trailers that the version or the framing cannot carry are dropped. */
  end(trailers?: HeaderList): void;
  /** Gives back credit for body bytes received. */
  consume(bytes: number): void;
  /**
   * Cuts the exchange so that nobody can take what was sent for complete: RST_STREAM, or closing the connection.
   * A no-op when it is over.
   */
  abort(error: MeshError): void;
}

/** What an exchange tells its owner beyond bodies. */
export interface ExchangeEvents extends BodyReceiver {
  onDrain(): void;
  /**
   * Over in both directions, or cut. Exactly once, and the last call; `undefined` = both messages are complete. When the
   * response was complete and its request was not, the rest of the request is given up: CANCELLED.
   */
  onClose(error: MeshError | undefined): void;
}

/**
 * A request that a downstream made and that we answer. Body bytes that come before `receive` wait, unconsumed, in the
 * codec (bounded by its window), so nothing of a body passes a stage that has not yet decided.
 */
export interface DownstreamExchange extends ExchangeIo {
  readonly head: RequestHead;
  readonly bodyLength: BodyLength;
  /** Starts the flow of events. Called once, in the turn of `onRequest` or later. */
  receive(events: ExchangeEvents): void;
  /** 1xx except 101; dropped towards HTTP/1.0. */
  sendInformational(head: ResponseHead): void;
  /**
   * The final head. `bodyLength` 0 means that no body follows (the exchange still wants `end`). `connection: close` among
   * its fields ends an HTTP/1 connection after it.
   */
  sendHead(head: ResponseHead, bodyLength: BodyLength): void;
  /**
   * 101, or 200 to an extended CONNECT: from here both directions are plain bytes, `end` is a half-close.
   * @param head  of the upstream's answer; its status is ignored
   */
  acceptUpgrade(head: ResponseHead): void;
}

/** A request that we made. */
export interface UpstreamExchange extends ExchangeIo {
  /** Whether this connection carried an exchange before: a failure may then only mean that it was stale. */
  readonly reused: boolean;
}

export interface UpstreamEvents extends ExchangeEvents {
  onInformational(head: ResponseHead): void;
  onHead(head: ResponseHead, bodyLength: BodyLength): void;
  /** The upstream agreed to the upgrade asked for; from here both directions are plain bytes. */
  onUpgraded(head: ResponseHead): void;
}

/** What to send upstream: `RequestHead` without what only an arriving request has. */
export type OutgoingRequest = Pick<RequestHead, "method" | "scheme" | "authority" | "path" | "headers" | "upgrade">;

/** One upstream HTTP connection. It owns its transport. */
export interface UpstreamConnection {
  readonly version: "HTTP/1.1" | "HTTP/2";
  /** Requests under way. */
  readonly active: number;
  /** Whether `request` would be taken now: HTTP/1 one at a time, HTTP/2 up to the peer's limit, none after GOAWAY. */
  readonly hasRoom: boolean;
  /**
   * Sends a request head. Throws MeshError (retry "safe") when there is no room.
   * @param bodyLength  0: no body follows; undefined: chunked, or until END_STREAM
   */
  request(head: OutgoingRequest, bodyLength: BodyLength, events: UpstreamEvents): UpstreamExchange;
  /** Lets what runs finish, then closes. */
  drain(): void;
  destroy(error: MeshError): void;
}

/** Serves HTTP on one downstream byte stream. */
export interface DownstreamConnection {
  /** No new requests: GOAWAY, or `connection: close` on the next answer; closes when nothing runs. */
  drain(): void;
  destroy(error: MeshError): void;
}
