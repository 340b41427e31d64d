export { HboneAcceptor, type HboneAcceptorInit, type InboundTunnel } from "./hbone-acceptor.ts";
export { createDialer, type DialedSession, type DialerInit, type DialSession } from "./hbone-dialer.ts";
export { HbonePool, type PooledSession } from "./hbone-pool.ts";
export { type OpenTunnel, type OpenTunnelInit, openTunnel } from "./open-tunnel.ts";
export type { TunnelRoute } from "./pool-key.ts";
export { type SessionSizes, sessionOptions } from "./session-options.ts";
export { type TunnelOwner, TunnelStream } from "./tunnel-stream.ts";
