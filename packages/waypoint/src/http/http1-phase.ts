/** Where a connection of HTTP/1 stands, and what follows from it. Pure. */
import type { BodyLength, RequestHead } from "./message.ts";

/**
 * - `head`: reading a request head, or waiting for one
 * - `body`: an exchange runs, its request's body is still coming
 * - `answering`: an exchange runs, its request is complete; more bytes wait
 * - `discard`: the answer is complete, its request's body is not
 * - `raw`: upgraded
 * - `closed`: nothing is read any more
 */
export type Phase = "head" | "body" | "answering" | "discard" | "raw" | "closed";

/** Of a body that nobody wants any more, this much is read to keep the connection. */
export const MAX_DISCARDED_BYTES = 64 * 1024;

export const isWorthDiscarding = (length: BodyLength): boolean => length === undefined || length <= MAX_DISCARDED_BYTES;

/** How far a request has come. */
export interface Progress {
  readonly phase: Phase;
  readonly headStarted: boolean;
  readonly bodyDone: boolean;
}

/** The client will send nothing more: its request is complete, none was under way, or one was cut. */
export function endOfInput({ phase, headStarted, bodyDone }: Progress): "complete" | "idle" | "cut" {
  if (phase === "answering" || (phase === "body" && bodyDone)) return "complete";
  return phase === "discard" || (phase === "head" && !headStarted) ? "idle" : "cut";
}

/** What of an exchange decides whether another may follow it. */
export interface AnsweredExchange {
  readonly head: Pick<RequestHead, "expectsContinue" | "upgrade">;
  readonly continued: boolean;
  readonly bodySeen: boolean;
}

/** After this answer nobody can tell what the client's next bytes are: the connection must end with it. */
export function isAmbiguousAfter({ head, continued, bodySeen }: AnsweredExchange, phase: Phase): boolean {
  // A client that waits for 100 may send the body after a final answer, or the next request.
  const mayHoldBack = head.expectsContinue && !continued && !bodySeen && phase === "body";
  // A refused upgrade may be followed by bytes of the protocol that the client hoped for.
  return mayHoldBack || head.upgrade !== undefined;
}
