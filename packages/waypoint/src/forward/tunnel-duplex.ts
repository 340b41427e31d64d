/**
 * One HBONE stream as a node stream, for the codecs above: the same class at both ends of the waypoint, accepted tunnels
 * and opened ones.
 */
import { Duplex } from "node:stream";
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { H2Code } from "@ambit/shared/http2";
import type { TunnelOwner, TunnelStream } from "@ambit/shared/tunnel";

/** What node buffers for a reader at rest. Its credit is not returned before the reader takes it. */
const READ_BUFFER_BYTES = 64 * 1024;

type Callback = (error?: Error | null) => void;

/**
 * Reading: flow-control credit goes back to the peer only for bytes that somebody took, so a slow reader costs at most
 * one stream window. Writing: `write` is answered once the stream's queue is under its mark.
 *
 * Each side ends on its own (`end` is END_STREAM, END_STREAM is `end`). A reset is `destroy(error)`: what was not yet
 * read is dropped, so nobody can take a cut message for a complete one. Destroying it resets the stream: CONNECT_ERROR
 * with an error, CANCEL without. It closes by itself once both sides ended and everything was read.
 */
export class TunnelDuplex extends Duplex implements TunnelOwner {
  readonly #tunnel: TunnelStream;
  #received = 0;
  #credited = 0;
  #inputEnded = false;
  #tunnelClosed = false;
  /** The peer wants nothing more of us; what is still written is dropped, as by a socket that was shut down. */
  #deaf = false;
  #writeDone: Callback | undefined;

  constructor(tunnel: TunnelStream) {
    // Node would destroy, and so reset, a stream whose last bytes still wait in the queue of the session.
    super({ allowHalfOpen: true, autoDestroy: false, emitClose: true, readableHighWaterMark: READ_BUFFER_BYTES });
    this.#tunnel = tunnel;
    // Whoever uses it listens too; a reset between two owners must not end the process.
    this.on("error", ignore);
    this.once("end", () => this.#closeWhenOver());
    tunnel.attach(this);
  }

  /** The peer has ended its side; what it sent may still wait to be read. */
  get inputEnded(): boolean {
    return this.#inputEnded;
  }

  override read(size?: number): ReturnType<Duplex["read"]> {
    const chunk = super.read(size);
    this.#returnCredit();
    return chunk;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Callback): void {
    if (this.#deaf || this.#tunnelClosed) done();
    else if (this.#tunnel.write(chunk)) done();
    else this.#writeDone = done;
  }

  override _final(done: Callback): void {
    this.#tunnel.end();
    done();
  }

  override _destroy(error: Error | null, done: Callback): void {
    this.#settleWrite(error);
    // Also on a stream that is over: what was not read gives its credit back to the session.
    if (error === null) this.#tunnel.cancel();
    else this.#tunnel.reset();
    done(error);
  }

  onTunnelBytes(chunk: Buffer): void {
    if (this.destroyed) return;
    this.#received += chunk.length;
    this.push(Buffer.from(chunk));
    this.#returnCredit();
  }

  onTunnelEof(): void {
    if (this.#inputEnded || this.destroyed) return;
    this.#inputEnded = true;
    this.push(null);
  }

  onTunnelDrain(): void {
    this.#settleWrite(null);
  }

  onTunnelClosed(error: MeshError | undefined): void {
    this.#tunnelClosed = true;
    if (this.destroyed) return;
    if (error === undefined) this.onTunnelEof();
    else if (this.#inputEnded && isOrderly(error)) this.#deaf = true;
    else {
      this.destroy(error);
      return;
    }
    this.#settleWrite(null);
    this.#closeWhenOver();
  }

  #closeWhenOver(): void {
    if (this.#tunnelClosed && this.readableEnded) this.destroy();
  }

  #returnCredit(): void {
    // Bytes put back (`unshift`) are not taken any more; their credit was returned once and is not again.
    const taken = this.#received - this.readableLength - this.#credited;
    if (taken <= 0) return;
    this.#credited += taken;
    this.#tunnel.consume(taken);
  }

  #settleWrite(error: Error | null): void {
    const done = this.#writeDone;
    this.#writeDone = undefined;
    done?.(error);
  }
}

/** After the end of its own side, "I need no more of yours" is no failure. Spec: RFC 9113 section 8.1. */
function isOrderly(error: MeshError): boolean {
  const code = error.context["h2Code"];
  return error.code === ErrorCode.H2_STREAM_RESET && (code === H2Code.NO_ERROR || code === H2Code.CANCEL);
}

function ignore(): void {}
