import { type ConnectionOptions, connect, type DetailedPeerCertificate, type TLSSocket } from "node:tls";
import { ErrorCode, err, MeshError, ok, type Result } from "../errors/index.ts";
import { systemClock } from "../time/index.ts";
import type { ExpectedPeer, HboneTlsConnection, HboneTlsDial, PeerIdentity } from "./api.ts";
import { HBONE_ALPN, verifierOf } from "./identity-context.ts";
import { presentedChain } from "./peer-verifier.ts";
import { handshakeFailed, handshakeTimedOut, reasonOf, refuseRevoked } from "./tls-failure.ts";

/**
 * Originates HBONE TLS over `dial.socket` and resolves once the server proved to be one of `dial.expected`.
 *
 * With TLS 1.3 a client is done before the server has judged the client's certificate: a refusal arrives as `error`,
 * `end` or `close` of the returned socket, so its owner listens for all three from the moment it gets it. The socket
 * allows half-open: its owner ends it when the peer does.
 *
 * @throws MeshError TLS_HANDSHAKE_FAILED | TLS_HANDSHAKE_TIMEOUT (both retry safe) | TLS_PEER_IDENTITY_MISMATCH |
 *   TLS_PEER_CERTIFICATE_REVOKED; the socket is destroyed then
 *
 * Parity: ztunnel src/tls/workload.rs (any expected identity; DNS names never looked at; no SNI)
 */
export function dialHboneTls(dial: HboneTlsDial): Promise<HboneTlsConnection> {
  const raw = dial.socket;
  // The TLS socket reports what goes wrong; without this listener the same error on the raw one would be thrown.
  raw.on("error", ignore);
  raw.setNoDelay(true);
  raw.allowHalfOpen = false;
  return new Promise((resolve, reject) => {
    let peer: PeerIdentity | undefined;
    const options: ConnectionOptions = {
      socket: raw,
      secureContext: dial.context,
      servername: "",
      ALPNProtocols: HBONE_ALPN,
      rejectUnauthorized: true,
      checkServerIdentity(_host, certificate) {
        const verdict = judgeServer(dial, certificate as DetailedPeerCertificate);
        if (!verdict.ok) return verdict.error;
        peer = verdict.value;
        return undefined;
      },
    };
    let socket: TLSSocket;
    try {
      socket = connect(options);
    } catch (error) {
      raw.destroy();
      reject(handshakeFailed("upstream", reasonOf(error), error));
      return;
    }
    socket.on("error", ignore);
    const settle = (failure: MeshError | undefined) => {
      cancelTimeout();
      for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener);
      if (failure === undefined && peer !== undefined) {
        socket.allowHalfOpen = true;
        resolve({ socket, peer });
        return;
      }
      socket.destroy();
      raw.destroy();
      reject(failure ?? handshakeFailed("upstream", "the server's certificate was not checked"));
    };
    const listeners = {
      // A resumed session would skip `checkServerIdentity`; then `peer` is unset and this is a failure.
      secureConnect: () => settle(undefined),
      error: (error: unknown) => settle(asFailure(error)),
      close: () => settle(handshakeFailed("upstream", "the peer closed the connection")),
    };
    const cancelTimeout = (dial.clock ?? systemClock).after(dial.handshakeTimeoutMs, () =>
      settle(handshakeTimedOut("upstream", dial.handshakeTimeoutMs)),
    );
    for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener);
  });
}

/** The verdict on the server's certificates, after OpenSSL accepted chain and purpose. Never throws. */
function judgeServer(dial: HboneTlsDial, certificate: DetailedPeerCertificate): Result<PeerIdentity, MeshError> {
  try {
    const verifier = verifierOf(dial.context);
    if (verifier === undefined) return err(handshakeFailed("upstream", "the context is not one of identityContext"));
    const now = (dial.clock ?? systemClock).now();
    const peer = verifier.verify(presentedChain(certificate), now);
    if (!peer.ok) return err(identityMismatch(dial, peer.error));
    if (!isExpected(dial.expected, peer.value)) return err(identityMismatch(dial, peer.value.uri));
    const revoked = refuseRevoked(peer.value, dial.revocation, "upstream");
    return revoked === undefined ? ok(peer.value) : err(revoked);
  } catch (error) {
    return err(handshakeFailed("upstream", reasonOf(error), error));
  }
}

function isExpected(expected: ExpectedPeer, { id, uri }: PeerIdentity): boolean {
  return "trustDomain" in expected ? id.trustDomain === expected.trustDomain : expected.includes(uri);
}

function identityMismatch(dial: HboneTlsDial, got: string): MeshError {
  const anyOf = dial.expected;
  const expected = "trustDomain" in anyOf ? `of trust domain ${anyOf.trustDomain}` : anyOf.slice(0, 3).join(" or ");
  return new MeshError(ErrorCode.TLS_PEER_IDENTITY_MISMATCH, `expected the server to be ${expected}, got ${got}`, {
    origin: "upstream",
    context: { expected, got },
  });
}

function asFailure(error: unknown): MeshError {
  return error instanceof MeshError ? error : handshakeFailed("upstream", reasonOf(error), error);
}

function ignore(): void {}
