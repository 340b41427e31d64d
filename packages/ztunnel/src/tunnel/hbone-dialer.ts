/** Stage 4: makes one HBONE session: TCP from the pod, mutual TLS, HTTP/2. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { createH2Session, type H2Options, type H2Session, type H2SessionHandlers } from "@ambit/shared/http2";
import type { Platform } from "@ambit/shared/platform";
import type { Clock } from "@ambit/shared/time";
import {
  dialHboneTls,
  type IdentityMaterial,
  identityContext,
  type PeerIdentity,
  type RevocationCheck,
} from "@ambit/shared/tls";
import { connectTunnelSocket } from "../deliver/index.ts";
import type { TunnelRoute } from "./pool-key.ts";

export interface DialedSession {
  readonly session: H2Session;
  readonly peer: PeerIdentity;
  /** ms since the epoch: when the first of the two certificates expires. */
  readonly expiresAt: number;
}

/** The seam between pool and network. */
export type DialSession = (route: TunnelRoute, handlers: H2SessionHandlers) => Promise<DialedSession>;

export interface DialerInit {
  readonly platform: Platform;
  readonly clock: Clock;
  readonly options: H2Options;
  readonly tcpConnectMs: number;
  readonly tlsHandshakeMs: number;
  readonly revocation: RevocationCheck;
  /** Waits for the certificate when there is none yet; rejects with IDENTITY_UNAVAILABLE. */
  material(identity: TunnelRoute["identity"]): Promise<IdentityMaterial>;
}

/**
 * Rejects with IDENTITY_UNAVAILABLE, UPSTREAM_CONNECT_* (its time-out has `context.tunnel`: a NetworkPolicy may block
 * port 15008) or TLS_*; nothing was sent for any user connection then.
 *
 * Differs: ztunnel has no time-out for the TLS handshake.
 */
export function createDialer(init: DialerInit): DialSession {
  return async (route, handlers) => {
    const material = await init.material(route.identity);
    const { platform, clock, revocation } = init;
    const target = { origin: route.origin, target: route.nextHop, timeoutMs: init.tcpConnectMs };
    const socket = await connectTunnelSocket({ platform, clock, ...target }).catch((error: unknown) => {
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
