import { ErrorCode, type ErrorOrigin, MeshError } from "../errors/index.ts";
import type { PeerIdentity, RevocationCheck } from "./api.ts";
import { isPeerRevoked } from "./revocation.ts";

/** A handshake that failed; nothing of the application's was sent, so trying elsewhere is safe. */
export function handshakeFailed(origin: ErrorOrigin, reason: string, cause?: unknown): MeshError {
  return new MeshError(ErrorCode.TLS_HANDSHAKE_FAILED, `TLS handshake failed: ${reason}`, {
    origin,
    retry: "safe",
    cause,
    context: { reason },
  });
}

export function handshakeTimedOut(origin: ErrorOrigin, timeoutMs: number): MeshError {
  const message = `expected the TLS handshake to end within ${timeoutMs} ms, it did not`;
  return new MeshError(ErrorCode.TLS_HANDSHAKE_TIMEOUT, message, { origin, retry: "safe", context: { timeoutMs } });
}

/** The reason in Node's and OpenSSL's own short form where there is one, such as `CERT_HAS_EXPIRED`. */
export function reasonOf(error: unknown): string {
  // By shape: errors that OpenSSL's callbacks raise may come from another realm (workers' and tests' contexts).
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const text = typeof message === "string" ? message : String(error);
  return typeof code === "string" ? code : text;
}

/** @returns the refusal when the peer's chain holds a revoked certificate */
export function refuseRevoked(
  peer: PeerIdentity,
  revocation: RevocationCheck,
  origin: ErrorOrigin,
): MeshError | undefined {
  if (!isPeerRevoked(peer, revocation)) return undefined;
  return new MeshError(ErrorCode.TLS_PEER_CERTIFICATE_REVOKED, `the certificate of ${peer.uri} is revoked`, {
    origin,
    context: { peer: peer.uri, serial: peer.serial },
  });
}
