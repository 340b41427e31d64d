import { createPublicKey } from "node:crypto";
import type { SpiffeUri } from "@ambit/shared/identity";
import type { IdentityMaterial } from "@ambit/shared/tls";
import {
  type CertificateWishes,
  createKeyPair,
  createRoot,
  exportPrivateKeyPem,
  readSigner,
  type Signer,
  signCertificate,
} from "@ambit/shared/x509";

export const HOUR_MS = 3_600_000;
export const WEB = "spiffe://cluster.local/ns/shop/sa/web" as SpiffeUri;
export const CART = "spiffe://cluster.local/ns/shop/sa/cart" as SpiffeUri;

export interface TestAuthority {
  readonly signer: Signer;
  readonly rootsPem: string;
  /** A certificate for `identity`; anything unusual is asked for by `overrides`. */
  issue(identity: SpiffeUri, overrides?: Partial<CertificateWishes>): Promise<IdentityMaterial>;
  /** Another authority whose certificate this one signed; its chains end at this one's root. */
  intermediate(): Promise<TestAuthority>;
}

export async function createTestAuthority(): Promise<TestAuthority> {
  const now = Date.now();
  const root = await createRoot({ organization: "Test", notBefore: now - 24 * HOUR_MS, notAfter: now + 24 * HOUR_MS });
  return authorityOf(await readSigner(root.certPem, root.keyPem), root.certPem, "");
}

function authorityOf(signer: Signer, rootsPem: string, above: string): TestAuthority {
  const defaults = () => ({ notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS });
  return {
    signer,
    rootsPem,
    async issue(identity, overrides = {}) {
      const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
      const wishes: CertificateWishes = {
        publicKey: createPublicKey(keyPem),
        uris: [identity],
        purposes: ["server", "client"],
        ...defaults(),
        ...overrides,
      };
      const chainPem = (await signCertificate(signer, wishes)) + above;
      return { identity, keyPem, chainPem, rootsPem, notAfter: wishes.notAfter };
    },
    async intermediate() {
      const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
      const wishes = { publicKey: createPublicKey(keyPem), purposes: [], ca: true, ...defaults() };
      const certPem = await signCertificate(signer, wishes);
      return authorityOf(await readSigner(certPem, keyPem), rootsPem, certPem + above);
    },
  };
}
