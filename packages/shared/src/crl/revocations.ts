import { NO_REVOCATIONS, type RevocationCheck, revocationOf } from "../tls/index.ts";

/** The revocation check everybody holds; what it answers changes when a new list arrives. */
export class Revocations implements RevocationCheck {
  private current: RevocationCheck = NO_REVOCATIONS;

  replace(revoked: Readonly<Record<string, readonly string[]>>): void {
    this.current = revocationOf(revoked);
  }

  isRevoked(issuer: string, serial: string): boolean {
    return this.current.isRevoked(issuer, serial);
  }
}
