/** How a cluster's endpoints are spoken to: TLS or not, which HTTP. Spec: envoy.config.core.v3.TransportSocket */
import type { Cluster as ClusterMessage } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { Cluster_ClusterProtocolSelection as Selection } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import type { DataSource, TransportSocket } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { InternalUpstreamTransportSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import {
  type CertificateValidationContext,
  SubjectAltNameMatcher_SanType as SanType,
  type SubjectAltNameMatcher,
  CertificateValidationContext_TrustChainVerification as Verification,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import type { SdsSecretConfig } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import {
  type CommonTlsContext,
  UpstreamTlsContextSchema,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import {
  type HttpProtocolOptions,
  HttpProtocolOptionsSchema,
} from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { fromBinary } from "@bufbuild/protobuf";
import type { UpstreamHttp, UpstreamTransport } from "../balance/model.ts";
import { at, each, InvalidField } from "./invalid-field.ts";
import { durationOr, typeNameOf, unpack } from "./values.ts";

const RAW: UpstreamTransport = { kind: "raw" };

/**
 * The transport inside the tunnel, or to a plain endpoint. Of several sockets to choose among, the one for endpoints
 * without a mark: those with the mark of a tunnel are tunnelled whatever it says.
 */
export function compileTransport(message: ClusterMessage): UpstreamTransport {
  const unmarked = message.transportSocketMatches.find(({ match }) => Object.keys(match ?? {}).length === 0);
  if (unmarked) return at("transport_socket_matches", () => compileSocket(unmarked.transportSocket));
  return at("transport_socket", () => compileSocket(message.transportSocket));
}

function compileSocket(socket: TransportSocket | undefined): UpstreamTransport {
  const config = socket?.configType.value;
  if (config === undefined) return RAW;
  switch (typeNameOf(config)) {
    case RawBufferSchema.typeName:
      return RAW;
    case InternalUpstreamTransportSchema.typeName:
      return compileSocket(fromBinary(InternalUpstreamTransportSchema, config.value).transportSocket);
    case UpstreamTlsContextSchema.typeName: {
      const { commonTlsContext, sni } = fromBinary(UpstreamTlsContextSchema, config.value);
      return at("common_tls_context", () => compileTls(commonTlsContext, sni));
    }
    default:
      throw new InvalidField(`expected raw bytes or TLS, got ${typeNameOf(config)}`);
  }
}

/** Differs: without a validation context Envoy verifies nothing; we verify with the system's roots. */
function compileTls(context: CommonTlsContext | undefined, sni: string): UpstreamTransport {
  const ownCertificates =
    (context?.tlsCertificates.length ?? 0) + (context?.tlsCertificateSdsSecretConfigs.length ?? 0);
  if (ownCertificates > 0)
    throw new InvalidField("expected none: client certificates are not supported", "tls_certificates");
  const validation = validationOf(context);
  return {
    kind: "tls",
    sni,
    subjectAltNames: [
      ...each("match_typed_subject_alt_names", validation?.matchTypedSubjectAltNames ?? [], compileTypedName),
      ...each("match_subject_alt_names", validation?.matchSubjectAltNames ?? [], compileName),
    ],
    trustedRoots: validation?.trustedCa && at("trusted_ca", () => rootsOf(validation.trustedCa)),
    insecureSkipVerify: validation?.trustChainVerification === Verification.ACCEPT_UNTRUSTED,
    alpn: context?.alpnProtocols ?? [],
  };
}

function validationOf(context: CommonTlsContext | undefined): CertificateValidationContext | undefined {
  const validation = context?.validationContextType;
  switch (validation?.case) {
    case undefined:
      return undefined;
    case "validationContext":
      return checked(validation.value);
    case "validationContextSdsSecretConfig":
      systemRootsOnly(validation.value);
      return undefined;
    case "combinedValidationContext": {
      const { defaultValidationContext, validationContextSdsSecretConfig: sds } = validation.value;
      if (sds) systemRootsOnly(sds);
      return defaultValidationContext && checked(defaultValidationContext);
    }
    default:
      throw new InvalidField(`expected a validation context, got ${validation?.case}`);
  }
}

/** What narrows whom we trust must not be skipped over. */
function checked(context: CertificateValidationContext): CertificateValidationContext {
  const pinned = context.verifyCertificateSpki.length + context.verifyCertificateHash.length;
  if (pinned > 0 || context.crl || context.customValidatorConfig || context.caCertificateProviderInstance) {
    throw new InvalidField("validation_context: expected roots and names only");
  }
  return context;
}

/** istiod's name for the roots of the operating system. */
function systemRootsOnly({ name }: SdsSecretConfig): void {
  if (name !== "file-root:system")
    throw new InvalidField(`expected inline roots or the system's, got the secret "${name.slice(0, 100)}"`);
}

const SYSTEM_ROOTS: ReadonlySet<string> = new Set([
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
]);

function rootsOf(source: DataSource | undefined): string | undefined {
  const specifier = source?.specifier;
  switch (specifier?.case) {
    case "inlineString":
      return specifier.value;
    case "inlineBytes":
      return Buffer.from(specifier.value).toString("latin1");
    case "filename":
      if (SYSTEM_ROOTS.has(specifier.value)) return undefined;
      throw new InvalidField(`expected inline roots or the system's, got the file "${specifier.value.slice(0, 200)}"`);
    default:
      throw new InvalidField(`expected inline roots, got ${specifier?.case ?? "none"}`);
  }
}

function compileTypedName({ sanType, matcher }: SubjectAltNameMatcher): string {
  if (sanType !== SanType.DNS && sanType !== SanType.URI) throw new InvalidField("expected a DNS name or a URI");
  if (matcher === undefined) throw new InvalidField("expected a matcher");
  return compileName(matcher);
}

function compileName({ matchPattern }: NonNullable<SubjectAltNameMatcher["matcher"]>): string {
  if (matchPattern.case === "exact") return matchPattern.value;
  if (matchPattern.case === "suffix" && matchPattern.value.startsWith(".")) return `*${matchPattern.value}`;
  throw new InvalidField(`expected an exact name or a suffix with a leading dot, got ${matchPattern.case ?? "none"}`);
}

const DEFAULT_IDLE_MS = 3_600_000;
const OPTIONS_KEY = HttpProtocolOptionsSchema.typeName;

export function compileUpstreamHttp(message: ClusterMessage): UpstreamHttp {
  const config = message.typedExtensionProtocolOptions[OPTIONS_KEY];
  const options = config && at("typed_extension_protocol_options", () => unpack(config, HttpProtocolOptionsSchema));
  const common = options?.commonHttpProtocolOptions ?? message.commonHttpProtocolOptions;
  return {
    protocol: options ? protocolOf(options) : olderProtocolOf(message),
    idleTimeoutMs: at("idle_timeout", () => durationOr(common?.idleTimeout, DEFAULT_IDLE_MS)),
    maximumRequestsPerConnection: common?.maxRequestsPerConnection ?? message.maxRequestsPerConnection ?? 0,
  };
}

function protocolOf({ upstreamProtocolOptions: choice }: HttpProtocolOptions): UpstreamHttp["protocol"] {
  switch (choice.case) {
    case "explicitHttpConfig":
      return choice.value.protocolConfig.case === "http2ProtocolOptions" ? "http2" : "http1";
    case "useDownstreamProtocolConfig":
      return "as-downstream";
    // The peer chooses by ALPN, which the transport offers; where there is none, HTTP/1.1 is what every peer has.
    default:
      return "http1";
  }
}

function olderProtocolOf(message: ClusterMessage): UpstreamHttp["protocol"] {
  if (message.protocolSelection === Selection.USE_DOWNSTREAM_PROTOCOL) return "as-downstream";
  return message.http2ProtocolOptions ? "http2" : "http1";
}
