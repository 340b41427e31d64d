/** Opens the TCP connection of stage 5: from the pod's namespace, marked, with the source address preserved where wanted. */
import { Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress, type IpAddress, isIpv4, PROXY_MARK, type SocketAddress } from "@ambit/shared/net";
import type { DialOptions, Platform } from "@ambit/shared/platform";
import type { Clock } from "@ambit/shared/time";
import type { Permit } from "../authorize/index.ts";
import { TcpConnection } from "./tcp-connection.ts";

/** First TCP keepalive probe. Parity: ztunnel KEEPALIVE_TIME. */
const KEEPALIVE_MS = 180_000;

/** From where a pod's connections are dialled. */
export interface DialOrigin {
  /** The pod's namespace; absent in explicit capture. */
  readonly netnsFd?: number;
  /** Explicit capture: the pod's address, as there is no namespace that would give it. */
  readonly explicitAddress?: IpAddress;
  /** The pod has left: `netnsFd` is closed, and its number may be another pod's namespace by now. */
  readonly gone?: boolean;
}

export interface UpstreamConnectInit {
  readonly platform: Platform;
  readonly clock: Clock;
  readonly origin: DialOrigin;
  readonly target: SocketAddress;
  /** Make the connection come from this address: the client the application should see. */
  readonly spoofedSource?: IpAddress;
  readonly timeoutMs: number;
}

/**
 * Connects to `target`. Rejects with UPSTREAM_CONNECT_FAILED or UPSTREAM_CONNECT_TIMEOUT (nothing was sent: retry safe).
 * A source that cannot be spoofed (no privilege, other family, link-local) is not: the connection comes from the pod itself.
 * The caller owns the connection, which does not read before `start`.
 *
 * Parity: ztunnel src/proxy/inbound.rs, freebind_connect (fresh port, skipped when source and destination are the same).
 */
export async function connectUpstream(_permit: Permit, init: UpstreamConnectInit): Promise<TcpConnection> {
  return TcpConnection.own(await connectSocket(init, TcpConnection.unconnectedSocket));
}

/** The same for a tunnel to another proxy, as a plain Socket: its far end authorises every stream by itself. */
export function connectTunnelSocket(init: UpstreamConnectInit): Promise<Socket> {
  return connectSocket(init, (fd) => new Socket({ fd, readable: true, writable: true, allowHalfOpen: true }));
}

function connectSocket(init: UpstreamConnectInit, open: (fd: number) => Socket): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { target, timeoutMs } = init;
  const where = formatSocketAddress(target);
  let socket: Socket;
  try {
    socket = open(openDescriptor(init));
  } catch (error) {
    return Promise.reject(connectFailed(`cannot open a socket towards ${where}`, error));
  }
  const cancelTimer = init.clock.after(timeoutMs, () => {
    const message = `no answer from ${where} within ${timeoutMs} ms`;
    reject(new MeshError(ErrorCode.UPSTREAM_CONNECT_TIMEOUT, message, { origin: "upstream", retry: "safe" }));
    socket.destroy();
  });
  const onError = (error: Error): void => reject(connectFailed(`cannot connect to ${where}`, error));
  const onClose = (): void => {
    cancelTimer();
    onError(new Error("closed"));
  };
  socket.once("error", onError).once("close", onClose);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEPALIVE_MS);
  socket.connect({ host: target.ip, port: target.port, family: isIpv4(target.ip) ? 4 : 6 }, () => {
    cancelTimer();
    // Whoever takes it over listens; what is dropped here would be held for the life of the connection.
    socket.on("error", ignore).off("error", onError).off("close", onClose);
    resolve(socket);
  });
  return promise;
}

function connectFailed(what: string, error: unknown): MeshError {
  const why = error instanceof Error ? error.message : String(error);
  const init = { origin: "upstream", retry: "safe", cause: error } as const;
  return new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, `${what}: ${why}`, init);
}

function openDescriptor(init: UpstreamConnectInit): number {
  const { origin, target, platform } = init;
  if (origin.gone === true) throw new Error("the pod has left the mesh");
  const family = isIpv4(target.ip) ? 4 : 6;
  const place: DialOptions =
    origin.netnsFd === undefined ? { family } : { family, netnsFd: origin.netnsFd, mark: PROXY_MARK };
  const inPod = origin.netnsFd !== undefined;
  const source = init.spoofedSource ?? origin.explicitAddress;
  if (source === undefined || isIpv4(source) !== isIpv4(target.ip) || isLinkLocalV6(source))
    return platform.dialTcp(place);
  if (source === target.ip && inPod) return platform.dialTcp(place);
  try {
    return platform.dialTcp({ ...place, bindTo: source, transparent: inPod, overLoopback: inPod });
  } catch {
    return platform.dialTcp(place);
  }
}

/** fe80::/10: means nothing without the interface it came from, so nothing could be sent back to it over another. */
const isLinkLocalV6 = (ip: IpAddress): boolean => /^fe[89ab][0-9a-f]:/.test(ip);

function ignore(): void {}
