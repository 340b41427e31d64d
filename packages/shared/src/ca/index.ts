export type { CertificateIssuer, SecretManager, SecretState } from "./api.ts";
