import type { H2Options } from "./api.ts";

/**
 * What HBONE sessions use unless the configuration says otherwise: the windows and frame size of ztunnel, its PING
 * times, and flood limits that no honest tunnel comes near (a keystroke a frame is honest: 20 000 a second are allowed).
 */
export const defaultH2Options: H2Options = {
  streamWindowBytes: 4 * 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxFrameBytes: 1024 * 1024,
  maxConcurrentStreams: 200,
  maxHeaderListBytes: 64 * 1024,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 20_000,
  prefaceTimeoutMs: 10_000,
  flood: { resets: 2000, controlFrames: 5000, continuations: 32, tinyDataFrames: 200_000, windowMs: 10_000 },
};
