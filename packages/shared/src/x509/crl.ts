import { err, ok, type Result } from "../errors/index.ts";
import { checkDerFraming } from "./certificate.ts";
import { x509 } from "./library.ts";
import { pemToDer } from "./pem.ts";
import { normalizeSerial } from "./serial.ts";

/** Serials (see `normalizeSerial`) of revoked certificates by issuer text (as in `CertificateFacts`). */
export type RevokedSerials = Readonly<Record<string, readonly string[]>>;

/** About 400 000 entries; more than that is not a mesh's CRL. */
export const MAX_CRL_BYTES = 16 * 1024 * 1024;

/**
 * Reads a CRL file: PEM with any number of CRL blocks (others skipped), or one DER. Empty input revokes nothing.
 * Entries with reason removeFromCRL are left out; expiry of the CRL is ignored (an old revocation stays one).
 *
 * Differs: ztunnel verifies the CRL's signature; here the file is the operator's, read from a path of their choice
 */
export function parseCrls(bytes: Buffer): Result<RevokedSerials> {
  if (bytes.length > MAX_CRL_BYTES) return err(`expected at most ${MAX_CRL_BYTES} bytes of CRLs, got ${bytes.length}`);
  if (bytes.length === 0) return ok({});
  const isPem = bytes[0] !== 0x30 || bytes.includes("-----BEGIN");
  const ders = isPem ? pemToDer(bytes.toString("latin1"), "X509 CRL") : [bytes];
  if (ders.length === 0 && bytes.toString("latin1").trim() !== "" && !bytes.includes("-----BEGIN")) {
    return err("expected PEM blocks X509 CRL, or one CRL in DER");
  }
  const revoked = new Map<string, Set<string>>();
  for (const [index, der] of ders.entries()) {
    const read = readInto(revoked, der);
    if (!read.ok) return err(`CRL ${index + 1} of ${ders.length}: ${read.error}`);
  }
  return ok(Object.fromEntries([...revoked].map(([issuer, serials]) => [issuer, [...serials]])));
}

function readInto(revoked: Map<string, Set<string>>, der: Buffer): Result<undefined> {
  const framing = checkDerFraming(der, MAX_CRL_BYTES);
  if (!framing.ok) return framing;
  try {
    const crl = new x509.X509Crl(der);
    const serials = revoked.get(crl.issuer) ?? new Set();
    for (const entry of crl.entries) {
      if (entry.reason !== x509.X509CrlReason.removeFromCRL) serials.add(normalizeSerial(entry.serialNumber));
    }
    revoked.set(crl.issuer, serials);
    return ok(undefined);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}
