import { type EnvReader, parseDuration } from "../config/index.ts";

/** Flow-control windows of HBONE, bytes. */
export interface Http2Config {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly frameBytes: number;
}

export function readHttp2(env: EnvReader, defaults: Http2Config): Http2Config {
  const window = { min: 65_535, max: 2 ** 31 - 1 };
  return {
    streamWindowBytes: env.integer("HTTP2_STREAM_WINDOW_SIZE", defaults.streamWindowBytes, window),
    connectionWindowBytes: env.integer("HTTP2_CONNECTION_WINDOW_SIZE", defaults.connectionWindowBytes, window),
    frameBytes: env.integer("HTTP2_FRAME_SIZE", defaults.frameBytes, { min: 16_384, max: 2 ** 24 - 1 }),
  };
}

const DEFAULT_MAX_STREAMS = 100;
const DEFAULT_IDLE_RELEASE_MS = 5 * 60_000;

/** The outbound pool of HBONE sessions. */
export interface PoolConfig {
  readonly maxStreamsPerSession: number;
  /** A session without streams is closed after this long. */
  readonly idleReleaseMs: number;
}

const DEFAULT_SESSION_IDLE_MS = 10 * 60_000;

/** How long a peer may keep a session open towards us without a tunnel on it. */
export function readSessionIdle(env: EnvReader): number {
  return env.parsed("AMBIT_SESSION_IDLE_TIMEOUT", DEFAULT_SESSION_IDLE_MS, (text) => {
    const idle = parseDuration(text);
    if (!idle.ok || (idle.value >= 1_000 && idle.value <= 24 * 3_600_000)) return idle;
    return { ok: false, error: "expected 1s to 24h" };
  });
}

export function readPool(env: EnvReader): PoolConfig {
  return {
    maxStreamsPerSession: env.integer("POOL_MAX_STREAMS_PER_CONNECTION", DEFAULT_MAX_STREAMS, { min: 1, max: 10_000 }),
    idleReleaseMs: env.durationMs("POOL_UNUSED_RELEASE_TIMEOUT", DEFAULT_IDLE_RELEASE_MS),
  };
}
