import { createPrivateKey, X509Certificate } from "node:crypto";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { SpiffeUri } from "../identity/index.ts";
import type { IdentityMaterial } from "../tls/index.ts";
import { derToPem, joinPem, parsePeerCertificate, pemToDer, readRoots, verifyChain } from "../x509/index.ts";

/** What a CA answered, checked; times in ms since the epoch. */
export interface IssuedCertificate {
  readonly material: IdentityMaterial;
  readonly notBefore: number;
}

/**
 * Checks a CA's answer: the leaf must carry exactly the identity asked for and our key, chain up to the roots that came
 * with it, and not have expired. Roots that do not parse are skipped.
 *
 * @param chain PEM: leaf, intermediates..., and last the root bundle
 * @throws MeshError CA_RESPONSE_INVALID
 *
 * Parity: ztunnel src/tls/certificate.rs (order of the chain), src/identity/caclient.rs (identity check)
 */
export function readIssued(
  identity: SpiffeUri,
  keyPem: string,
  chain: readonly string[],
  nowMs: number,
): IssuedCertificate {
  const bundle = chain.at(-1);
  if (chain.length < 2 || bundle === undefined)
    throw invalid(`expected a leaf and roots, got ${chain.length} elements`);
  const ders = pemToDer(chain.slice(0, -1).join("\n"), "CERTIFICATE");
  const [leaf, ...intermediates] = ders;
  if (leaf === undefined) throw invalid("the first element holds no certificate");
  const peer = parsePeerCertificate(leaf);
  if (!peer.ok) throw invalid(peer.error);
  if (peer.value.uri !== identity) throw invalid(`asked for ${identity}, got a certificate of ${peer.value.uri}`);
  const certificate = new X509Certificate(leaf);
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) throw invalid("the certificate is for another key");
  const notBefore = certificate.validFromDate.getTime();
  const { notAfter } = peer.value;
  if (notAfter <= nowMs) {
    const times = `${certificate.validToDate.toISOString()}, now ${new Date(nowMs).toISOString()}`;
    throw invalid(`the certificate has expired already (${times}): compare the clocks of this node and the CA`);
  }
  const roots = readRoots(pemToDer(bundle, "CERTIFICATE"));
  if (roots.length === 0) throw invalid("the last element holds no usable root certificate");
  // A CA whose clock is ahead of ours issues certificates that start in our future; that is tolerated.
  const verified = verifyChain(leaf, intermediates, roots, Math.max(nowMs, notBefore));
  if (!verified.ok) throw invalid(verified.error);
  const chainPem = ders.map((der) => derToPem(der, "CERTIFICATE")).join("");
  const rootsPem = joinPem(roots.map((root) => root.toString()));
  return { material: { identity, keyPem, chainPem, rootsPem, notAfter }, notBefore };
}

function invalid(message: string): MeshError {
  return new MeshError(ErrorCode.CA_RESPONSE_INVALID, message, { origin: "control-plane", retry: "safe" });
}
