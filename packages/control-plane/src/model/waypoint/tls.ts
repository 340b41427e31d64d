/** Both TLS legs of a waypoint: 1.3 only, the waypoint's own certificate, peers of the trust domain. */
import { ApiConfigSource_ApiType, ApiVersion } from "@ambit/envoy-api/envoy/config/core/v3/config_source";
import {
  SubjectAltNameMatcher_SanType,
  type SubjectAltNameMatcherSchema,
  TlsParameters_TlsProtocol,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import type { SdsSecretConfigSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import {
  type CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { filter, type Init } from "./proto.ts";

export const TLS_SOCKET = "tls";

/** The operating system's roots, where images keep them; Envoy knows no other way to say it. */
export const SYSTEM_ROOTS = {
  trustedCa: { specifier: { case: "filename" as const, value: "/etc/ssl/certs/ca-certificates.crt" } },
};

/** Secrets that whoever runs the waypoint serves beside it, as istio-agent does; never asked of the control plane. */
const ownSecret = (name: string): Init<typeof SdsSecretConfigSchema> => ({
  name,
  sdsConfig: {
    configSourceSpecifier: {
      case: "apiConfigSource",
      value: {
        apiType: ApiConfigSource_ApiType.GRPC,
        transportApiVersion: ApiVersion.V3,
        setNodeOnFirstMessageOnly: true,
        grpcServices: [{ targetSpecifier: { case: "envoyGrpc", value: { clusterName: "sds-grpc" } } }],
      },
    },
    initialFetchTimeout: { seconds: 0n },
    resourceApiVersion: ApiVersion.V3,
  },
});

const uriPrefix = (prefix: string): Init<typeof SubjectAltNameMatcherSchema> => ({
  sanType: SubjectAltNameMatcher_SanType.URI,
  matcher: { matchPattern: { case: "prefix", value: prefix } },
});

function commonTls(trustDomains: readonly string[]): Init<typeof CommonTlsContextSchema> {
  return {
    tlsParams: {
      tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
      tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
    },
    alpnProtocols: ["h2"],
    tlsCertificateSdsSecretConfigs: [ownSecret("default")],
    validationContextType: {
      case: "combinedValidationContext",
      value: {
        defaultValidationContext: {
          matchTypedSubjectAltNames: trustDomains.map((domain) => uriPrefix(`spiffe://${domain}/`)),
        },
        validationContextSdsSecretConfig: ownSecret("ROOTCA"),
      },
    },
  };
}

export const downstreamTls = (trustDomains: readonly string[]) =>
  filter(TLS_SOCKET, DownstreamTlsContextSchema, {
    requireClientCertificate: true,
    commonTlsContext: commonTls(trustDomains),
  });

export const upstreamTls = (trustDomains: readonly string[]) =>
  filter(TLS_SOCKET, UpstreamTlsContextSchema, { commonTlsContext: commonTls(trustDomains) });
