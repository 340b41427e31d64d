import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import type { SpiffeId, SpiffeUri } from "../identity/index.ts";

/** Key material of one workload identity, PEM texts; `chainPem` leaf first, no roots. */
export interface IdentityMaterial {
  readonly identity: SpiffeUri;
  readonly keyPem: string;
  readonly chainPem: string;
  readonly rootsPem: string;
  /** ms since the epoch. */
  readonly notAfter: number;
}

/** The verified other end of an mTLS connection. */
export interface PeerIdentity {
  readonly id: SpiffeId;
  readonly uri: SpiffeUri;
  /** Lower-case hex of the leaf. */
  readonly serial: string;
  readonly issuer: string;
  /** SHA-256 of the leaf, hex. */
  readonly fingerprint: string;
  readonly notAfter: number;
}

export interface RevocationCheck {
  /** True when a certificate of the verified chain is revoked. */
  isRevoked(issuer: string, serial: string): boolean;
}

/** Accepts HBONE TLS on raw sockets. Verification is complete before `onSecure`: nothing of the peer's was read by then. */
export interface HboneTlsAcceptor {
  /** Takes ownership of an accepted TCP socket. */
  accept(socket: Socket): void;
  /** New connections use the new certificate; existing ones keep theirs. */
  update(material: IdentityMaterial): void;
  close(): void;
}

export interface HboneTlsAcceptorInit {
  readonly material: IdentityMaterial;
  readonly handshakeTimeoutMs: number;
  readonly revocation: RevocationCheck;
  onSecure(socket: TLSSocket, peer: PeerIdentity): void;
  /** MeshError TLS_*; `socket` is already destroyed. */
  onFailure(error: Error, remoteAddress: string): void;
}

export interface HboneTlsDial {
  /** A connected or connecting TCP socket; owned from here. */
  readonly socket: Socket;
  readonly context: SecureContext;
  /** The peer must present one of exactly these. */
  readonly expected: readonly SpiffeUri[];
  readonly handshakeTimeoutMs: number;
  readonly revocation: RevocationCheck;
}
