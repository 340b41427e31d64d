import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import type { SpiffeId, SpiffeUri } from "../identity/index.ts";
import type { Clock } from "../time/index.ts";

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
  /** The certificates between the leaf and the root it was verified with; absent when there are none or it was only parsed. */
  readonly intermediates?: readonly { readonly issuer: string; readonly serial: string }[];
}

/** See `revocationOf`; for a live connection ask `isPeerRevoked`. */
export interface RevocationCheck {
  /** True when the certificate with this issuer and serial (texts as in `PeerIdentity`) is revoked. */
  isRevoked(issuer: string, serial: string): boolean;
}

/**
 * Accepts HBONE TLS on raw sockets. Verification is complete before `onSecure`: nothing of the peer's was read by then.
 * The sockets handed over allow half-open: their owner ends them when the peer does.
 */
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
  /** Default `systemClock`. */
  readonly clock?: Clock;
  /** Handshakes under way; one more cuts the oldest of them. Default 512. */
  readonly maxPendingHandshakes?: number;
}

/** Whom the other end must prove to be: exactly one of these, or any workload of a trust domain. */
export type ExpectedPeer = readonly SpiffeUri[] | { readonly trustDomain: string };

/** What `dialHboneTls` resolves to: a connection whose other end is verified, not yet read from. */
export interface HboneTlsConnection {
  readonly socket: TLSSocket;
  readonly peer: PeerIdentity;
}

export interface HboneTlsDial {
  /** A connected or connecting TCP socket; owned from here. */
  readonly socket: Socket;
  /** From `identityContext`; any other is refused. */
  readonly context: SecureContext;
  readonly expected: ExpectedPeer;
  readonly handshakeTimeoutMs: number;
  readonly revocation: RevocationCheck;
  /** Default `systemClock`. */
  readonly clock?: Clock;
}
