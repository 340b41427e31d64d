/** Makes one HBONE session: TCP, mutual TLS, HTTP/2. */
import type { Socket } from "node:net";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { createH2Session, type H2Options, type H2Session, type H2SessionHandlers } from "../http2/index.ts";
import type { Clock } from "../time/index.ts";
import {
  dialHboneTls,
  type IdentityMaterial,
  identityContext,
  type PeerIdentity,
  type RevocationCheck,
} from "../tls/index.ts";
import type { TunnelRoute } from "./pool-key.ts";

export interface DialedSession {
  readonly session: H2Session;
  readonly peer: PeerIdentity;
  /** ms since the epoch: when the first of the two certificates expires. */
  readonly expiresAt: number;
}

/** The seam between pool and network. */
export type DialSession<Route extends TunnelRoute = TunnelRoute> = (
  route: Route,
  handlers: H2SessionHandlers,
) => Promise<DialedSession>;

export interface DialerInit<Route extends TunnelRoute> {
  readonly clock: Clock;
  readonly options: H2Options;
  readonly tlsHandshakeMs: number;
  readonly revocation: RevocationCheck;
  /** TCP to `route.nextHop`; rejects with UPSTREAM_CONNECT_*. The socket is the dialer's from then on. */
  connect(route: Route): Promise<Socket>;
  /** Waits for the certificate when there is none yet; rejects with IDENTITY_UNAVAILABLE. */
  material(identity: TunnelRoute["identity"]): Promise<IdentityMaterial>;
}

/**
 * Rejects with IDENTITY_UNAVAILABLE, UPSTREAM_CONNECT_* (its time-out has `context.tunnel`: a NetworkPolicy may block
 * port 15008) or TLS_*; nothing was sent for any user connection then.
 *
 * Differs: ztunnel has no time-out for the TLS handshake.
 */
export function createDialer<Route extends TunnelRoute>(init: DialerInit<Route>): DialSession<Route> {
  return async (route, handlers) => {
    const material = await init.material(route.identity);
    const { clock, revocation } = init;
    const socket = await init.connect(route).catch((error: unknown) => {
      throw tunnelTimeout(error);
    });
    const { socket: secure, peer } = await dialHboneTls({
      socket,
      context: identityContext(material),
      expected: route.expected,
      handshakeTimeoutMs: init.tlsHandshakeMs,
      revocation,
      clock,
    });
    const session = createH2Session("client", secure, init.options, handlers);
    return { session, peer, expiresAt: Math.min(material.notAfter, peer.notAfter) };
  };
}

function tunnelTimeout(error: unknown): unknown {
  if (!(error instanceof MeshError) || error.code !== ErrorCode.UPSTREAM_CONNECT_TIMEOUT) return error;
  const message = `${error.message}; does a NetworkPolicy block port 15008?`;
  return new MeshError(error.code, message, {
    origin: "upstream",
    retry: "safe",
    cause: error,
    context: { tunnel: true },
  });
}
