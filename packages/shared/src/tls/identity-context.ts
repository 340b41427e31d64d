import { constants } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { IdentityMaterial } from "./api.ts";
import { type PeerVerifier, peerVerifierFor } from "./peer-verifier.ts";

/** Offered and accepted in ALPN. A peer that offers none is accepted, as ztunnel does. */
export const HBONE_ALPN = ["h2"];

/**
 * The TLS rules of HBONE, the same for both ends: TLS 1.3 only, AES-GCM only, no tickets (a resumed connection shows no
 * peer certificate, so neither identity nor revocation could be checked).
 *
 * Parity: ztunnel src/tls/lib.rs (suites and their order, groups and their order)
 */
const HBONE_TLS: SecureContextOptions = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
  ecdhCurve: "X25519:P-256:P-384:X25519MLKEM768",
  secureOptions: constants.SSL_OP_NO_TICKET,
  honorCipherOrder: true,
};

/** Options for `tls.createSecureContext` and `tls.Server.setSecureContext`. */
export function hboneTlsOptions(material: IdentityMaterial): SecureContextOptions {
  return { ...HBONE_TLS, key: material.keyPem, cert: material.chainPem, ca: material.rootsPem };
}

const contexts = new WeakMap<IdentityMaterial, SecureContext>();
const verifiers = new WeakMap<SecureContext, PeerVerifier>();

/**
 * The context of one identity, made once per material object (0.4 ms) and kept for as long as the material is.
 *
 * @throws MeshError IDENTITY_UNAVAILABLE when key, chain or roots do not parse or do not belong together
 */
export function identityContext(material: IdentityMaterial): SecureContext {
  const known = contexts.get(material);
  if (known !== undefined) return known;
  try {
    const context = createSecureContext(hboneTlsOptions(material));
    contexts.set(material, context);
    verifiers.set(context, peerVerifierFor(material.rootsPem));
    return context;
  } catch (error) {
    const message = `the key material of ${material.identity} is unusable: ${error instanceof Error ? error.message : ""}`;
    throw new MeshError(ErrorCode.IDENTITY_UNAVAILABLE, message, { cause: error });
  }
}

/** The verifier with the roots of the material that `context` was made from. */
export function verifierOf(context: SecureContext): PeerVerifier | undefined {
  return verifiers.get(context);
}
