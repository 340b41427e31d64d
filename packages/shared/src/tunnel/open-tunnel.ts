/** One CONNECT on a pooled session, answered with 200. */
import { ErrorCode, MeshError } from "../errors/index.ts";
import { type Baggage, parseConnectResponse } from "../hbone/index.ts";
import { H2Code, type HeaderList } from "../http2/index.ts";
import type { Clock } from "../time/index.ts";
import type { PeerIdentity } from "../tls/index.ts";
import type { HbonePool, PooledSession } from "./hbone-pool.ts";
import type { TunnelRoute } from "./pool-key.ts";
import { TunnelStream } from "./tunnel-stream.ts";

export interface OpenTunnel {
  readonly stream: TunnelStream;
  /** What the other end says of the destination; telemetry only. */
  readonly baggage: Baggage;
  readonly peer: PeerIdentity;
}

export interface OpenTunnelInit<Route extends TunnelRoute, Permit> {
  readonly pool: HbonePool<Route, Permit>;
  readonly clock: Clock;
  readonly route: Route;
  readonly headers: HeaderList;
  readonly responseTimeoutMs: number;
  /** Nobody waits any more: rejects with CANCELLED, and a CONNECT that was sent is cancelled. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a tunnel, for whoever has the permit that the pool asks for. Rejects as `DialSession` does, and with HBONE_CONNECT_REFUSED (`context.status`),
 * HBONE_CONNECT_TIMEOUT or H2_*. No byte of the application was sent then.
 *
 * One that failed because the session was going away (GOAWAY, REFUSED_STREAM, a stale connection) is tried once more on
 * a new session. Differs: ztunnel fails the user's connection.
 */
export async function openTunnel<Route extends TunnelRoute, Permit>(
  permit: NoInfer<Permit>,
  init: OpenTunnelInit<Route, Permit>,
): Promise<OpenTunnel> {
  const attempt = { reused: false };
  try {
    return await tryOnce(permit, init, attempt);
  } catch (error) {
    if (!worthAnotherSession(error, attempt.reused)) throw error;
    return await tryOnce(permit, init, attempt, true);
  }
}

function worthAnotherSession(error: unknown, reused: boolean): boolean {
  if (!(error instanceof MeshError)) return false;
  const ofSession = error.code === ErrorCode.H2_STREAM_REFUSED || error.code === ErrorCode.H2_SESSION_CLOSED;
  if (ofSession && error.retry === "safe") return true;
  return reused && error.retry !== "never" && (ofSession || error.code === ErrorCode.H2_SESSION_UNRESPONSIVE);
}

async function tryOnce<Route extends TunnelRoute, Permit>(
  permit: Permit,
  init: OpenTunnelInit<Route, Permit>,
  attempt: { reused: boolean },
  fresh = false,
): Promise<OpenTunnel> {
  const pending = await init.pool.acquire(
    permit,
    init.route,
    (pooled) => {
      if (init.signal?.aborted === true) throw cancelled();
      attempt.reused = pooled.opened > 0;
      return new PendingConnect(pooled, init);
    },
    fresh,
  );
  return pending.result;
}

type ConnectInit = Pick<OpenTunnelInit<TunnelRoute, never>, "clock" | "headers" | "responseTimeoutMs" | "signal">;

/** From HEADERS sent to the answer. */
class PendingConnect {
  readonly result: Promise<OpenTunnel>;
  private readonly tunnel: TunnelStream;
  private readonly pooled: PooledSession;
  private readonly leave: () => void;
  private resolve!: (open: OpenTunnel) => void;
  private reject!: (error: MeshError) => void;

  constructor(pooled: PooledSession, init: ConnectInit) {
    this.pooled = pooled;
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.tunnel = new TunnelStream(
      (headers) => this.onAnswer(headers),
      (error) => this.onClosed(error),
    );
    this.tunnel.stream = pooled.session.request(init.headers, false, this.tunnel);
    const cancelTimer = init.clock.after(init.responseTimeoutMs, () => this.onTimeout(init.responseTimeoutMs));
    const onAbort = (): void => this.giveUp(cancelled());
    init.signal?.addEventListener("abort", onAbort, { once: true });
    this.leave = () => {
      cancelTimer();
      init.signal?.removeEventListener("abort", onAbort);
    };
  }

  private onAnswer(headers: HeaderList): void {
    const { status, baggage } = parseConnectResponse(headers);
    // Informational answers announce the real one; trailers come after it, and settling twice does nothing.
    if (status >= 100 && status < 200) return;
    this.leave();
    if (status === 200) {
      this.resolve({ stream: this.tunnel, baggage, peer: this.pooled.peer });
      return;
    }
    this.reject(refused(status));
    this.tunnel.stream.reset(H2Code.CANCEL);
  }

  private onClosed(error: MeshError | undefined): void {
    this.leave();
    const ended = "the peer ended the stream without an answer";
    this.reject(error ?? new MeshError(ErrorCode.H2_STREAM_RESET, ended, { origin: "upstream" }));
  }

  private onTimeout(timeoutMs: number): void {
    const message = `no answer to CONNECT within ${timeoutMs} ms`;
    this.giveUp(new MeshError(ErrorCode.HBONE_CONNECT_TIMEOUT, message, { origin: "upstream", retry: "safe" }));
  }

  private giveUp(error: MeshError): void {
    this.reject(error);
    this.tunnel.stream.reset(H2Code.CANCEL);
  }
}

function cancelled(): MeshError {
  return new MeshError(ErrorCode.CANCELLED, "nobody waits for the tunnel any more");
}

function refused(status: number): MeshError {
  const reasons: Record<number, string> = {
    400: "the destination proxy does not accept this address",
    401: "the destination's policy does not allow it",
    503: "the destination proxy could not reach the application",
  };
  const message = `CONNECT was answered with ${status}: ${reasons[status] ?? "unexpected status"}`;
  return new MeshError(ErrorCode.HBONE_CONNECT_REFUSED, message, {
    origin: "upstream",
    retry: status === 503 ? "safe" : "never",
    context: { status },
  });
}
