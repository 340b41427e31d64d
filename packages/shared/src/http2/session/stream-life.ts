import { ErrorCode, MeshError } from "../../errors/index.ts";
import { H2Code } from "../api.ts";
import { encodeRstStream, encodeWindowUpdate } from "../frames/encode-frame.ts";
import { peerFault, resetByOwner } from "./failures.ts";
import type { ReceiveWindow } from "./flow-window.ts";
import type { Outbox } from "./outbox.ts";
import type { Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";

export interface StreamLifeInit {
  readonly role: "client" | "server";
  readonly table: StreamTable;
  readonly outbox: Outbox;
  /** Credit of the whole connection. */
  readonly connectionWindow: ReceiveWindow;
  /** A stream left the table. */
  onStreamGone(): void;
}

/** How streams end, and how credit flows back while they live. */
export class StreamLife {
  readonly #init: StreamLifeInit;

  constructor(init: StreamLifeInit) {
    this.#init = init;
  }

  /** Both directions ended: the stream is over, cleanly. */
  closeIfDone(stream: Stream): void {
    if (stream.localEnded && stream.remoteEnded) this.close(stream, undefined);
  }

  /** The last thing that happens to a stream. What the owner still holds after a cut counts as consumed. */
  close(stream: Stream, error: MeshError | undefined): void {
    this.#close(stream, error, error !== undefined);
  }

  /** The peer sent RST_STREAM: a client that goes on sending on this stream breaks a rule. RFC 9113 section 5.1. */
  closeByPeer(stream: Stream, error: MeshError): void {
    // A server's frames that follow its own reset hurt nobody; its session may serve many others.
    this.#close(stream, error, this.#init.role === "client");
  }

  /** @param forgives frames that still come for it are ignored */
  #close(stream: Stream, error: MeshError | undefined, forgives: boolean): void {
    if (stream.closed) return;
    stream.closed = true;
    stream.closeError = error;
    stream.queue.clear();
    this.#init.table.remove(stream.id, forgives);
    if (error !== undefined) this.#release(stream);
    tellClosed(stream);
    this.#init.onStreamGone();
  }

  /** RST_STREAM, then close. */
  reset(stream: Stream, code: number, error: MeshError): void {
    if (stream.closed) {
      // Over already; the owner only says that it will not read what it still holds.
      this.#release(stream);
      return;
    }
    this.#init.outbox.sendSoon(encodeRstStream(stream.id, code));
    this.close(stream, error);
  }

  /** @param code anything that RFC 9113 does not define becomes INTERNAL_ERROR */
  resetByOwner(stream: Stream, code: number): void {
    const defined = Number.isInteger(code) && code >= 0 && code <= H2Code.HTTP_1_1_REQUIRED;
    const sent = defined ? code : H2Code.INTERNAL_ERROR;
    this.reset(stream, sent, resetByOwner(stream.id, sent));
  }

  /** The peer broke a rule of this stream. */
  resetForFault(stream: Stream, code: number, message: string): void {
    this.reset(stream, code, peerFault(this.#init.role, code, `stream ${stream.id}: ${message}`));
  }

  /** A handler of the owner threw: only its stream suffers. */
  resetForThrow(stream: Stream, thrown: unknown): void {
    this.reset(stream, H2Code.INTERNAL_ERROR, MeshError.from(thrown, ErrorCode.INVARIANT_VIOLATED));
  }

  /** RST_STREAM for an id that has no stream. */
  refuse(id: number, code: number): void {
    this.#init.outbox.sendSoon(encodeRstStream(id, code));
    this.#init.table.remove(id, true);
  }

  consume(stream: Stream, bytes: number): void {
    const consumed = Math.min(bytes, stream.unconsumed);
    stream.unconsumed -= consumed;
    this.creditConnection(consumed);
    this.creditStream(stream, consumed);
  }

  creditConnection(bytes: number): void {
    const increment = this.#init.connectionWindow.give(bytes);
    if (increment > 0) this.#init.outbox.sendSoon(encodeWindowUpdate(0, increment));
  }

  creditStream(stream: Stream, bytes: number): void {
    if (stream.closed || stream.remoteEnded) return;
    const increment = stream.receiveWindow.give(bytes);
    if (increment > 0) this.#init.outbox.sendSoon(encodeWindowUpdate(stream.id, increment));
  }

  #release(stream: Stream): void {
    this.creditConnection(stream.unconsumed);
    stream.unconsumed = 0;
  }
}

/** Calls `onClose` if the handlers are known yet; otherwise whoever learns them calls again. */
export function tellClosed(stream: Stream): void {
  const handlers = stream.handlers;
  stream.handlers = undefined;
  try {
    handlers?.onClose(stream.closeError);
  } catch {
    // The stream is gone; there is nothing left that the owner's mistake could undo.
  }
}
