import { create } from "@bufbuild/protobuf";
import { grpcServiceDefinition } from "../grpc/index.ts";
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
  IstioCertificateService,
} from "../proto/index.ts";

/** `istio.v1.auth.IstioCertificateService` as grpc-js wants it, for both ends. */
export const CERTIFICATE_SERVICE = grpcServiceDefinition(IstioCertificateService);

/** The metadata field of a request that names the pod identity a node proxy asks for. */
const IMPERSONATED_IDENTITY = "ImpersonatedIdentity";

/** Nobody's lifetime; keeps dates within what a certificate holds. */
const MAX_TTL_SECONDS = 10 * 365 * 24 * 3_600;

/** @param identity  of the pod that a node proxy asks for; undefined: the caller's own, which is its token's */
export function certificateRequest(
  identity: string | undefined,
  csrPem: string,
  ttlSeconds: number,
): IstioCertificateRequest {
  return create(IstioCertificateRequestSchema, {
    csr: csrPem,
    validityDuration: BigInt(Math.floor(ttlSeconds)),
    ...(identity === undefined ? {} : { metadata: { [IMPERSONATED_IDENTITY]: identity } }),
  });
}

/** What a request asks for; `identity` is absent unless it is a text. */
export interface CertificateQuestion {
  readonly identity: string | undefined;
  readonly csrPem: string;
  /** 0 = the CA's default. */
  readonly ttlSeconds: number;
}

export function readCertificateRequest(request: IstioCertificateRequest): CertificateQuestion {
  const fields = request.metadata ?? {};
  const identity = Object.hasOwn(fields, IMPERSONATED_IDENTITY) ? fields[IMPERSONATED_IDENTITY] : undefined;
  const ttlSeconds = Math.min(Math.max(Number(request.validityDuration), 0), MAX_TTL_SECONDS);
  return { identity: typeof identity === "string" ? identity : undefined, csrPem: request.csr, ttlSeconds };
}

/** @param chain PEM: leaf, intermediates, and last the roots */
export function certificateResponse(chain: readonly string[]): IstioCertificateResponse {
  return create(IstioCertificateResponseSchema, { certChain: [...chain] });
}
