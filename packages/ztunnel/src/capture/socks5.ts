/** Explicit capture: the application says by SOCKS5 where it wants to go. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { TcpConnection, TcpOwner } from "../deliver/index.ts";
import {
  greetingReply,
  parseGreeting,
  parseRequest,
  requestReply,
  SocksReply,
  type SocksTarget,
} from "./socks5-codec.ts";

export interface SocksRequest {
  readonly target: SocksTarget;
  /** Bytes of the application that came with the request. */
  readonly early: Buffer;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_HANDSHAKE_BYTES = 64 * 1024;

/**
 * Reads the request; the connection is paused afterwards and owned by the caller, who answers with `replySocks` once
 * the upstream is connected. Rejects with DOWNSTREAM_RESET after closing the connection.
 *
 * Differs: ztunnel answers before it connects, so applications cannot tell a refused connection from a lost one.
 */
export function readSocksRequest(tcp: TcpConnection, clock: Clock): Promise<SocksRequest> {
  return new Promise((resolve, reject) => tcp.start(new SocksHandshake(tcp, clock, resolve, reject)));
}

export function replySocks(tcp: TcpConnection, code: number): void {
  tcp.write(requestReply(code));
}

class SocksHandshake implements TcpOwner {
  private readonly tcp: TcpConnection;
  private readonly resolve: (request: SocksRequest) => void;
  private readonly reject: (error: MeshError) => void;
  private readonly cancelTimer: () => void;
  private pending: Buffer = Buffer.alloc(0);
  private greeted = false;
  private over = false;

  constructor(
    tcp: TcpConnection,
    clock: Clock,
    resolve: (request: SocksRequest) => void,
    reject: (error: MeshError) => void,
  ) {
    this.tcp = tcp;
    this.resolve = resolve;
    this.reject = reject;
    this.cancelTimer = clock.after(HANDSHAKE_TIMEOUT_MS, () => this.fail("no SOCKS request in time"));
  }

  onBytes(bytes: Buffer): boolean {
    if (this.over) return false;
    this.pending = Buffer.concat([this.pending, bytes]);
    if (!this.greeted) this.greet();
    if (this.greeted && !this.over) this.readTarget();
    if (this.pending.length > MAX_HANDSHAKE_BYTES) this.fail("SOCKS request too long");
    return !this.over;
  }

  private greet(): void {
    const greeting = parseGreeting(this.pending);
    if (greeting.kind === "malformed") this.fail(greeting.message);
    if (greeting.kind !== "complete") return;
    this.tcp.write(greetingReply(greeting.value.acceptable));
    if (!greeting.value.acceptable) {
      this.fail("SOCKS client insists on authentication");
      return;
    }
    this.greeted = true;
    this.pending = this.pending.subarray(greeting.used);
  }

  private readTarget(): void {
    const request = parseRequest(this.pending);
    if (request.kind === "malformed") {
      replySocks(this.tcp, SocksReply.commandNotSupported);
      this.fail(request.message);
    }
    if (request.kind !== "complete") return;
    this.over = true;
    this.cancelTimer();
    this.resolve({ target: request.value, early: this.pending.subarray(request.used) });
  }

  onEof(): void {
    this.fail("SOCKS client closed the connection");
  }
  onDrain(): void {}
  onFailure(error: Error): void {
    this.fail(error.message);
  }
  onClosed(): void {
    this.fail("SOCKS client closed the connection");
  }

  private fail(message: string): void {
    if (this.over) return;
    this.over = true;
    this.cancelTimer();
    this.tcp.endAndClose();
    this.reject(new MeshError(ErrorCode.DOWNSTREAM_RESET, message, { origin: "downstream" }));
  }
}
