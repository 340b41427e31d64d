/**
 * The data phase of one HBONE stream, between the HTTP/2 engine and a relay. Bytes that arrive before a relay is
 * attached are kept and not consumed, so the stream's flow-control window bounds them and nothing reaches an
 * application before it was authorised.
 */
import type { MeshError } from "../errors/index.ts";
import {
  FRAME_HEADER_BYTES,
  H2Code,
  type H2Stream,
  type H2StreamHandlers,
  type HeaderList,
  takeFrame,
} from "../http2/index.ts";

/** Who receives a tunnel's bytes. Methods are called synchronously and must not throw. */
export interface TunnelOwner {
  /** `chunk` is valid only during the call; its credit is returned by `consume`. */
  onTunnelBytes(chunk: Buffer): void;
  onTunnelEof(): void;
  onTunnelDrain(): void;
  /** `undefined` = both directions ended in order. Exactly once, and the last call. */
  onTunnelClosed(error: MeshError | undefined): void;
}

export class TunnelStream implements H2StreamHandlers {
  /** Set by whoever opened or accepted the stream, before any event. */
  stream!: H2Stream;
  private owner: TunnelOwner | undefined;
  private early: Buffer[] = [];
  private eof = false;
  private closed = false;
  private failure: MeshError | undefined;
  /** Client: the response. Server: nobody expects headers after the request (trailers are ignored). */
  private headersListener: ((headers: HeaderList, endStream: boolean) => void) | undefined;
  private closeListener: ((error: MeshError | undefined) => void) | undefined;

  constructor(
    onHeaders?: (headers: HeaderList, endStream: boolean) => void,
    onClose?: (error: MeshError | undefined) => void,
  ) {
    this.headersListener = onHeaders;
    this.closeListener = onClose;
  }

  /** Delivers what came early, then everything as it comes. */
  attach(owner: TunnelOwner): void {
    this.owner = owner;
    this.headersListener = undefined;
    this.closeListener = undefined;
    const early = this.early;
    this.early = [];
    for (const chunk of early) owner.onTunnelBytes(chunk);
    if (this.eof) owner.onTunnelEof();
    if (this.closed) owner.onTunnelClosed(this.failure);
  }

  /** Copies `bytes` behind room for the frame header and queues them. @returns false = wait for `onTunnelDrain` */
  write(bytes: Buffer): boolean {
    const frame = takeFrame(bytes.length);
    bytes.copy(frame, FRAME_HEADER_BYTES);
    return this.stream.writeFramed(frame);
  }

  /** Queues a frame with room for its header; it is the stream's from now on. @returns false = wait for `onTunnelDrain` */
  writeFramed(frame: Buffer): boolean {
    return this.stream.writeFramed(frame);
  }

  end(): void {
    this.stream.end();
  }

  consume(bytes: number): void {
    this.stream.consume(bytes);
  }

  /**
   * Tells the peer that our TCP connection failed.
   * Spec: RFC 9113 section 8.5 (CONNECT_ERROR). Differs: ztunnel ends the stream as if it were complete.
   */
  reset(): void {
    this.stream.reset(H2Code.CONNECT_ERROR);
  }

  /** Nobody needs the stream any more. */
  cancel(): void {
    this.stream.reset(H2Code.CANCEL);
  }

  get isClosed(): boolean {
    return this.closed;
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.headersListener?.(headers, endStream);
  }

  onData(chunk: Buffer): void {
    if (this.owner === undefined) this.early.push(Buffer.from(chunk));
    else this.owner.onTunnelBytes(chunk);
  }

  onEnd(): void {
    this.eof = true;
    this.owner?.onTunnelEof();
  }

  onDrain(): void {
    this.owner?.onTunnelDrain();
  }

  onClose(error: MeshError | undefined): void {
    this.closed = true;
    this.failure = error;
    this.closeListener?.(error);
    this.owner?.onTunnelClosed(error);
  }
}
