import type { Duplex } from "node:stream";
import type { Clock } from "@ambit/shared/time";

/** How long the peer may take to read our last bytes and to close its side. */
const LINGER_MS = 1000;

/**
 * Ends our side and reads on, to nobody, until the peer closes or the time is over: closing with unread bytes makes the
 * kernel send a reset, which may overtake the answer. Spec: RFC 9112 section 9.6.
 */
export function closeAfterLinger(transport: Duplex, clock: Clock): void {
  if (transport.destroyed) return;
  if (!transport.writableEnded) transport.end();
  transport.resume();
  const cancel = clock.after(LINGER_MS, () => transport.destroy());
  transport.once("close", cancel);
}

/**
 * Closes so that the peer cannot take what came so far for all of it, where only the end of the connection says so:
 * a reset where there is one.
 */
export function closeAbruptly(transport: Duplex & { resetAndDestroy?(): unknown }, error: Error): void {
  if (transport.destroyed) return;
  if (typeof transport.resetAndDestroy === "function") transport.resetAndDestroy();
  else transport.destroy(error);
}
