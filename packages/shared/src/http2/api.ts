/** The narrow face of the HTTP/2 engine. Everything above it (HBONE, tests, a later waypoint) sees only this. */
import type { Duplex } from "node:stream";
import type { MeshError } from "../errors/index.ts";
import type { Clock } from "../time/index.ts";

/** Header fields in wire order, names in lower case; pseudo-headers first. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface H2Options {
  /** SETTINGS_INITIAL_WINDOW_SIZE we advertise, bytes. HBONE: 4 MiB. */
  readonly streamWindowBytes: number;
  /** Window of the whole connection, bytes, granted by WINDOW_UPDATE after the preface. HBONE: 16 MiB. */
  readonly connectionWindowBytes: number;
  /** SETTINGS_MAX_FRAME_SIZE we advertise, bytes. HBONE: 1 MiB. */
  readonly maxFrameBytes: number;
  /** SETTINGS_MAX_CONCURRENT_STREAMS we advertise (server). HBONE: 200. */
  readonly maxConcurrentStreams: number;
  /** Largest decoded header list accepted, bytes (name + value + 32 each, RFC 9113 6.5.2). */
  readonly maxHeaderListBytes: number;
  /** A PING is sent after this long without any received frame. 0 = never. */
  readonly pingIntervalMs: number;
  /** Without a PONG for this long the session is destroyed (H2_SESSION_UNRESPONSIVE). */
  readonly pingTimeoutMs: number;
  /** Preface and first SETTINGS must arrive within this long. */
  readonly prefaceTimeoutMs: number;
  readonly flood: FloodLimits;
  /** Server: extended CONNECT (`:protocol`) is announced and accepted. RFC 8441. Off unless true. */
  readonly enablesConnectProtocol?: boolean;
  /** For tests; the system's clock otherwise. */
  readonly clock?: Clock;
}

/** Caps on frames that cost us work and the peer nothing; exceeding one ends the session with ENHANCE_YOUR_CALM. */
export interface FloodLimits {
  /** Streams the peer opened and reset, per `windowMs` (rapid reset). */
  readonly resets: number;
  /** SETTINGS, PING, PRIORITY, unknown and empty DATA frames, stray WINDOW_UPDATEs, per `windowMs`. */
  readonly controlFrames: number;
  /** CONTINUATION frames in one header block. */
  readonly continuations: number;
  /** DATA frames under 64 bytes beyond the first few, counted per stream and `windowMs`: the 1-byte dribble. */
  readonly tinyDataFrames: number;
  readonly windowMs: number;
}

/** What a stream tells its owner. Called synchronously from the transport's read; a throw resets only that stream. */
export interface H2StreamHandlers {
  /** Response headers (client) or trailers. */
  onHeaders(headers: HeaderList, endStream: boolean): void;
  /** Client: a 1xx response head; without this handler they are only counted. */
  onInformational?(headers: HeaderList): void;
  /** A view of the read buffer, valid only during the call. Credit is returned only by `consume`. */
  onData(chunk: Buffer): void;
  /** The peer ended its direction. */
  onEnd(): void;
  /** The whole queue of this stream went to the transport and more may be written. */
  onDrain(): void;
  /** The stream is over in both directions or was cut; exactly once, and the last call. `undefined` = clean. */
  onClose(error: MeshError | undefined): void;
}

export interface H2Stream {
  readonly id: number;
  /** Server: response headers. Throws nothing on a closed stream; it is then a no-op. */
  sendHeaders(headers: HeaderList, endStream: boolean): void;
  /**
   * Queues `frame`, whose first `FRAME_HEADER_BYTES` bytes are free for the frame header and whose rest is payload,
   * so that header and payload leave in one TLS record without a copy. The engine owns the buffer afterwards.
   * Payloads larger than the peer's frame size are cut; flow control is obeyed here, never by the caller.
   * @returns false when the caller should wait for `onDrain` (queued bytes are over the high-water mark)
   */
  writeFramed(frame: Buffer): boolean;
  /** END_STREAM after everything queued. */
  end(): void;
  /** RST_STREAM with an HTTP/2 error code (0..13); anything queued is dropped. */
  reset(code: number): void;
  /**
   * Once END_STREAM has gone out behind everything queued, a peer that has not ended its direction gets RST_STREAM with
   * `code`: a response that is complete before its request. Spec: RFC 9113 section 8.1 (NO_ERROR).
   */
  resetAfterEnd(code: number): void;
  /** Returns flow-control credit for bytes the owner has passed on. */
  consume(bytes: number): void;
  readonly queuedBytes: number;
}

export interface H2SessionHandlers {
  /** Server only: a request arrived. Must return the stream's handlers synchronously. */
  onRequest?(stream: H2Stream, headers: HeaderList, endStream: boolean): H2StreamHandlers;
  /**
   * Server: a request that was reset before `onRequest`, because it is malformed or more than is allowed;
   * `context.h2Code` is what the peer was told. Not those that GOAWAY leaves to another session.
   */
  onRefused?(error: MeshError): void;
  /** The peer will take no new streams; those above `lastStreamId` were never processed (closed as H2_STREAM_REFUSED, retry safe). */
  onGoaway?(lastStreamId: number, code: number): void;
  /** The peer's SETTINGS arrived or changed. */
  onSettings?(): void;
  /** Room for another stream appeared (a stream ended or the limit rose). */
  onCapacity?(): void;
  /** The session is over; every stream has had its onClose. `undefined` = clean. */
  onClose(error: MeshError | undefined): void;
}

export interface H2Session {
  /** Client: opens a stream. Throws MeshError (H2_SESSION_CLOSED, retry safe) when no new stream is possible. */
  request(headers: HeaderList, endStream: boolean, handlers: H2StreamHandlers): H2Stream;
  readonly activeStreams: number;
  /** min(peer's SETTINGS_MAX_CONCURRENT_STREAMS, our own cap); rises and falls with SETTINGS. */
  readonly streamLimit: number;
  /** False once GOAWAY was sent or received, or the transport ended. */
  readonly acceptsStreams: boolean;
  readonly remoteStreamsSeen: number;
  /** The peer's first SETTINGS came. */
  readonly settingsSeen: boolean;
  /** The peer takes extended CONNECT. RFC 8441 section 3. */
  readonly peerTakesConnectProtocol: boolean;
  /** Graceful: GOAWAY(2^31-1), PING round trip, final GOAWAY; streams run to their end, then the transport is ended. */
  shutdown(): void;
  /** At once: every stream closes with `error`, GOAWAY with a fitting code is attempted, the transport is destroyed. */
  destroy(error?: MeshError): void;
}

/** Bytes to leave free before the payload in `writeFramed`. */
export const FRAME_HEADER_BYTES = 9;

/** RFC 9113 section 7. */
export const H2Code = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

/** `transport` is a connected TLSSocket (or any Duplex in tests); the session owns it from here. */
export type CreateH2Session = (
  role: "client" | "server",
  transport: Duplex,
  options: H2Options,
  handlers: H2SessionHandlers,
) => H2Session;
