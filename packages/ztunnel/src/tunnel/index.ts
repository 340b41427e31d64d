export { HboneAcceptor, type InboundTunnel } from "./hbone-acceptor.ts";
export { createDialer, type DialSession } from "./hbone-dialer.ts";
export { HbonePool } from "./hbone-pool.ts";
export { type OpenTunnel, openTunnel } from "./open-tunnel.ts";
export type { TunnelRoute } from "./pool-key.ts";
export { sessionOptions } from "./session-options.ts";
