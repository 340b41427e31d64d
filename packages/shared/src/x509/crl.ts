import { err, ok, type Result } from "../errors/index.ts";
import { checkDerFraming } from "./certificate.ts";
import { DerReader, DerTag } from "./der-reader.ts";
import { x509 } from "./library.ts";
import { pemToDer } from "./pem.ts";
import { normalizeSerial } from "./serial.ts";

/** Serials (see `normalizeSerial`) of revoked certificates by issuer text (as in `CertificateFacts`). */
export type RevokedSerials = Readonly<Record<string, readonly string[]>>;

/** About 400 000 entries; more than that is not a mesh's CRL. */
export const MAX_CRL_BYTES = 16 * 1024 * 1024;

/**
 * Reads a CRL file: PEM with any number of CRL blocks (others skipped), or one DER. Empty input revokes nothing; a
 * file without any CRL is an error. A CRL's expiry is ignored: an old revocation stays one. So is an entry's reason.
 *
 * Parsed by hand: the library finds no entries in a CRL without nextUpdate and refuses more than a few thousand.
 *
 * Spec: RFC 5280 5.1
 * Differs: ztunnel verifies the CRL's signature; here the file is the operator's, read from a path of their choice
 */
export function parseCrls(bytes: Buffer): Result<RevokedSerials> {
  if (bytes.length > MAX_CRL_BYTES) return err(`expected at most ${MAX_CRL_BYTES} bytes of CRLs, got ${bytes.length}`);
  const text = bytes.toString("latin1");
  if (text.trim() === "") return ok({});
  const ders = text.includes("-----BEGIN") ? pemToDer(text, "X509 CRL") : [bytes];
  if (ders.length === 0) return err("expected at least one PEM block X509 CRL, found none");
  const revoked = new Map<string, Set<string>>();
  for (const [index, der] of ders.entries()) {
    const crl = readCrl(der);
    if (!crl.ok) return err(`CRL ${index + 1} of ${ders.length}: ${crl.error}`);
    const serials = revoked.get(crl.value.issuer) ?? new Set();
    for (const serial of crl.value.serials) serials.add(serial);
    revoked.set(crl.value.issuer, serials);
  }
  return ok(Object.fromEntries([...revoked].map(([issuer, serials]) => [issuer, [...serials]])));
}

interface Crl {
  readonly issuer: string;
  readonly serials: readonly string[];
}

function readCrl(der: Buffer): Result<Crl> {
  const framing = checkDerFraming(der, MAX_CRL_BYTES);
  if (!framing.ok) return framing;
  const list = new DerReader(der).next();
  const body = list && new DerReader(list.content).next();
  if (body?.tag !== DerTag.SEQUENCE) return err("expected a CertificateList");
  const fields = new DerReader(body.content);
  fields.nextIf(DerTag.INTEGER);
  fields.nextIf(DerTag.SEQUENCE);
  const issuer = fields.nextIf(DerTag.SEQUENCE);
  const thisUpdate = fields.nextIf(DerTag.UTC_TIME, DerTag.GENERALIZED_TIME);
  if (issuer === undefined || thisUpdate === undefined)
    return err("expected an issuer and a date in the CertificateList");
  fields.nextIf(DerTag.UTC_TIME, DerTag.GENERALIZED_TIME);
  const serials = readEntries(fields.nextIf(DerTag.SEQUENCE)?.content ?? Buffer.alloc(0));
  if (!serials.ok) return serials;
  if (fields.failed) return err("the CertificateList is cut short");
  try {
    return ok({ issuer: new x509.Name(issuer.whole).toString(), serials: serials.value });
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

function readEntries(content: Buffer): Result<readonly string[]> {
  const serials: string[] = [];
  const entries = new DerReader(content);
  for (let entry = entries.next(); entry !== undefined; entry = entries.next()) {
    const serial = new DerReader(entry.content).nextIf(DerTag.INTEGER);
    if (serial === undefined) return err(`expected a serial number in entry ${serials.length + 1}`);
    serials.push(normalizeSerial(serial.content.toString("hex")));
  }
  return entries.failed ? err(`entry ${serials.length + 1} is malformed`) : ok(serials);
}
