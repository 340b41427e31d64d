/** The ports of the data plane, spelled as in Istio. Source: ztunnel ports table. */
export const Port = {
  /** Captured outbound connections (REDIRECT target), in the pod. */
  OUTBOUND: 15001,
  /** Captured inbound plaintext (REDIRECT target), in the pod. */
  INBOUND_PLAINTEXT: 15006,
  /** HBONE: HTTP/2 CONNECT over mTLS, in the pod. */
  HBONE: 15008,
  /** xDS and CA of the control plane. */
  CONTROL_PLANE: 15012,
  /** DNS proxy, UDP and TCP, in the pod. */
  DNS: 15053,
  /** SOCKS5 explicit capture. */
  SOCKS5: 15080,
  /** Admin HTTP, loopback only. */
  ADMIN: 15000,
  METRICS: 15020,
  READINESS: 15021,
} as const;

/** Ports of our own listeners: never a legal destination behind the proxy, or a connection would loop. */
export const LOOP_PORTS: ReadonlySet<number> = new Set([
  Port.OUTBOUND,
  Port.INBOUND_PLAINTEXT,
  Port.HBONE,
  Port.SOCKS5,
]);

/** SO_MARK of every socket the proxy makes; the redirect rules leave marked packets alone. */
export const PROXY_MARK = 0x539;
