export type { CertificateIssuer, SecretManager, SecretState } from "./api.ts";
export {
  CERTIFICATE_SERVICE,
  type CertificateQuestion,
  certificateRequest,
  certificateResponse,
  readCertificateRequest,
} from "./certificate-service.ts";
export {
  type ControlPlaneAccess,
  callMetadata,
  channelCredentials,
  channelOptions,
  channelTarget,
  loadTrustRoots,
} from "./control-plane-access.ts";
export { createGrpcIssuer, type GrpcIssuerInit } from "./grpc-issuer.ts";
export { type IssuedCertificate, readIssued } from "./issued-certificate.ts";
export { createSecretManager, type SecretManagerGauge, type SecretManagerInit } from "./secret-manager.ts";
