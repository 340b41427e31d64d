import type { Duplex } from "node:stream";
import type { Clock } from "../../time/index.ts";

/** How long the transport may take to deliver our last frames and the peer to close its side. */
const LINGER_MS = 1000;

/**
 * Ends our side and reads on (to nobody) until the peer closes or the time is over: destroying at once would make the
 * kernel answer unread bytes with a reset, which may overtake the GOAWAY.
 */
export function closeTransport(transport: Duplex, clock: Clock): void {
  if (transport.destroyed) return;
  transport.end();
  const cancel = clock.after(LINGER_MS, () => transport.destroy());
  transport.once("close", cancel);
}
