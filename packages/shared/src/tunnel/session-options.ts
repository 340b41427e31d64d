import { defaultH2Options, type H2Options } from "../http2/index.ts";
import type { Clock } from "../time/index.ts";

/** Flow-control windows and the largest frame we take, bytes. */
export interface SessionSizes {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly frameBytes: number;
}

/** Windows and frame size as configured, for both roles; the rest is the engine's default for HBONE. */
export function sessionOptions(sizes: SessionSizes, clock: Clock): H2Options {
  return {
    ...defaultH2Options,
    streamWindowBytes: sizes.streamWindowBytes,
    connectionWindowBytes: sizes.connectionWindowBytes,
    maxFrameBytes: sizes.frameBytes,
    clock,
  };
}
