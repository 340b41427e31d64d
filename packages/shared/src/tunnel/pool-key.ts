import type { SpiffeUri } from "../identity/index.ts";
import { formatSocketAddress, type SocketAddress } from "../net/index.ts";
import type { ExpectedPeer } from "../tls/index.ts";

/** Where a tunnel goes and for whom. Two connections share a session exactly when all of it is equal. */
export interface TunnelRoute {
  /** Whose certificate is shown. */
  readonly identity: SpiffeUri;
  /** Whose connections may share a session: a pod's uid where one process serves many, else any one word. */
  readonly owner: string;
  readonly nextHop: SocketAddress;
  /** Sorted, where it is a list. */
  readonly expected: ExpectedPeer;
}

/** None of the parts can contain a blank, so different routes never make equal keys. */
export function poolKey(route: TunnelRoute): string {
  const { expected } = route;
  const peers = "trustDomain" in expected ? ["any-of", expected.trustDomain] : expected;
  return [route.identity, route.owner, formatSocketAddress(route.nextHop), ...peers].join(" ");
}
