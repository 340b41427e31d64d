import type { SpiffeUri } from "../identity/index.ts";
import type { IdentityMaterial } from "../tls/index.ts";

/** Signs one CSR for one identity. Throws MeshError CA_*. */
export interface CertificateIssuer {
  /** @returns PEM certificates: leaf, intermediates..., and last the root bundle */
  sign(identity: SpiffeUri, csrPem: string, ttlSeconds: number): Promise<readonly string[]>;
  close(): void;
}

export type SecretState =
  | { readonly kind: "initializing" }
  | { readonly kind: "available"; readonly material: IdentityMaterial; readonly renewAtMs: number }
  /** Last attempt failed and no valid certificate is held; the next attempt runs at `retryAtMs` or on demand. */
  | { readonly kind: "unavailable"; readonly message: string; readonly retryAtMs: number };

/** Keeps one certificate per identity fresh. Lives in the control thread. */
export interface SecretManager {
  /** Ensures the identity is being served; `demand` puts it before warm-ups and renewals. Idempotent. */
  want(identity: SpiffeUri, urgency: "demand" | "warm"): void;
  /** No workload on this node uses it any more. */
  forget(identity: SpiffeUri): void;
  state(identity: SpiffeUri): SecretState | undefined;
  identities(): readonly SpiffeUri[];
  /** Renews everything now (root rotation, operator request). */
  renewAll(): void;
  stop(): void;
}
