import type { EnvReader } from "@ambit/shared/config";
import { type Cidr, parseCidr } from "@ambit/shared/net";
import { type Http2Config, type PoolConfig, readHttp2, readPool, readSessionIdle } from "@ambit/shared/proxy-config";

const MIB = 1024 * 1024;
/**
 * Smaller windows than a node proxy's: every open tunnel may fill one while its request waits for an upstream, and a
 * waypoint is a hop from its clients.
 */
const HTTP2_DEFAULTS: Http2Config = {
  streamWindowBytes: MIB,
  connectionWindowBytes: 16 * MIB,
  frameBytes: MIB,
};

/** Limits of waiting, ms. */
export interface TimeoutsConfig {
  readonly tcpConnectMs: number;
  readonly tlsHandshakeMs: number;
  /** Of inbound sessions without a tunnel. */
  readonly sessionIdleMs: number;
  /** Answer to a CONNECT of ours. */
  readonly connectResponseMs: number;
  /** How long the client of an undeclared port may keep silent before its server is allowed to speak first. */
  readonly sniffMs: number;
}

/** Bounds of what everybody together may hold. */
export interface LimitsConfig {
  readonly sessionsPerPeer: number;
  readonly sessions: number;
  readonly tunnels: number;
  readonly upstreamConnections: number;
  /** Bytes of request bodies kept for retries. */
  readonly replayBytes: number;
}

export interface TrafficConfig {
  /** Networks that are not public, and that keys of tokens may be fetched from all the same. */
  readonly jwksNetworks: readonly Cidr[];
  /** Networks that are not public, and that hosts of wildcards may lead to all the same. */
  readonly externalNetworks: readonly Cidr[];
  readonly http2: Http2Config;
  /** Streams that one session may open towards us; peers open another session then. */
  readonly maxStreamsPerSession: number;
  readonly pool: PoolConfig;
  readonly timeouts: TimeoutsConfig;
  readonly limits: LimitsConfig;
}

export function readTraffic(env: EnvReader): TrafficConfig {
  const many = { min: 1, max: 10_000_000 };
  return {
    jwksNetworks: readNetworks(env, "AMBIT_JWKS_NETWORKS"),
    externalNetworks: readNetworks(env, "AMBIT_EXTERNAL_NETWORKS"),
    http2: readHttp2(env, HTTP2_DEFAULTS),
    maxStreamsPerSession: env.integer("AMBIT_MAX_STREAMS_PER_SESSION", 100, { min: 1, max: 10_000 }),
    pool: readPool(env),
    timeouts: {
      tcpConnectMs: env.durationMs("AMBIT_TCP_CONNECT_TIMEOUT", 10_000),
      tlsHandshakeMs: env.durationMs("AMBIT_TLS_HANDSHAKE_TIMEOUT", 10_000),
      sessionIdleMs: readSessionIdle(env),
      connectResponseMs: env.durationMs("AMBIT_CONNECT_RESPONSE_TIMEOUT", 20_000),
      sniffMs: env.durationMs("AMBIT_SNIFF_TIMEOUT", 1_000),
    },
    limits: {
      sessionsPerPeer: env.integer("AMBIT_MAX_SESSIONS_PER_PEER", 256, { min: 1, max: 100_000 }),
      sessions: env.integer("AMBIT_MAX_SESSIONS", 20_000, many),
      tunnels: env.integer("AMBIT_MAX_TUNNELS", 50_000, many),
      upstreamConnections: env.integer("AMBIT_MAX_UPSTREAM_CONNECTIONS", 20_000, many),
      replayBytes: env.integer("AMBIT_REPLAY_BYTES", 64 * MIB, { min: 0, max: 2 ** 40 }),
    },
  };
}

/** A list of prefixes, separated by commas; those that are none are mistakes. */
function readNetworks(env: EnvReader, name: string): readonly Cidr[] {
  const text = env.text(name, "");
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")
    .flatMap((item) => {
      const cidr = parseCidr(item);
      if (cidr.ok) return [cidr.value];
      env.reject(name, text, cidr.error);
      return [];
    });
}
