/** A TCP connection of the waypoint's own. */
import { connect, type Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress, isIpv4, type SocketAddress } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";

export interface TcpConnect {
  readonly target: SocketAddress;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** First TCP keepalive probe. Parity: ztunnel KEEPALIVE_TIME. */
const KEEPALIVE_MS = 180_000;

/**
 * Rejects with UPSTREAM_CONNECT_FAILED, UPSTREAM_CONNECT_TIMEOUT (both retry safe) or CANCELLED. The socket does not read
 * yet, allows half-open, and has an error handler of its own besides its owner's.
 */
export function connectTcp({ target, timeoutMs, clock, signal }: TcpConnect): Promise<Socket> {
  const where = formatSocketAddress(target);
  const failed = (code: ErrorCode, message: string, cause?: unknown): MeshError =>
    new MeshError(code, message, { origin: "upstream", retry: "safe", ...(cause === undefined ? {} : { cause }) });
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(cancelled(where));
      return;
    }
    const family = isIpv4(target.ip) ? 4 : 6;
    const socket = connect({ host: target.ip, port: target.port, family, allowHalfOpen: true, noDelay: true });
    socket.on("error", ignore);
    const leave = (): void => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("close", onClose);
    };
    const fail = (error: MeshError): void => {
      leave();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(cancelled(where));
    const onError = (error: Error): void =>
      fail(failed(ErrorCode.UPSTREAM_CONNECT_FAILED, `cannot connect to ${where}: ${error.message}`, error));
    const onClose = (): void => fail(failed(ErrorCode.UPSTREAM_CONNECT_FAILED, `cannot connect to ${where}: closed`));
    const cancelTimer = clock.after(timeoutMs, () =>
      fail(failed(ErrorCode.UPSTREAM_CONNECT_TIMEOUT, `no answer from ${where} within ${timeoutMs} ms`)),
    );
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError).on("close", onClose);
    socket.once("connect", () => {
      leave();
      socket.setKeepAlive(true, KEEPALIVE_MS);
      resolve(socket);
    });
  });
}

function cancelled(where: string): MeshError {
  return new MeshError(ErrorCode.CANCELLED, `nobody waits for the connection to ${where} any more`);
}

function ignore(): void {}
