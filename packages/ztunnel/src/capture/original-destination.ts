import type { SocketAddress } from "@ambit/shared/net";
import type { Platform } from "@ambit/shared/platform";
import type { TcpConnection } from "../deliver/index.ts";

/** Where the peer meant to go: before the redirect, else the address it really connected to. */
export function destinationOf(connection: TcpConnection, platform: Platform): SocketAddress | undefined {
  const fd = connection.fd;
  return (fd < 0 ? undefined : platform.originalDestination(fd)) ?? connection.local;
}
