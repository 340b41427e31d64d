/** Stage 5, plaintext: two TCP connections joined. Bytes, half-closes and resets pass in both directions. */
import { ErrorCode } from "@ambit/shared/errors";
import { FRAME_HEADER_BYTES } from "@ambit/shared/http2";
import type { Permit } from "../authorize/index.ts";
import type { RelayEnd, RelayObserver } from "./relay-observer.ts";
import type { TcpConnection, TcpOwner } from "./tcp-connection.ts";

/** One of the two directions: reads its own connection and writes the other one. */
class Side implements TcpOwner {
  readonly tcp: TcpConnection;
  readonly relay: TcpRelay;
  other!: Side;
  bytesRead = 0;
  closed = false;
  private paused = false;

  constructor(relay: TcpRelay, tcp: TcpConnection) {
    this.relay = relay;
    this.tcp = tcp;
  }

  onBytes(bytes: Buffer): boolean {
    this.bytesRead += bytes.length;
    this.paused = !this.other.tcp.writeCopy(bytes);
    return !this.paused;
  }

  onFrame(frame: Buffer): boolean {
    this.bytesRead += frame.length - FRAME_HEADER_BYTES;
    this.paused = !this.other.tcp.writeFrame(frame);
    return !this.paused;
  }

  onEof(): void {
    this.other.tcp.end();
  }

  onDrain(): void {
    this.other.continueReading();
  }

  private continueReading(): void {
    if (!this.paused) return;
    this.paused = false;
    this.tcp.resume();
  }

  onFailure(error: Error): void {
    this.relay.failed(this, error);
  }

  onClosed(): void {
    this.closed = true;
    this.relay.sideClosed();
  }
}

/**
 * Joins `downstream` and `upstream` until both are over; tells `observer` once.
 * Each side closes by itself after both of its directions ended: a side that closed never closes the other, or bytes
 * still queued there would be lost.
 */
export class TcpRelay {
  private readonly downstream: Side;
  private readonly upstream: Side;
  private readonly observer: RelayObserver;
  private end: RelayEnd = {};
  private finished = false;

  constructor(_permit: Permit, downstream: TcpConnection, upstream: TcpConnection, observer: RelayObserver) {
    this.observer = observer;
    this.downstream = new Side(this, downstream);
    this.upstream = new Side(this, upstream);
    this.downstream.other = this.upstream;
    this.upstream.other = this.downstream;
  }

  /** Begins to copy. `early` are bytes of the application that were read before. */
  start(early?: Buffer): void {
    if (early !== undefined && early.length > 0) {
      this.downstream.bytesRead += early.length;
      this.upstream.tcp.write(early);
    }
    this.downstream.tcp.start(this.downstream);
    this.upstream.tcp.start(this.upstream);
  }

  /** Bytes the client side sent and received so far. */
  get bytesFromDownstream(): number {
    return this.downstream.bytesRead;
  }
  get bytesFromUpstream(): number {
    return this.upstream.bytesRead;
  }

  /** Cuts the connection at once; both ends see a reset. */
  cut(end: RelayEnd): void {
    this.end = end;
    this.downstream.tcp.reset();
    this.upstream.tcp.reset();
  }

  /** @internal */
  failed(side: Side, error: Error): void {
    if (this.end.code === undefined) {
      const code = side === this.downstream ? ErrorCode.DOWNSTREAM_RESET : ErrorCode.UPSTREAM_RESET;
      this.end = { code, message: error.message };
    }
    side.other.tcp.reset();
  }

  /** @internal */
  sideClosed(): void {
    if (this.finished || !this.downstream.closed || !this.upstream.closed) return;
    this.finished = true;
    this.observer.relayEnded(this.end);
  }
}
