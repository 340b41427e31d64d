export type { Relay, RelayEnd, RelayObserver } from "./relay-observer.ts";
export { TcpConnection, type TcpOwner } from "./tcp-connection.ts";
export { TcpRelay } from "./tcp-relay.ts";
export { TunnelRelay } from "./tunnel-relay.ts";
export { connectTunnelSocket, connectUpstream, type DialOrigin, type UpstreamConnectInit } from "./upstream-connect.ts";
