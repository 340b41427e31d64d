import { createHash } from "node:crypto";
import { err, ok, type Result } from "../errors/index.ts";
import { x509 } from "./library.ts";
import { normalizeSerial } from "./serial.ts";

/** What we need to know of a certificate; times in ms since the epoch. */
export interface CertificateFacts {
  /** Every URI of the subject alternative names, exactly as encoded (control characters included). */
  readonly uris: readonly string[];
  /** RDNs in encoded order, for example `CN=Root, O=Ambit`; the same text `parseCrls` uses. */
  readonly issuer: string;
  readonly subject: string;
  /** See `normalizeSerial`. */
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
}

const SUBJECT_ALT_NAME = "2.5.29.17";

/** Far above any certificate of a mesh; keeps the decoder's work bounded. */
export const MAX_CERTIFICATE_BYTES = 64 * 1024;

/** SHA-256 of a certificate's DER, lower-case hex. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

/** Decodes a certificate. Total: malformed input is an error value. About 0.4 ms. */
export function readCertificate(der: Uint8Array): Result<CertificateFacts> {
  const framing = checkDerFraming(der, MAX_CERTIFICATE_BYTES);
  if (!framing.ok) return framing;
  try {
    const certificate = new x509.X509Certificate(der);
    const names = certificate.extensions.filter((extension) => extension.type === SUBJECT_ALT_NAME);
    if (names.length > 1) return err(`expected at most one subject alternative name extension, got ${names.length}`);
    return ok({
      uris: names.flatMap((extension) => urisOf(extension.rawData)),
      issuer: certificate.issuer,
      subject: certificate.subject,
      serial: normalizeSerial(certificate.serialNumber),
      notBefore: certificate.notBefore.getTime(),
      notAfter: certificate.notAfter.getTime(),
      fingerprint: fingerprintOf(der),
    });
  } catch (error) {
    return err(`expected an X.509 certificate: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function urisOf(extension: ArrayBuffer): readonly string[] {
  const names = new x509.SubjectAlternativeNameExtension(extension).names.items;
  return names.filter((name) => name.type === "url").map((name) => name.value);
}

/**
 * Accepts only one DER SEQUENCE with a long-form length that fits the input exactly. The library also takes
 * base64 and hex given as bytes; this keeps those, and trailing bytes, out.
 */
export function checkDerFraming(der: Uint8Array, maxBytes: number): Result<undefined> {
  if (der.length > maxBytes) return err(`expected at most ${maxBytes} bytes of DER, got ${der.length}`);
  const [tag, form = 0] = der;
  const lengthBytes = form & 0x7f;
  if (tag !== 0x30 || form < 0x81 || lengthBytes > 4) return err("expected a DER SEQUENCE of at least 128 bytes");
  let length = 0;
  for (const byte of der.subarray(2, 2 + lengthBytes)) length = length * 256 + byte;
  const actual = der.length - 2 - lengthBytes;
  return length === actual ? ok(undefined) : err(`expected ${length} bytes of DER content, got ${actual}`);
}
