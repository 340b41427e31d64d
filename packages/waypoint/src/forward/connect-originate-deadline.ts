import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";

export interface OpenDeadline {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** For the message. */
  readonly what: string;
  /** Whoever waits may give up. */
  readonly signal: AbortSignal | undefined;
}

/**
 * One limit for all that `open` does. Rejects with UPSTREAM_CONNECT_TIMEOUT (retry safe), CANCELLED, or as `open` does.
 * A transport that comes too late is destroyed; a session that was being dialled for it stays for the next.
 */
export function openWithin<T extends { readonly transport: Duplex }>(
  { clock, timeoutMs, what, signal }: OpenDeadline,
  open: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const inner = new AbortController();
  return new Promise((resolve, reject) => {
    let isOver = false;
    const finish = (): void => {
      isOver = true;
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    };
    const giveUp = (error: MeshError): void => {
      finish();
      reject(error);
      inner.abort();
    };
    const onAbort = (): void => giveUp(cancelled(what));
    const cancelTimer = clock.after(timeoutMs, () => giveUp(tooLate(what, timeoutMs)));
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    open(inner.signal).then(
      (opened) => {
        if (isOver) {
          opened.transport.destroy();
          return;
        }
        finish();
        resolve(opened);
      },
      (error: unknown) => {
        if (!isOver) finish();
        reject(error);
      },
    );
  });
}

function cancelled(what: string): MeshError {
  return new MeshError(ErrorCode.CANCELLED, `nobody waits for the connection to ${what} any more`);
}

function tooLate(what: string, timeoutMs: number): MeshError {
  const message = `no connection to ${what} within ${timeoutMs} ms`;
  return new MeshError(ErrorCode.UPSTREAM_CONNECT_TIMEOUT, message, { origin: "upstream", retry: "safe" });
}
