import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, type webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { createKeyPair, ECDSA_P256, exportPrivateKeyPem } from "./csr.ts";
import { x509 } from "./library.ts";
import { derToPem, firstPemToDer } from "./pem.ts";

interface SigningAlgorithm {
  readonly name: string;
  readonly hash: string;
  readonly namedCurve?: string;
}

/** A CA certificate together with its private key. */
export interface Signer {
  readonly certificatePem: string;
  /** ms since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly selfSigned: boolean;
  /** Opaque: only this folder looks inside. */
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: SigningAlgorithm;
}

export interface CertificateWishes {
  readonly publicKey: KeyObject;
  readonly uris?: readonly string[];
  /** DNS names and IP literals. */
  readonly hosts?: readonly string[];
  readonly purposes: readonly ("server" | "client")[];
  /** An intermediate CA instead of a leaf. */
  readonly ca?: boolean;
  /** ms since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface RootWishes {
  readonly organization: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

const PURPOSE_OIDS = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth } as const;

/** A new self-signed ECDSA P-256 root; both texts PEM, the key PKCS#8. */
export async function createRoot(wishes: RootWishes): Promise<{ certPem: string; keyPem: string }> {
  const keys = await createKeyPair();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `O=${wishes.organization}`,
    serialNumber: newSerial(),
    keys,
    signingAlgorithm: ECDSA_P256,
    notBefore: new Date(wishes.notBefore),
    notAfter: new Date(wishes.notAfter),
    extensions: [...caExtensions(), await x509.SubjectKeyIdentifierExtension.create(keys.publicKey)],
  });
  return { certPem: toPem(certificate), keyPem: await exportPrivateKeyPem(keys.privateKey) };
}

/**
 * Reads a CA certificate and its key (PKCS#8, SEC1 or PKCS#1 PEM; EC P-256/P-384 or RSA).
 *
 * @throws MeshError CONFIG_INVALID when they do not parse, are no CA or do not belong together
 */
export async function readSigner(certPem: string, keyPem: string): Promise<Signer> {
  try {
    const der = firstPemToDer(certPem, "CERTIFICATE");
    if (!der.ok) throw new MeshError(ErrorCode.CONFIG_INVALID, der.error);
    const certificate = new x509.X509Certificate(der.value);
    const key = createPrivateKey(keyPem);
    const spki = createPublicKey(key).export({ format: "der", type: "spki" });
    if (!spki.equals(Buffer.from(certificate.publicKey.rawData))) {
      throw new MeshError(ErrorCode.CONFIG_INVALID, "the CA's private key does not belong to its certificate");
    }
    if (certificate.getExtension(x509.BasicConstraintsExtension)?.ca !== true) {
      throw new MeshError(ErrorCode.CONFIG_INVALID, "expected a CA certificate, got one with CA:FALSE");
    }
    return {
      certificatePem: toPem(certificate),
      notBefore: certificate.notBefore.getTime(),
      notAfter: certificate.notAfter.getTime(),
      selfSigned: await certificate.isSelfSigned(),
      certificate,
      ...(await importKey(key)),
    };
  } catch (error) {
    throw MeshError.from(error, ErrorCode.CONFIG_INVALID);
  }
}

/** Signs one certificate with empty subject; the names are the SANs. @returns PEM. About 2 ms. */
export async function signCertificate(signer: Signer, wishes: CertificateWishes): Promise<string> {
  const spki = wishes.publicKey.export({ format: "der", type: "spki" });
  const certificate = await x509.X509CertificateGenerator.create({
    subject: wishes.ca === true ? "O=Ambit,CN=Intermediate CA" : "",
    // The name object, not its text: verifiers such as Go's and webpki compare the encoded bytes.
    issuer: signer.certificate.subjectName,
    serialNumber: newSerial(),
    publicKey: new x509.PublicKey(spki),
    signingKey: signer.key,
    signingAlgorithm: signer.algorithm,
    notBefore: new Date(wishes.notBefore),
    notAfter: new Date(wishes.notAfter),
    extensions: [
      ...(wishes.ca === true ? caExtensions() : leafExtensions(wishes)),
      await x509.SubjectKeyIdentifierExtension.create(new x509.PublicKey(spki)),
      await authorityKeyIdentifier(signer.certificate),
    ],
  });
  return toPem(certificate);
}

function caExtensions(): x509.Extension[] {
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  return [new x509.BasicConstraintsExtension(true, undefined, true), new x509.KeyUsagesExtension(usage, true)];
}

function leafExtensions(wishes: CertificateWishes): x509.Extension[] {
  const usage = x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment;
  const uris = (wishes.uris ?? []).map((value) => ({ type: "url" as const, value }));
  const hosts = (wishes.hosts ?? []).map((value) => ({
    type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
    value,
  }));
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(usage, true),
    new x509.ExtendedKeyUsageExtension(wishes.purposes.map((purpose) => PURPOSE_OIDS[purpose])),
    // Critical, because the subject is empty (RFC 5280 4.2.1.6).
    new x509.SubjectAlternativeNameExtension([...uris, ...hosts], true),
  ];
}

async function authorityKeyIdentifier(issuer: x509.X509Certificate): Promise<x509.Extension> {
  const own = issuer.getExtension(x509.SubjectKeyIdentifierExtension);
  if (own === null) return x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey);
  return new x509.AuthorityKeyIdentifierExtension(own.keyId);
}

async function importKey(key: KeyObject): Promise<{ key: webcrypto.CryptoKey; algorithm: SigningAlgorithm }> {
  const pkcs8 = key.export({ format: "der", type: "pkcs8" });
  const curve = { prime256v1: "P-256", secp384r1: "P-384" }[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (curve !== undefined) {
    const hash = curve === "P-384" ? "SHA-384" : "SHA-256";
    const algorithm = { name: "ECDSA", namedCurve: curve, hash };
    return { key: await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]), algorithm };
  }
  if (key.asymmetricKeyType !== "rsa") {
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `expected a CA key EC P-256, EC P-384 or RSA, got ${key.asymmetricKeyType}`,
    );
  }
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  return { key: await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]), algorithm };
}

/** 127 random bits, positive and without leading zeros (RFC 5280 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString("hex");
}

function toPem(certificate: x509.X509Certificate): string {
  return derToPem(new Uint8Array(certificate.rawData), "CERTIFICATE");
}
