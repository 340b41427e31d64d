import type { SpiffeUri } from "@ambit/shared/identity";
import { formatSocketAddress, type SocketAddress } from "@ambit/shared/net";
import type { DialOrigin } from "../deliver/index.ts";

/** Where a tunnel goes and for whom. Two connections share a session exactly when all of it is equal. */
export interface TunnelRoute {
  /** Whose certificate is shown. */
  readonly identity: SpiffeUri;
  readonly podUid: string;
  readonly origin: DialOrigin;
  readonly nextHop: SocketAddress;
  /** Sorted; the peer must prove to be one of these. */
  readonly expected: readonly SpiffeUri[];
}

/** None of the parts can contain a blank, so different routes never make equal keys. */
export function poolKey(route: TunnelRoute): string {
  return [route.identity, route.podUid, formatSocketAddress(route.nextHop), ...route.expected].join(" ");
}
