/** Stage 5, HBONE: one TCP connection joined with one tunnel. Bytes, half-closes and resets pass in both directions. */
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { FRAME_HEADER_BYTES, H2Code } from "@ambit/shared/http2";
import type { TunnelOwner, TunnelStream } from "@ambit/shared/tunnel";
import type { Permit } from "../authorize/index.ts";
import type { Relay, RelayEnd, RelayObserver } from "./relay-observer.ts";
import type { TcpConnection, TcpOwner } from "./tcp-connection.ts";

/** On which side of the TCP connection the application that started the conversation is. */
export type TcpRole = "downstream" | "upstream";

/**
 * Joins `tcp` and `tunnel` until both are over; tells `observer` once.
 *
 * Backpressure: towards the tunnel, reading of TCP stops while the stream's queue is over its mark; towards TCP,
 * flow-control credit goes back to the peer only for bytes the socket took without asking to wait. So a slow reader
 * costs at most one stream window.
 */
export class TunnelRelay implements TcpOwner, TunnelOwner, Relay {
  private readonly tcp: TcpConnection;
  private readonly tunnel: TunnelStream;
  private readonly role: TcpRole;
  private readonly observer: RelayObserver;
  private bytesFromTcp = 0;
  private bytesFromTunnel = 0;
  private unconsumed = 0;
  private tcpPaused = false;
  private tcpClosed = false;
  private tunnelClosed = false;
  private end: RelayEnd = {};

  constructor(
    _permit: Permit,
    ends: { readonly tcp: TcpConnection; readonly tunnel: TunnelStream; readonly tcpRole: TcpRole },
    observer: RelayObserver,
  ) {
    this.tcp = ends.tcp;
    this.tunnel = ends.tunnel;
    this.role = ends.tcpRole;
    this.observer = observer;
  }

  /** Begins to copy. `early` are bytes of the application that were read before. */
  start(early?: Buffer): void {
    if (early !== undefined && early.length > 0) {
      this.bytesFromTcp += early.length;
      this.tunnel.write(early);
    }
    this.tcp.start(this);
    this.tunnel.attach(this);
  }

  get bytesFromDownstream(): number {
    return this.role === "downstream" ? this.bytesFromTcp : this.bytesFromTunnel;
  }
  get bytesFromUpstream(): number {
    return this.role === "downstream" ? this.bytesFromTunnel : this.bytesFromTcp;
  }

  /** Cuts the connection at once; both ends see a reset. */
  cut(end: RelayEnd): void {
    this.end = end;
    this.tcp.reset();
    this.tunnel.reset();
  }

  onBytes(bytes: Buffer): boolean {
    this.bytesFromTcp += bytes.length;
    this.tcpPaused = !this.tunnel.write(bytes);
    return !this.tcpPaused;
  }

  onFrame(frame: Buffer): boolean {
    this.bytesFromTcp += frame.length - FRAME_HEADER_BYTES;
    this.tcpPaused = !this.tunnel.writeFramed(frame);
    return !this.tcpPaused;
  }

  onEof(): void {
    this.tunnel.end();
  }

  onDrain(): void {
    const bytes = this.unconsumed;
    if (bytes === 0) return;
    this.unconsumed = 0;
    this.tunnel.consume(bytes);
  }

  onFailure(error: Error): void {
    if (this.end.code === undefined && !this.tunnelClosed) {
      const code = this.role === "downstream" ? ErrorCode.DOWNSTREAM_RESET : ErrorCode.UPSTREAM_RESET;
      this.end = { code, message: error.message };
    }
    this.tunnel.reset();
  }

  onClosed(): void {
    this.tcpClosed = true;
    this.finishWhenOver();
  }

  onTunnelBytes(chunk: Buffer): void {
    this.bytesFromTunnel += chunk.length;
    // After the socket is gone its bytes still count against the whole session: give the credit back and drop them.
    if (this.tcpClosed || this.tcp.writeCopy(chunk)) this.tunnel.consume(chunk.length);
    else this.unconsumed += chunk.length;
  }

  onTunnelEof(): void {
    this.tcp.end();
  }

  onTunnelDrain(): void {
    if (!this.tcpPaused) return;
    this.tcpPaused = false;
    this.tcp.resume();
  }

  onTunnelClosed(error: MeshError | undefined): void {
    this.tunnelClosed = true;
    if (error === undefined || isOrderlyReset(error)) this.tcpOutlivesTunnel(error !== undefined);
    else this.failBecauseOfTunnel(error);
    this.finishWhenOver();
  }

  /** NO_ERROR and CANCEL say "done with you": what was received is delivered, what the application still sends has no taker. */
  private tcpOutlivesTunnel(wasReset: boolean): void {
    if (wasReset && !this.tcpClosed) this.tcp.endAndClose();
  }

  private failBecauseOfTunnel(error: MeshError): void {
    if (this.end.code === undefined) {
      const code = error.code === ErrorCode.H2_STREAM_RESET ? this.resetCode() : error.code;
      this.end = { code, message: error.message };
    }
    if (!this.tcpClosed) this.tcp.reset();
  }

  private resetCode(): ErrorCode {
    return this.role === "downstream" ? ErrorCode.UPSTREAM_RESET : ErrorCode.DOWNSTREAM_RESET;
  }

  private finishWhenOver(): void {
    if (this.tcpClosed && this.tunnelClosed) this.observer.relayEnded(this.end);
  }
}

/** RST_STREAM with NO_ERROR or CANCEL is the end of the stream, not a failure. Parity: ztunnel reads both as EOF. */
function isOrderlyReset(error: MeshError): boolean {
  const code = error.context["h2Code"];
  return error.code === ErrorCode.H2_STREAM_RESET && (code === H2Code.NO_ERROR || code === H2Code.CANCEL);
}
