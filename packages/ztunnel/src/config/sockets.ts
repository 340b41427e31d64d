import type { EnvReader } from "@ambit/shared/config";
import { readSessionIdle } from "@ambit/shared/proxy-config";

/** How connections get in and out. */
export interface SocketsConfig {
  /** "explicit": no privileges, pods are loopback addresses. */
  readonly capture: "netns" | "explicit";
  /** Applications see the client's address (IP_TRANSPARENT). */
  readonly preserveSourceIp: boolean;
  readonly trustResponseBaggage: boolean;
}

export function readSockets(env: EnvReader): SocketsConfig {
  const capture = env.oneOf("AMBIT_CAPTURE", ["netns", "explicit"], "netns");
  return {
    capture,
    preserveSourceIp: env.boolean("ENABLE_ORIG_SRC", capture === "netns"),
    trustResponseBaggage: env.boolean("ENABLE_RESPONSE_BAGGAGE", true),
  };
}

/** Limits of waiting, ms. Istio has only the first; the others close holes a silent peer could use. */
export interface TimeoutsConfig {
  readonly tcpConnectMs: number;
  readonly tlsHandshakeMs: number;
  /** Of inbound HBONE sessions without a tunnel. */
  readonly sessionIdleMs: number;
  readonly connectResponseMs: number;
  /** How long a connection of a pod waits for xDS to describe that pod. */
  readonly ownWorkloadMs: number;
}

export function readTimeouts(env: EnvReader): TimeoutsConfig {
  return {
    tcpConnectMs: env.durationMs("AMBIT_TCP_CONNECT_TIMEOUT", 10_000),
    tlsHandshakeMs: env.durationMs("AMBIT_TLS_HANDSHAKE_TIMEOUT", 10_000),
    sessionIdleMs: readSessionIdle(env),
    connectResponseMs: env.durationMs("AMBIT_CONNECT_RESPONSE_TIMEOUT", 20_000),
    ownWorkloadMs: env.durationMs("AMBIT_OWN_WORKLOAD_TIMEOUT", 5_000),
  };
}
