export type { CertificateIssuer, SecretManager, SecretState } from "./api.ts";
export { type IssuedCertificate, readIssued } from "./issued-certificate.ts";
export { createSecretManager, type SecretManagerGauge, type SecretManagerInit } from "./secret-manager.ts";
