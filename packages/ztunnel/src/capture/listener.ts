/** Stage 1: accepts connections on a listening descriptor that was made in the pod's namespace. */
import { createServer, type Server, type Socket } from "node:net";

export interface Listener {
  /** Stops accepting at once; connections are not touched. */
  close(): void;
}

export interface ListenerInit {
  /** Owned from here. */
  readonly fd: number;
  /** A paused socket; ownership passes with the call. A throw closes it and harms nobody else. */
  onConnection(socket: Socket): void;
  /** The listening socket failed; nothing is accepted any more. */
  onFailure(error: Error): void;
}

/** First TCP keepalive probe. Parity: ztunnel KEEPALIVE_TIME. */
const KEEPALIVE_MS = 180_000;

/**
 * Out of descriptors (EMFILE), libuv accepts and closes what waits instead of spinning, so a full process refuses
 * quickly and recovers by itself; Node reports nothing or an 'error' that leaves the listener alive.
 */
export function serveListener(init: ListenerInit): Listener {
  const options = {
    allowHalfOpen: true,
    pauseOnConnect: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_MS,
  };
  const server: Server = createServer(options, (socket) => {
    socket.on("error", ignore);
    try {
      init.onConnection(socket);
    } catch {
      socket.destroy();
    }
  });
  server.on("error", (error: NodeJS.ErrnoException) => {
    if (error.syscall !== "accept") init.onFailure(error);
  });
  server.listen({ fd: init.fd });
  return { close: () => void server.close() };
}

function ignore(): void {}
