import { err, ok, type Result } from "../errors/index.ts";
import { formatSpiffeId, parseSpiffeId } from "../identity/index.ts";
import type { PeerIdentity } from "../tls/api.ts";
import { readCertificate } from "./certificate.ts";

/**
 * Reads the identity a leaf certificate states. Says nothing about trust: the chain is the caller's to verify.
 *
 * @returns an error unless there is exactly one URI SAN and it is a well-formed SPIFFE ID (see `parseSpiffeId`)
 *
 * Spec: X.509-SVID 2 (exactly one URI SAN)
 * Differs: ztunnel takes any matching URI SAN and skips those it cannot parse; we refuse such certificates
 */
export function parsePeerCertificate(der: Uint8Array): Result<PeerIdentity> {
  const facts = readCertificate(der);
  if (!facts.ok) return facts;
  const { uris, issuer, serial, fingerprint, notAfter } = facts.value;
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1) return err(`expected exactly one URI SAN, got ${uris.length}`);
  const id = parseSpiffeId(uri);
  if (!id.ok) return id;
  return ok({ id: id.value, uri: formatSpiffeId(id.value), serial, issuer, fingerprint, notAfter });
}
