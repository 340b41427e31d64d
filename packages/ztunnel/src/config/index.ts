/** The part of the configuration a data worker needs. Plain data: it crosses the thread boundary. */
export interface DataPlaneConfig {
  /** `NETWORK`: the network this node is on; compared with xDS. */
  readonly network: string;
  readonly nodeName: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  /** "netns": sockets are made in pods' netns with marks and transparent binds. "explicit": loopback, SOCKS5, no privileges. */
  readonly capture: "netns" | "explicit";
  readonly preserveSourceIp: boolean;
  readonly http2: {
    readonly streamWindowBytes: number;
    readonly connectionWindowBytes: number;
    readonly frameBytes: number;
  };
  readonly pool: { readonly maxStreamsPerSession: number; readonly idleReleaseMs: number };
  readonly timeouts: {
    readonly tcpConnectMs: number;
    readonly tlsHandshakeMs: number;
    readonly connectResponseMs: number;
    readonly ownWorkloadMs: number;
  };
  readonly limits: {
    /** Live connections one pod may hold, both directions together. */
    readonly connectionsPerPod: number;
    readonly hboneSessionsPerPeer: number;
  };
  readonly dns: { readonly enabled: boolean; readonly upstreams: readonly string[]; readonly ttlSeconds: number };
  readonly trustResponseBaggage: boolean;
}
