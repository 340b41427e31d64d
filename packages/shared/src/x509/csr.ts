import type { webcrypto } from "node:crypto";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { SpiffeUri } from "../identity/index.ts";
import { x509 } from "./library.ts";
import { derToPem } from "./pem.ts";

export const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export interface KeyAndCsr {
  readonly csrPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
}

export async function createKeyPair(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
}

export async function exportPrivateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return derToPem(new Uint8Array(await crypto.subtle.exportKey("pkcs8", key)), "PRIVATE KEY");
}

/**
 * A fresh ECDSA P-256 key and a PKCS#10 request for one identity: empty subject, exactly one SAN, the SPIFFE URI.
 *
 * Parity: ztunnel src/tls/csr.rs
 */
export async function createCsr(identity: SpiffeUri): Promise<KeyAndCsr> {
  try {
    const keys = await createKeyPair();
    const names = new x509.SubjectAlternativeNameExtension([{ type: "url", value: identity }], true);
    const csr = await x509.Pkcs10CertificateRequestGenerator.create({
      keys,
      signingAlgorithm: ECDSA_P256,
      extensions: [names],
    });
    const csrPem = derToPem(new Uint8Array(csr.rawData), "CERTIFICATE REQUEST");
    return { csrPem, keyPem: await exportPrivateKeyPem(keys.privateKey) };
  } catch (error) {
    throw MeshError.from(error, ErrorCode.CSR_INVALID);
  }
}
