import type { RevokedSerials } from "../x509/index.ts";
import { normalizeSerial } from "../x509/index.ts";
import type { PeerIdentity, RevocationCheck } from "./api.ts";

/** Revokes nothing: for when no CRL is configured. */
export const NO_REVOCATIONS: RevocationCheck = { isRevoked: () => false };

/** A check over a set of revoked serials, O(1) for each question; a later set needs a new check. */
export function revocationOf(revoked: RevokedSerials): RevocationCheck {
  const byIssuer = new Map(
    Object.entries(revoked).map(([issuer, serials]) => [issuer, new Set(serials.map(normalizeSerial))]),
  );
  return { isRevoked: (issuer, serial) => byIssuer.get(issuer)?.has(normalizeSerial(serial)) === true };
}

/** Whether the leaf or an intermediate of a peer is revoked. Cheap enough to ask of every live connection after a reload. */
export function isPeerRevoked(peer: PeerIdentity, revocation: RevocationCheck): boolean {
  const above = peer.intermediates ?? [];
  return [peer, ...above].some((certificate) => revocation.isRevoked(certificate.issuer, certificate.serial));
}
