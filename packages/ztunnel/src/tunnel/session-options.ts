import { defaultH2Options, type H2Options } from "@ambit/shared/http2";
import type { Clock } from "@ambit/shared/time";
import type { DataPlaneConfig } from "../config/index.ts";

/** Windows and frame size as configured, for both roles; the rest is the engine's default for HBONE. */
export function sessionOptions(config: DataPlaneConfig, clock: Clock): H2Options {
  return {
    ...defaultH2Options,
    streamWindowBytes: config.http2.streamWindowBytes,
    connectionWindowBytes: config.http2.connectionWindowBytes,
    maxFrameBytes: config.http2.frameBytes,
    clock,
  };
}
