export {
  type CertificateFacts,
  fingerprintOf,
  MAX_CERTIFICATE_BYTES,
  readCertificate,
} from "./certificate.ts";
export { type CertificateRef, readRoots, type VerifiedChain, verifyChain } from "./chain.ts";
export { MAX_CRL_BYTES, parseCrls, type RevokedSerials } from "./crl.ts";
export { createCsr, createKeyPair, exportPrivateKeyPem, type KeyAndCsr } from "./csr.ts";
export {
  type CertificateWishes,
  createRoot,
  type RootWishes,
  readSigner,
  type Signer,
  signCertificate,
} from "./issue.ts";
export { parsePeerCertificate } from "./peer-certificate.ts";
export { derToPem, firstPemToDer, joinPem, type PemLabel, pemToDer, splitPem } from "./pem.ts";
export { type CsrFacts, MAX_CSR_BYTES, readCsr } from "./read-csr.ts";
export { normalizeSerial } from "./serial.ts";
