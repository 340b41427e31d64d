import { createPublicKey, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "../errors/index.ts";
import { checkDerFraming } from "./certificate.ts";
import { x509 } from "./library.ts";
import { firstPemToDer } from "./pem.ts";

/** What a certificate request asks for. Its signature has been verified: the sender holds the key. */
export interface CsrFacts {
  readonly publicKey: KeyObject;
  /** For example `EC P-256` or `RSA 2048`. */
  readonly keyKind: string;
  readonly uris: readonly string[];
  /** Names of any other kind (DNS, IP, e-mail, ...), as `kind:value`. */
  readonly otherNames: readonly string[];
  readonly asksForCa: boolean;
}

export const MAX_CSR_BYTES = 16 * 1024;
const MIN_RSA_BITS = 2048;
/** Verifying larger ones costs us more than it costs the sender. */
const MAX_RSA_BITS = 4096;
const CURVES: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384" };
const SUBJECT_ALT_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";

/** Reads and verifies a PEM PKCS#10 request. Total; about 1.5 ms. */
export async function readCsr(pem: string): Promise<Result<CsrFacts>> {
  if (pem.length > MAX_CSR_BYTES) return err(`expected a CSR of at most ${MAX_CSR_BYTES} bytes, got ${pem.length}`);
  const der = firstPemToDer(pem, "CERTIFICATE REQUEST");
  if (!der.ok) return der;
  const framing = checkDerFraming(der.value, MAX_CSR_BYTES);
  if (!framing.ok) return framing;
  try {
    const csr = new x509.Pkcs10CertificateRequest(der.value);
    // The key first: verifying a signature with an unbounded key is the attacker's lever.
    const publicKey = createPublicKey({ key: Buffer.from(csr.publicKey.rawData), format: "der", type: "spki" });
    const keyKind = checkKey(publicKey);
    if (!keyKind.ok) return keyKind;
    if (!(await csr.verify())) return err("the CSR's signature does not match its key");
    return ok({ publicKey, keyKind: keyKind.value, ...readWishes(csr.extensions) });
  } catch (error) {
    return err(`expected a PKCS#10 request: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checkKey(key: KeyObject): Result<string> {
  const details = key.asymmetricKeyDetails ?? {};
  const curve = CURVES[details.namedCurve ?? ""];
  if (key.asymmetricKeyType === "ec" && curve !== undefined) return ok(`EC ${curve}`);
  const bits = details.modulusLength ?? 0;
  if (key.asymmetricKeyType === "rsa" && bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS) return ok(`RSA ${bits}`);
  const got = `${key.asymmetricKeyType ?? "unknown"} ${details.namedCurve ?? details.modulusLength ?? ""}`.trim();
  return err(`expected a key EC P-256, EC P-384 or RSA ${MIN_RSA_BITS} to ${MAX_RSA_BITS}, got ${got}`);
}

function readWishes(extensions: readonly { readonly type: string; readonly rawData: ArrayBuffer }[]) {
  const names = extensions
    .filter((extension) => extension.type === SUBJECT_ALT_NAME)
    .flatMap((extension) => [...new x509.SubjectAlternativeNameExtension(extension.rawData).names.items]);
  return {
    uris: names.filter((name) => name.type === "url").map((name) => name.value),
    otherNames: names.filter((name) => name.type !== "url").map((name) => `${name.type}:${name.value}`),
    asksForCa: extensions
      .filter((extension) => extension.type === BASIC_CONSTRAINTS)
      .some((extension) => new x509.BasicConstraintsExtension(extension.rawData).ca),
  };
}
