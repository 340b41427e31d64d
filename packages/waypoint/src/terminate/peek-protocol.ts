import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import { type Detection, detectProtocol, detectUnfinished } from "./detect-protocol.ts";

/** A stream at its beginning: paused, with nobody reading. */
export interface Peekable extends Duplex {
  /** Whether the end of input has arrived, read or not; without it a short message is known only after the limit. */
  readonly inputEnded?: boolean;
}

export interface PeekInit {
  readonly clock: Clock;
  /** How long to wait for the client to speak first. Zero: only what is there already is looked at. */
  readonly timeoutMs: number;
}

/**
 * Looks at the first bytes of `stream` and puts them back. When there are too few within the limit the answer is what
 * they have begun to be; with none at all it is "other": in many protocols the server speaks first.
 *
 * Rejects with the MeshError that the stream was destroyed with, else DOWNSTREAM_RESET, when it is cut meanwhile.
 */
export function peekProtocol(stream: Peekable, { clock, timeoutMs }: PeekInit): Promise<Detection> {
  return new Promise((resolve, reject) => {
    let seen: Buffer = Buffer.alloc(0);
    const leave = (): void => {
      cancelTimeout();
      stream.off("readable", onReadable).off("error", onCut).off("close", onCut);
    };
    const settle = (detection: Detection): void => {
      leave();
      // In the same turn as the last read: the end of input, if it came too, is announced only to an empty buffer.
      if (seen.length > 0) stream.unshift(seen);
      resolve(detection);
    };
    const onReadable = (): void => {
      const waiting = stream.readableLength;
      seen = withWaiting(stream, seen);
      const detection = detectProtocol(seen);
      const isAll = waiting === 0 || stream.inputEnded === true;
      if (detection.kind !== "need-more") settle(detection);
      else if (isAll) settle(detectUnfinished(seen));
    };
    const onCut = (error?: Error): void => {
      leave();
      const cause = error ?? new Error("the peer gave up before it said anything");
      reject(MeshError.from(cause, ErrorCode.DOWNSTREAM_RESET, { origin: "downstream" }));
    };
    const cancelTimeout = clock.after(timeoutMs, () => settle(detectUnfinished(seen)));
    stream.on("error", onCut).on("close", onCut).on("readable", onReadable);
    if (stream.destroyed) onCut(stream.errored ?? undefined);
    else if (stream.readableLength > 0 || stream.inputEnded === true) onReadable();
  });
}

function withWaiting(stream: Duplex, seen: Buffer): Buffer {
  const waiting = stream.readableLength;
  // With the exact length node does not take the read for the one that finds the end.
  const chunk: unknown = waiting > 0 ? stream.read(waiting) : undefined;
  if (!(chunk instanceof Buffer)) return seen;
  return seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
}
